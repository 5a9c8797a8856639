"""The chain by the command line, on real archives from a local server."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest

from melee_pipeline.cli import main
from melee_pipeline.store import ARCHIVE, GAMES, REPLAYS, SHARDS, TRAINING_SET, Stamp, Store
from melee_pipeline_tests.conftest import ARCHIVES
from melee_pipeline_tests.servers import serve

STAGES = (ARCHIVE, REPLAYS, GAMES, SHARDS)


def command(monkeypatch: pytest.MonkeyPatch, store: Store, *words: str) -> None:
    """Run the command line as its script does; it must succeed."""
    monkeypatch.setattr(sys, "argv", ["melee-pipeline", *words, "--data", str(store.root)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0


def stamps(store: Store, source: str) -> dict[str, Stamp]:
    found = {stage: store.stamp(stage, source) for stage in STAGES}
    return {stage: stamp for stage, stamp in found.items() if stamp is not None}


@pytest.mark.replays
def test_three_archives_then_nothing_then_a_fourth(
    replays_folder: Path,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serve(replays_folder) as url:
        names = [archive.partition(".")[0] for archive in ARCHIVES]
        for name, archive in zip(names, ARCHIVES, strict=True):
            command(monkeypatch, store, "sources", "add", name, f"{url}/{archive}")
        run = ["run", *(word for name in names for word in ("--source", name))]
        command(monkeypatch, store, *run)
        first = {name: stamps(store, name) for name in names}
        assert all(len(found) == len(STAGES) for found in first.values())
        joined = store.stamp(TRAINING_SET, "training_set")
        assert joined is not None
        # 145 games are described; whatever else the archives hold is refused or a duplicate.
        assert joined.report["games"] == 145
        capsys.readouterr()

        command(monkeypatch, store, *run)
        assert "Nothing to do: everything was up to date." in capsys.readouterr().out
        assert {name: stamps(store, name) for name in names} == first

        command(monkeypatch, store, "sources", "add", "edge", f"{url}/edge.7z")
        command(monkeypatch, store, *run, "--source", "edge")
    edge = stamps(store, "edge")
    assert edge[GAMES].report["parsed_now"] == edge[GAMES].report["files"] == 110
    assert {name: stamps(store, name) for name in names} == first
    again = store.stamp(TRAINING_SET, "training_set")
    assert again is not None
    games = pl.read_parquet(store.training_set)
    assert set(games["source"]) >= set(names)
    assert again.report["games"] == len(games) == games["content"].n_unique() > 145
