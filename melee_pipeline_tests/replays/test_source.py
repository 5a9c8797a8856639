"""A source's own filters: read from its entry, part of what its games are made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from melee_pipeline.errors import CatalogError, ConfigError
from melee_pipeline.pipeline import run_chain
from melee_pipeline.progress import Progress
from melee_pipeline.replays.filters import LEGAL_STAGES, Filters, filters_of
from melee_pipeline.replays.game import CPU, Player
from melee_pipeline.replays.source import parse_source, source_filters
from melee_pipeline.sources.catalog import find_source, load_catalog
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.sources.extract import extract_replays
from melee_pipeline.store import Store, write_json
from melee_pipeline_tests.replays.games import FALCO, FOX, small_game, write_games


def describe(store: Store, folder: Path, **filters: Any) -> None:  # noqa: ANN401 - as in YAML
    entry = {"kind": "local", "location": str(folder), "filters": filters}
    write_json(store.user_catalog, {"mine": entry})


def test_every_filter_can_be_written_in_a_catalogue() -> None:
    entry = {
        "cpus": True,
        "doubles": True,
        "ice_climbers": True,
        "items": True,
        "truncated": False,
        "stages": [2, 31],
        "min_frames": 60,
        "min_version": "3.7",
        "max_version": "3.16.0",
    }
    wanted = Filters(
        cpus=True,
        doubles=True,
        ice_climbers=True,
        items=True,
        truncated=False,
        stages=frozenset({2, 31}),
        min_frames=60,
        min_version=(3, 7, 0),
        max_version=(3, 16, 0),
    )
    assert set(entry) == set(Filters.__slots__)
    assert filters_of(entry, "x") == wanted
    assert filters_of({}, "x") == Filters()
    assert filters_of({"stages": []}, "x").stages == frozenset()
    assert Filters().stages == LEGAL_STAGES


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"min_length": 60}, "filter 'min_length' is unknown; there are cpus, doubles"),
        ({"cpus": "yes"}, "filter cpus is 'yes'; expected true or false"),
        ({"cpus": 1}, "filter cpus is 1; expected true or false"),
        ({"min_version": 3.7}, "filter min_version is 3.7; expected a version in quotes"),
        ({"min_version": "new"}, "Slippi version 'new': write it as 3.7.0"),
        ({"stages": 31}, "filter stages is 31; expected a list of stages' external ids"),
        ({"min_frames": True}, "filter min_frames is True; expected a whole number"),
        ({"min_frames": 1}, "min_frames is 1; a game has 2 frames or more"),
    ],
)
def test_a_wrong_filter_is_named_with_its_source(
    entry: dict[str, Any], says: str, store: Store, tmp_path: Path, quiet: Progress
) -> None:
    describe(store, tmp_path, **entry)
    with pytest.raises(ConfigError) as caught:
        run_chain(store, ["mine"], None, quiet)
    assert str(caught.value).startswith("source mine: ")
    assert says in str(caught.value)
    assert not (store.root / "stamps").exists(), "refused before anything was done"


def test_filters_that_are_no_mapping_are_named_with_their_file(store: Store) -> None:
    write_json(store.user_catalog, {"mine": {"kind": "local", "location": "/", "filters": [1]}})
    with pytest.raises(CatalogError, match=r"sources\.yaml: source mine: filters:"):
        load_catalog(store)


def test_changing_a_filter_parses_anew(store: Store, tmp_path: Path, quiet: Progress) -> None:
    cpu = (Player(1, FOX), Player(2, FALCO, type=CPU))
    write_games(tmp_path / "in", small_game(), small_game(500, seed=1), small_game(players=cpu))
    describe(store, tmp_path / "in")
    fetch_archive(store, find_source(store, "mine"), quiet)
    extract_replays(store, "mine", quiet)
    plain = parse_source(store, "mine", quiet, workers=0)
    assert plain.report["refused"] == {"CPU": 1, "too short": 1}
    describe(store, tmp_path / "in", cpus=True, min_frames=300)
    assert source_filters(store, "mine") == Filters(cpus=True, min_frames=300)
    wide = parse_source(store, "mine", quiet, workers=0)
    assert (wide.fresh, wide.report["games"]) == (True, 3)
    assert wide.inputs["replays"] == plain.inputs["replays"]
    assert wide.inputs["parser"] != plain.inputs["parser"]
    assert not parse_source(store, "mine", quiet, workers=0).fresh
    describe(store, tmp_path / "in")
    again = parse_source(store, "mine", quiet, workers=0)
    assert (again.version, again.inputs) == (plain.version, plain.inputs)
