"""The one seam for parallel work: an ordered, bounded map over a `concurrent.futures.Executor`.

A cluster engine that offers an Executor can take the pool's place without another code path. The
pool here is our own because a process that dies must cost one call, not all that are waiting: the
standard one is broken from then on, and cannot say which call it was.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from melee_pipeline.errors import MeleePipelineError

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")

# Starting and reaping touch multiprocessing's list of children, which threads must not do at once.
_CHILDREN = threading.Lock()


class WorkerLostError(MeleePipelineError):
    """The process that ran a call died, or took longer than it may and was ended."""


class InlineExecutor(Executor):
    """Runs each call at once in this process: no pool, and no shelter from a call that crashes."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - the future hands it to whoever asks
            future.set_exception(error)
        return future


class ProcessExecutor(Executor):
    """Runs calls in `workers` processes; a process that is lost is replaced at once.

    Processes come from a fork server: forking a process that already runs threads (Arrow's,
    Dagster's) can deadlock, and a fresh interpreter for each worker is slow. A call whose process
    dies, or that takes more than `limit` seconds, raises WorkerLostError.
    """

    def __init__(self, workers: int, limit: float | None = None) -> None:
        self._limit = limit
        self._calls: SimpleQueue[tuple[Future[Any], Any] | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        self._live: set[ForkServerProcess] = set()
        self._closing = False
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        future: Future[R] = Future()
        self._calls.put((future, (fn, args, kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes: when all calls are done, or at once with `cancel_futures`."""
        if cancel_futures:
            self._closing = True
            with _CHILDREN:
                for process in self._live:
                    process.kill()
        for _ in self._threads:
            self._calls.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _serve(self) -> None:
        """One thread: hands calls to its process, one at a time."""
        worker: _Worker | None = None
        while (task := self._calls.get()) is not None:
            future, call = task
            if self._closing or not future.set_running_or_notify_cancel():
                future.cancel()
                continue
            try:
                worker = worker or _Worker(self._live)
                done, value = worker.run(call, self._limit)
            except WorkerLostError as error:
                worker = None
                future.set_exception(error)
            except Exception as error:  # noqa: BLE001 - the future hands it to whoever asks
                future.set_exception(error)
            else:
                if done:
                    future.set_result(value)
                else:
                    future.set_exception(value)
        if worker is not None:
            worker.end()


class _Worker:
    """A process, and the pipe to it."""

    def __init__(self, live: set[ForkServerProcess]) -> None:
        context = multiprocessing.get_context("forkserver")
        self._pipe, theirs = context.Pipe()
        self._live = live
        with _CHILDREN:
            self._process = context.Process(target=_work, args=(theirs,), daemon=True)
            self._process.start()
            live.add(self._process)
        theirs.close()
        self._ready = False

    def run(self, call: object, limit: float | None) -> tuple[bool, Any]:
        """Whether the call gave a result, and the result or the exception."""
        try:
            self._pipe.send(call)
            if not self._ready:
                self._ready = self._pipe.recv()  # starting takes its time, and not the call's
            if not self._pipe.poll(limit):
                self.end(kill=True)
                raise WorkerLostError(f"it took more than {limit:g} seconds and was ended")
            answer: tuple[bool, Any] = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise WorkerLostError(f"its process died: {self.end()}") from error
        return answer

    def end(self, *, kill: bool = False) -> str:
        """Close the pipe, at which an idle process ends; gives back how it ended."""
        self._pipe.close()
        if kill:
            self._process.kill()
        multiprocessing.connection.wait([self._process.sentinel])
        with _CHILDREN:
            self._process.join()
            self._live.discard(self._process)
        code = self._process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _work(pipe: Connection) -> None:
    """What a process does: answer calls until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    pipe.send(True)
    while True:
        try:
            fn, args, kwargs = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = (True, fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - the future hands it to whoever asks
            answer = (False, error)
        pipe.send(answer)


def default_workers() -> int:
    """One process for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def executor(workers: int, limit: float | None = None) -> Iterator[Executor]:
    """An executor of `workers` processes, or of none (0): calls then run in this one.

    `limit` is how many seconds a call may take. Cancelling or failing ends the workers at once.
    """
    if workers <= 0:
        yield InlineExecutor()
        return
    pool = ProcessExecutor(workers, limit)
    try:
        yield pool
    except BaseException:
        # Waiting for queued work would hang a cancelled run.
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def map_ordered(
    pool: Executor,
    fn: Callable[[A], R],
    items: Iterable[A],
    ahead: int,
    lost: Callable[[A, WorkerLostError], R] | None = None,
) -> Iterator[R]:
    """Results in the order of `items`, with at most `ahead` calls under way or waiting.

    `lost` gives the result of a call whose process was lost; without it the error is raised.
    """
    waiting: deque[tuple[A, Future[R]]] = deque()

    def first() -> R:
        item, future = waiting.popleft()
        try:
            return future.result()
        except WorkerLostError as error:
            if lost is None:
                raise
            return lost(item, error)

    for item in items:
        waiting.append((item, pool.submit(fn, item)))
        if len(waiting) >= ahead:
            yield first()
    while waiting:
        yield first()
