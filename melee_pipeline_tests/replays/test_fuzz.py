"""A small, fixed part of the fuzzing; `fuzz.py` does as much as one likes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from melee_pipeline.replays.filters import Reason
from melee_pipeline_tests.replays.fuzz import jobs, verdict_of, written


def test_every_damaged_replay_ends_in_a_verdict(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    counts = Counter(verdict_of(job)[0] for job in jobs(400, 1, written(), tmp_path))
    assert set(counts) <= {"kept", *Reason}
    assert counts["kept"] > 20  # damage to values is not seen, and need not be
    assert counts[Reason.UNREADABLE] > 100
    assert capfd.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []
