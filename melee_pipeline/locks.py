"""One process at a time works on a source, and on a training run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from filelock import FileLock, Timeout

from melee_pipeline.errors import BusyError
from melee_pipeline.store import Store

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def source_lock(store: Store, source: str) -> Iterator[None]:
    """Work on a source, alone. What killed runs of it left is swept away first."""
    with alone(store, source):
        store.sweep(source)
        yield


@contextmanager
def run_lock(store: Store, experiment: str, version: str) -> Iterator[None]:
    """Work on a training run, alone."""
    with alone(store, f"{experiment}.{version}"):  # no source has a dot in its name
        yield


@contextmanager
def alone(store: Store, name: str, patience: float = 0) -> Iterator[None]:
    """Nobody else of this data root is here under this name. Raises as `hold` does."""
    told = f"{name}: {{who}} is working on it; wait until it has ended, then run again"
    with hold(store.locks, name, told, patience):
        yield


@contextmanager
def hold(folder: Path, name: str, told: str, patience: float = 0) -> Iterator[None]:
    """Hold a name in a folder; whoever has it gets `patience` seconds to end.

    The system frees the lock of a process that dies, so it is never stale. Raises BusyError that
    says `told`, with {who} for who holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / f"{name}.holder"
    lock = FileLock(folder / f"{name}.lock")
    try:
        lock.acquire(timeout=patience)
    except Timeout as error:
        who = "another process"
        with suppress(FileNotFoundError):  # it has just ended
            who = holder.read_text() or who
        raise BusyError(told.replace("{who}", who)) from error
    try:
        holder.write_text(f"process {os.getpid()}")  # a machine's name may tell whose it is
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def one_at_a_time(
    step: Callable[Concatenate[Store, str, P], R],
) -> Callable[Concatenate[Store, str, P], R]:
    """A step of a source (its name comes second) that holds the source's lock while it runs."""

    @wraps(step)
    def locked(store: Store, source: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with source_lock(store, source):
            return step(store, source, *args, **kwargs)

    return locked
