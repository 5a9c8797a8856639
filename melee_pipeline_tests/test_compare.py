"""Two checkpoints side by side, from what lies beside them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from melee_pipeline.compare import compare
from melee_pipeline.errors import ArtefactError
from melee_pipeline.progress import Quiet
from melee_pipeline.replays.game import Metadata
from melee_pipeline.sources.catalog import add_source, find_source, remove_source
from melee_pipeline.store import Store, file_md5, read_json, write_json
from melee_pipeline.tables_lineage import print_comparison
from melee_pipeline.tensors.join import build_training_set
from melee_pipeline_tests.replays.games import small_game, write_games
from melee_pipeline_tests.runs import leave_run
from melee_pipeline_tests.test_lineage import bring_up_to_date


def test_a_run_equals_itself(own_store: Store) -> None:
    run = leave_run(own_store)
    found = compare(run, run / "best.pt")
    assert (found.same_data, found.same_contents, found.same_split) == (True, True, True)
    assert found.common_games == 6
    assert found.only == ({}, {})
    assert not found.moved and not found.sources and not found.settings and not found.code
    assert found.results["validation_loss"] == (0.5, 0.5)
    assert found.results["epoch"] == (2, 2)


def test_settings_and_code_that_differ_are_named(own_store: Store) -> None:
    one = leave_run(own_store, "one")
    other = leave_run(
        own_store,
        "two",
        lr=0.5,
        hidden=[8, 4],
        facts={"git_commit": "1" * 40, "machine": {"system": "Linux", "device": "H100"}},
    )
    found = compare(one, other)
    assert found.same_data
    assert found.settings == {"lr": (0.001, 0.5), "model.hidden": ([16], [8, 4])}
    assert found.code == {"git_commit": ("0" * 40, "1" * 40), "device": ("cpu", "H100")}


def test_games_and_sources_that_differ_are_named(own_store: Store, tmp_path: Path) -> None:
    """After alpha has lost a game and got another, beta has gone, and gamma has come."""
    before = leave_run(own_store, "before")
    alpha = own_store.root.parent / "own-alpha"
    shutil.copytree(find_source(own_store, "alpha").location or "", alpha)
    catalog = yaml.safe_load(own_store.user_catalog.read_text())
    write_json(
        own_store.user_catalog, {**catalog, "alpha": {"kind": "local", "location": str(alpha)}}
    )
    gone = file_md5(alpha / "game-1.slp")
    (alpha / "game-1.slp").unlink()
    [came] = write_games(tmp_path / "new", small_game(1800, seed=30))
    came = came.rename(alpha / "new.slp")
    [third] = write_games(tmp_path / "gamma", small_game(1800, seed=31))
    add_source(own_store, "gamma", str(tmp_path / "gamma"))
    bring_up_to_date(own_store, "alpha")
    bring_up_to_date(own_store, "gamma")
    remove_source(own_store, "beta")
    build_training_set(own_store, Quiet())
    after = leave_run(own_store, "after")
    found = compare(before, after)
    assert not found.same_data and not found.same_contents
    beta = read_json(before / "lineage.json")["games"]["beta"]
    assert found.only[0] == {"alpha": [gone], "beta": beta}
    assert found.only[1] == {"alpha": [file_md5(came)], "gamma": [file_md5(third)]}
    assert found.common_games == 6 - 1 - len(beta)
    assert found.data_fingerprint[0] != found.data_fingerprint[1]
    assert set(found.sources) == {"alpha", "beta", "gamma"}
    assert set(found.sources["alpha"]) == {"location", "sha256", "replays", "parsed", "shards"}
    assert found.sources["beta"]["sha256"][1] is None
    assert found.sources["gamma"]["sha256"][0] is None


def test_the_same_games_as_other_files_are_told_from_other_games(
    store: Store, tmp_path: Path
) -> None:
    games = [small_game(1800, seed=seed) for seed in range(3)]
    again = [replace(game, metadata=Metadata(start_at="2003-03-03T03:03:03Z")) for game in games]
    write_games(tmp_path / "mine", *games)
    add_source(store, "mine", str(tmp_path / "mine"))
    bring_up_to_date(store, "mine")
    one = leave_run(store, "one")
    write_games(tmp_path / "mine", *again)
    bring_up_to_date(store, "mine")
    found = compare(one, leave_run(store, "two"))
    assert (found.same_data, found.same_contents, found.same_split) == (False, True, True)
    assert found.common_games == 0


def test_a_game_of_another_source_is_the_same_data(own_store: Store) -> None:
    one = leave_run(own_store, "one")
    other = leave_run(own_store, "two")
    lineage = read_json(other / "lineage.json")
    moved = lineage["games"]["alpha"].pop()
    lineage["games"]["beta"].append(moved)
    write_json(other / "lineage.json", lineage)
    found = compare(one, other)
    assert found.same_data
    assert found.moved == [{"md5": moved, "first": "alpha", "second": "beta"}]


def test_a_checkpoint_without_its_record_is_compared_as_far_as_it_goes(
    own_store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not known is not told as the same, be it of one or of both."""
    monkeypatch.setenv("COLUMNS", "400")
    one, other = leave_run(own_store, "one"), leave_run(own_store, "two", lr=0.5)
    without: list[str] = []
    for run in (other, one):
        (run / "manifest.json").unlink()
        without.insert(0, str(run))
        found = compare(one, other)
        assert found.same_data
        assert (found.same_contents, found.same_split) == (None, None)
        assert (found.settings, found.code, found.without_record) == (None, {}, without)
        print_comparison(found)
        told = capsys.readouterr().out
        assert f"unknown; there is no manifest.json in {', '.join(without)}" in told
        assert "Settings: the same" not in told
        assert "Code that made the data: the same" in told


def test_what_is_no_checkpoint_is_named(own_store: Store, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"nowhere does not exist"):
        compare(leave_run(own_store), tmp_path / "nowhere")
