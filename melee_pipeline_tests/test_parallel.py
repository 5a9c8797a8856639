"""The one seam for parallel work: order, bounds, errors, lost workers, and that all of them end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melee_pipeline.parallel import (
    InlineExecutor,
    WorkerLostError,
    default_workers,
    executor,
    map_ordered,
)


def double(value: int) -> int:
    return 2 * value


def slow_when_even(value: int) -> tuple[int, int]:
    """The later items of a pair are ready first."""
    time.sleep(0.05 if value % 2 == 0 else 0)
    return value, os.getpid()


def fail_at_three(value: int) -> int:
    if value == 3:
        raise ValueError("three is refused")
    return value


def wait_long(folder: Path) -> None:
    """Say that this worker has started, then work for a minute."""
    (folder / str(os.getpid())).touch()
    time.sleep(60)


class Counting(Executor):
    """Runs nothing before its result is asked for; knows how many calls are waiting."""

    def __init__(self) -> None:
        self.waiting = self.most = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        outer = self

        class Late(Future[Any]):
            def result(self, timeout: float | None = None) -> Any:  # noqa: ANN401
                outer.waiting -= 1
                return fn(*args, **kwargs)

        return Late()


@given(st.lists(st.integers()), st.integers(1, 9))
def test_results_come_in_order_and_few_are_waiting(items: list[int], ahead: int) -> None:
    pool = Counting()
    assert list(map_ordered(pool, double, items, ahead)) == [2 * item for item in items]
    assert pool.most == min(ahead, len(items))
    assert pool.waiting == 0


def test_items_are_taken_only_as_they_are_needed() -> None:
    """An endless list of work does not fill the memory."""
    taken = []

    def endless() -> Iterator[int]:
        for number in range(10**9):
            taken.append(number)
            yield number

    results = map_ordered(InlineExecutor(), double, endless(), ahead=3)
    assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]
    assert len(taken) == 7


def test_without_workers_calls_run_in_this_process() -> None:
    with executor(0) as pool:
        assert isinstance(pool, InlineExecutor)
        assert list(map_ordered(pool, slow_when_even, [1, 3], 2)) == [
            (n, os.getpid()) for n in (1, 3)
        ]


def test_two_workers_are_other_processes_and_keep_the_order() -> None:
    with executor(2) as pool:
        found = list(map_ordered(pool, slow_when_even, range(20), ahead=8))
    assert [value for value, _ in found] == list(range(20))
    assert os.getpid() not in {process for _, process in found}


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_error_reaches_the_caller_after_the_results_before_it(workers: int) -> None:
    found = []
    with pytest.raises(ValueError, match="three is refused"), executor(workers) as pool:
        for value in map_ordered(pool, fail_at_three, range(6), ahead=4):
            found.append(value)
    assert found == [0, 1, 2]


def test_an_inline_call_keeps_its_error_until_it_is_asked() -> None:
    future = InlineExecutor().submit(fail_at_three, 3)
    assert isinstance(future.exception(), ValueError)


def square_or_die(number: int) -> int:
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def sleep_forever(number: int) -> int:
    if number == 1:
        time.sleep(600)
    return number


def pid(_: int) -> int:
    return os.getpid()


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


def test_a_call_that_hangs_is_ended() -> None:
    with executor(1, limit=5) as pool:
        results = list(map_ordered(pool, sleep_forever, [0, 1, 2], 3, lost=lambda *_: -1))
    assert results == [0, -1, 2]


def gone(process: int) -> bool:
    """Whether a process has ended; one that waits to be collected has."""
    stat = Path(f"/proc/{process}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_no_process_is_left() -> None:
    with executor(2) as pool:
        processes = set(map_ordered(pool, pid, range(8), 4))
    assert os.getpid() not in processes
    assert all(gone(process) for process in processes)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_stopping_ends_the_workers(tmp_path: Path, error: type[BaseException]) -> None:
    """Cancelling must not wait for the minute of work that is under way or queued."""
    with pytest.raises(error), executor(2) as pool:
        for _ in range(4):
            pool.submit(wait_long, tmp_path)
        until(lambda: len(list(tmp_path.iterdir())) == 2)
        raise error
    workers = [int(path.name) for path in tmp_path.iterdir()]
    until(lambda: all(gone(worker) for worker in workers))
    assert len(workers) == 2, "queued work was not started"


def until(condition: Any) -> None:  # noqa: ANN401
    """Wait for something that happens in other processes; fail if it does not."""
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("waited 20 s in vain")


def test_by_default_there_is_a_worker_for_each_usable_core() -> None:
    assert 1 <= default_workers() <= (os.cpu_count() or 1)
