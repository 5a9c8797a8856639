"""The one seam for parallel work: an ordered, bounded map over a `concurrent.futures.Executor`.

A cluster engine that offers an Executor can take the pool's place without another code path.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")


class InlineExecutor(Executor):
    """Runs each call at once in this process: one worker, no pool."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - the future hands it to whoever asks
            future.set_exception(error)
        return future


def default_workers() -> int:
    """One process for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def executor(workers: int) -> Iterator[Executor]:
    """An executor of `workers` processes. Cancelling or failing ends the workers at once.

    Workers are started by a fork server: forking a process that already runs threads (Arrow's,
    Dagster's) can deadlock, and a fresh interpreter for each worker is slow.
    """
    if workers <= 1:
        yield InlineExecutor()
        return
    context = multiprocessing.get_context("forkserver")
    pool = ProcessPoolExecutor(workers, mp_context=context)
    try:
        yield pool
    except BaseException:
        # Leaving the pool's own `with` would wait for queued work, which hangs a cancelled run.
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        raise
    pool.shutdown()


def map_ordered(
    pool: Executor, fn: Callable[[A], R], items: Iterable[A], ahead: int
) -> Iterator[R]:
    """Results in the order of `items`, with at most `ahead` calls under way or waiting."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(fn, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
