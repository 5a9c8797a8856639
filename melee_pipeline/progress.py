"""Progress of long work: one small protocol, drawn as bars on a terminal or as plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Somebody who is told how work goes."""

    def task(
        self, label: str, total: int | None, unit: str
    ) -> AbstractContextManager[Callable[[int], None]]:
        """A task of `total` units (None: unknown); the callable says how many were just done."""
        ...


class Quiet:
    """Tells nobody."""

    @contextmanager
    def task(self, label: str, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
        yield lambda count: None


class RichProgress:
    """Bars with rate and time left on stderr; a line for each task where that is no terminal."""

    @contextmanager
    def task(self, label: str, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
        if sys.stderr.isatty():
            with _bar(label, total, unit) as advance:
                yield advance
            return
        done, started = 0, time.monotonic()

        def count_only(count: int) -> None:
            nonlocal done
            done += count

        yield count_only
        print(f"{label}: {done:,} {unit}, {time.monotonic() - started:.1f} s", file=sys.stderr)


@contextmanager
def _bar(label: str, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
    from rich import progress
    from rich.console import Console

    amount: tuple[progress.ProgressColumn, ...] = (
        (progress.DownloadColumn(), progress.TransferSpeedColumn())
        if unit == "bytes"
        else (progress.MofNCompleteColumn(), progress.TextColumn(unit))
    )
    with progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        *amount,
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bars:
        task = bars.add_task(label, total=total)
        yield lambda count: bars.advance(task, count)
