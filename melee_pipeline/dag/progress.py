"""Progress of long work as lines in a run's log."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from melee_pipeline.progress import Advance

SECONDS_BETWEEN_LINES = 10.0


class LogProgress:
    """The library's Progress, written to a Dagster log: a line at the end, and some on the way."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log

    @contextmanager
    def task(self, label: str, total: int | None, unit: str) -> Iterator[Advance]:
        """Progress of one task; the callable says how many units were done just now."""
        done, started = 0, time.monotonic()
        last, said = started, ""
        begun: tuple[int, float] | None = None

        def advance(count: int, note: str = "") -> None:
            nonlocal done, last, said, begun
            done, said = done + count, note and f", {note}"
            now = time.monotonic()
            begun = begun or (done, now)
            if now - last >= SECONDS_BETWEEN_LINES:
                last = now
                self._log.info(
                    f"{label}: {done:,}{_of(total)} {unit}, {now - started:.0f} s"
                    f"{_left(done, total, now, begun)}{said}"
                )

        yield advance
        self._log.info(f"{label}: {done:,} {unit} in {time.monotonic() - started:.1f} s{said}")


def _of(total: int | None) -> str:
    return f" of {total:,}" if total else ""


def _left(done: int, total: int | None, now: float, begun: tuple[int, float]) -> str:
    """The time left at the pace since the first word: that may tell what an earlier run did."""
    before, since = begun
    if not total or done == before:
        return ""
    return f", {(now - since) * (total - done) / (done - before):.0f} s left"
