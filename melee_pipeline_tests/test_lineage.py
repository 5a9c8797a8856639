"""Lineage: from a training set back to where its games were fetched from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from melee_pipeline.errors import ArtefactError
from melee_pipeline.lineage import FILE_NAME, collect, read_lineage, sources_of
from melee_pipeline.pipeline import source_steps
from melee_pipeline.progress import Progress, Quiet
from melee_pipeline.sources.catalog import find_source
from melee_pipeline.store import (
    ARCHIVE,
    GAMES,
    REPLAYS,
    SHARDS,
    TRAINING_SET,
    Store,
    file_md5,
    write_json,
)
from melee_pipeline.tensors.join import build_training_set
from melee_pipeline.tensors.training_set import NAME, load_training_set
from melee_pipeline_tests.replays.games import small_game, write_games


def lineage_of(store: Store) -> dict[str, Any]:
    """What a run on all games of the store's training set would write, as JSON gives it back."""
    training_set = load_training_set(store)
    games: dict[str, list[str]] = {}
    for source, md5 in training_set.games.select("source", "md5").iter_rows():
        games.setdefault(source, []).append(md5)
    found: dict[str, Any] = json.loads(json.dumps(collect(training_set.stamp, games)))
    return found


def bring_up_to_date(store: Store, source: str) -> None:
    for step in source_steps(store, find_source(store, source), Quiet(), workers=1):
        step()
    build_training_set(store, Quiet())


def test_the_walk_names_every_step_of_every_source(built_store: Store) -> None:
    alpha, beta = sources_of(lineage_of(built_store))
    assert (alpha.source, beta.source) == ("alpha", "beta")
    folder = Path(alpha.location)
    assert folder == built_store.root.parent / "alpha"
    assert alpha.bytes == sum(path.stat().st_size for path in folder.iterdir())
    for source in (alpha, beta):
        stamps = {
            stage: built_store.need(stage, source.source, "")
            for stage in (ARCHIVE, REPLAYS, GAMES, SHARDS)
        }
        assert source.sha256 == stamps[ARCHIVE].version
        assert source.fetched_at == stamps[ARCHIVE].made_at
        assert source.replays == stamps[REPLAYS].version
        assert source.parsed == stamps[GAMES].version
        assert source.shards == stamps[SHARDS].version


def test_every_game_leads_to_a_file_of_its_source(built_store: Store) -> None:
    sources = sources_of(lineage_of(built_store))
    games = [md5 for source in sources for md5 in source.md5s]
    assert sorted(games) == sorted(load_training_set(built_store).games["md5"])
    for source in sources:
        files = {file_md5(path) for path in Path(source.location).iterdir()}
        assert source.md5s
        assert set(source.md5s) <= files


def test_only_the_games_used_are_listed(built_store: Store) -> None:
    """A run with max_games uses some of the games, perhaps of one source only."""
    stamp = built_store.need(TRAINING_SET, NAME, "")
    lineage = collect(stamp, {"beta": ["b", "a"]})
    assert [source.md5s for source in sources_of(lineage)] == [(), ("a", "b")]
    assert lineage["training_set"]["facts"]["data_fingerprint"]
    assert "report" not in lineage["training_set"]


def test_lineage_says_what_was_used_then(own_store: Store, tmp_path: Path) -> None:
    """A source that is fetched anew changes the next lineage, not one that was collected."""
    write_games(tmp_path / "gamma", small_game(1800, seed=20))
    write_json(
        own_store.user_catalog, {"gamma": {"kind": "local", "location": str(tmp_path / "gamma")}}
    )
    bring_up_to_date(own_store, "gamma")
    before = sources_of(lineage_of(own_store))
    old = lineage_of(own_store)
    write_games(tmp_path / "gamma", small_game(1800, seed=20), small_game(1800, seed=21))
    bring_up_to_date(own_store, "gamma")
    assert sources_of(old) == before
    after = sources_of(lineage_of(own_store))
    assert after[:2] == before[:2]
    assert [len(source.md5s) for source in (before[2], after[2])] == [1, 2]
    for step in ("sha256", "replays", "parsed", "shards"):
        assert getattr(before[2], step) != getattr(after[2], step), step


def test_lineage_needs_nothing_but_its_file(built_store: Store, tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_json(run / FILE_NAME, {**lineage_of(built_store), "data_fingerprint": "f"})
    (run / "best.pt").touch()
    for place in (run, run / "best.pt"):
        assert sources_of(read_lineage(place)) == sources_of(lineage_of(built_store))


def test_lineage_tells_no_names_of_files(built_store: Store) -> None:
    """Names of replays can hold players' names."""
    assert ".slp" not in json.dumps(lineage_of(built_store))


def test_a_checkpoint_without_lineage_is_named(tmp_path: Path, quiet: Progress) -> None:
    (tmp_path / "best.pt").touch()
    with pytest.raises(ArtefactError, match=r"best\.pt has no lineage\.json beside it"):
        read_lineage(tmp_path / "best.pt")


@pytest.mark.parametrize("content", [{}, [], {"games": {}, "training_set": {}}])
def test_what_is_no_lineage_is_named(tmp_path: Path, content: object) -> None:
    write_json(tmp_path / FILE_NAME, content)
    says = r"lineage\.json is not a run's lineage: expected an object with data_fingerprint, games,"
    with pytest.raises(ArtefactError, match=says):
        read_lineage(tmp_path)
