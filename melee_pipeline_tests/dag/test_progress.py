"""Progress in a run's log: how much, and how long it still takes."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from melee_pipeline.dag import progress
from melee_pipeline.dag.progress import LogProgress


class Clock:
    """A clock that the test sets."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.mark.parametrize(
    ("before", "left"),
    [(900, "10 s left"), (0, "190 s left")],
    ids=["going on", "from the beginning"],
)
def test_the_time_left_is_of_the_pace_of_this_sitting(
    clock: Clock, caplog: pytest.LogCaptureFixture, before: int, left: str
) -> None:
    """50 in 10 s: 5 a second, whatever was there when it began."""
    with (
        caplog.at_level(logging.INFO),
        LogProgress(logging.getLogger("run")).task("fetch", 1000, "bytes") as advance,
    ):
        advance(before)
        clock.now += 10
        advance(50)
    said, end = caplog.messages
    assert said == f"fetch: {before + 50} of 1,000 bytes, 10 s, {left}"
    assert end == f"fetch: {before + 50} bytes in 10.0 s"


def test_nothing_is_said_of_the_time_left_before_anything_was_done(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.INFO),
        LogProgress(logging.getLogger("run")).task("parse", 10, "files") as advance,
    ):
        clock.now += 20
        advance(1)
    assert caplog.messages[0] == "parse: 1 of 10 files, 20 s"
