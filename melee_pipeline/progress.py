"""Progress of long work: one small protocol, drawn as bars on a terminal or as plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Says how many units were just done, and in a few words how it goes."""

    def __call__(self, count: int, note: str = "") -> None: ...


class Progress(Protocol):
    """Somebody who is told how work goes."""

    def task(self, label: str, total: int | None, unit: str) -> AbstractContextManager[Advance]:
        """A task of `total` units (None: unknown)."""
        ...


class Quiet:
    """Tells nobody."""

    @contextmanager
    def task(self, label: str, total: int | None, unit: str) -> Iterator[Advance]:
        yield lambda count, note="": None


SECONDS_BETWEEN_LINES = 30.0


class RichProgress:
    """Bars with time left on stderr; where that is no terminal, lines now and then."""

    @contextmanager
    def task(self, label: str, total: int | None, unit: str) -> Iterator[Advance]:
        if sys.stderr.isatty():
            with _bar(label, total, unit) as advance:
                yield advance
            return
        done, started, last = 0, time.monotonic(), ""
        said = started

        def count_only(count: int, note: str = "") -> None:
            nonlocal done, last, said
            done += count
            last = note and f", {note}"
            if time.monotonic() - said > SECONDS_BETWEEN_LINES:
                said = time.monotonic()
                whole = f" of {total:,}" if total else ""
                print(f"{label}: {done:,}{whole} {unit}{last}", file=sys.stderr)

        yield count_only
        seconds = time.monotonic() - started
        print(f"{label}: {done:,} {unit}, {seconds:.1f} s{last}", file=sys.stderr)


@contextmanager
def _bar(label: str, total: int | None, unit: str) -> Iterator[Advance]:
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
        progress.TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    ) as bars:
        task = bars.add_task(label, total=total, note="")
        yield lambda count, note="": bars.update(task, advance=count, note=note)
