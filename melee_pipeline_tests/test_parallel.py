"""The pool: order, bounds, and what a call that kills its process costs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from melee_pipeline.parallel import WorkerLostError, executor, map_ordered


def square_or_die(number: int) -> int:
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 7:
        raise ValueError("seven")
    return number * number


def sleep_forever(number: int) -> int:
    if number == 1:
        time.sleep(600)
    return number


def pid(_: int) -> int:
    return os.getpid()


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_results_come_in_order_and_a_dead_process_costs_one_call() -> None:
    with executor(2) as pool:
        results = list(
            map_ordered(
                pool, square_or_die, [1, 2, 3, 4, 5, 6, 8, 9], 4, lost=lambda item, _: -item
            )
        )
    assert results == [1, 4, 9, 16, -5, 36, 64, 81]


def test_without_a_substitute_the_loss_is_raised() -> None:
    with pytest.raises(WorkerLostError, match="SIGKILL"), executor(1) as pool:
        list(map_ordered(pool, square_or_die, [5], 1))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_exception_is_the_callers(workers: int) -> None:
    with pytest.raises(ValueError, match="seven"), executor(workers) as pool:
        list(map_ordered(pool, square_or_die, [7], 1))


def test_a_call_that_hangs_is_ended() -> None:
    with executor(1, limit=5) as pool:
        results = list(map_ordered(pool, sleep_forever, [0, 1, 2], 3, lost=lambda *_: -1))
    assert results == [0, -1, 2]


def test_no_more_than_so_many_calls_are_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    with executor(1) as pool:
        for result in map_ordered(pool, abs, items(), 3):
            assert len(taken) <= result + 3


def test_no_process_is_left() -> None:
    with executor(2) as pool:
        processes = set(map_ordered(pool, pid, range(8), 4))
    assert os.getpid() not in processes
    assert not any(alive(process) for process in processes)


def test_a_cancelled_run_leaves_no_process() -> None:
    processes: set[int] = set()
    with pytest.raises(KeyboardInterrupt), executor(2) as pool:
        processes |= set(map_ordered(pool, pid, range(8), 4))
        pool.submit(time.sleep, 600)
        raise KeyboardInterrupt
    deadline = time.monotonic() + 30
    while any(alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(process) for process in processes)
