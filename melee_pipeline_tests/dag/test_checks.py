"""Every check, on an artefact that is as it should be and on one that is not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import dagster as dg
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from melee_pipeline.dag import checks
from melee_pipeline.dag.metadata.models import evaluation as show_evaluation
from melee_pipeline.models.config import MLPConfig
from melee_pipeline.progress import Progress
from melee_pipeline.replays import frames, oracle
from melee_pipeline.replays.filters import Reason
from melee_pipeline.replays.index import read_index, write_index
from melee_pipeline.schema.rows import rows_hash
from melee_pipeline.store import (
    ARCHIVE,
    EVALUATION,
    GAMES,
    REPLAYS,
    SHARDS,
    TRAINING_SET,
    Stamp,
    Store,
    read_json,
    write_json,
)
from melee_pipeline.tensors.records import shard_layout
from melee_pipeline.tensors.training_set import set_version
from melee_pipeline.training.config import TrainConfig
from melee_pipeline.training.loop import train

SOURCE = "alpha"


def failed(results: list[dg.AssetCheckResult]) -> set[str | None]:
    """Names of the checks that did not pass."""
    return {result.check_name for result in results if not result.passed}


def test_what_the_chain_makes_passes(own_store: Store) -> None:
    store = own_store
    archive = store.need(ARCHIVE, SOURCE, "")
    assert failed(checks.check_archive(archive)) == set()
    assert failed(checks.check_replays(store, store.need(REPLAYS, SOURCE, ""))) == set()
    games = checks.check_games(store, store.need(GAMES, SOURCE, ""))
    assert failed(games) == set()
    assert games[-1].metadata["games_compared"].value == checks.PEPPI_GAMES
    assert failed(checks.check_shards(store, store.need(SHARDS, SOURCE, ""))) == set()
    assert failed(checks.check_training_set(store)) == set()


def test_an_archive_that_is_none_or_of_another_size(own_store: Store, tmp_path: Path) -> None:
    stamp = own_store.need(ARCHIVE, SOURCE, "")
    page = tmp_path / "page.7z"
    page.write_text("<html>")
    listed = {"name": page.name, "file": str(page), "bytes": 6, "sha256": ""}
    facts = {**stamp.facts, "file": str(page), "bytes": 6, "archives": [listed], "loose": 0}
    assert failed(checks.check_archive(replace(stamp, facts=facts))) == {"is_an_archive"}
    cut = {**facts, "bytes": 7, "archives": [{**listed, "bytes": 7}]}
    assert "announced_size" in failed(checks.check_archive(replace(stamp, facts=cut)))


def test_no_replays_and_replays_elsewhere(own_store: Store, tmp_path: Path) -> None:
    stamp = own_store.need(REPLAYS, SOURCE, "")
    (tmp_path / "empty").mkdir()
    empty = {**stamp.facts, "folder": str(tmp_path / "empty"), "roots": [str(tmp_path / "empty")]}
    own_store.put(replace(stamp, facts=empty))
    found = checks.check_replays(own_store, own_store.need(REPLAYS, SOURCE, ""))
    assert failed(found) == {"has_replays"}
    outside = next(Path(stamp.facts["roots"][0]).rglob("*.slp"))
    (tmp_path / "empty" / "link.slp").symlink_to(outside)
    found = checks.check_replays(own_store, own_store.need(REPLAYS, SOURCE, ""))
    assert failed(found) == {"stays_inside"}


def test_unreadable_files_other_columns_and_gaps(own_store: Store) -> None:
    stamp = own_store.need(GAMES, SOURCE, "")
    index = own_store.index(SOURCE)
    rows = read_index(index)
    bad = [replace(row, reason=Reason.UNREADABLE.value, verdict="refused") for row in rows[1:]]
    write_index(index, [rows[0], *bad])
    assert failed(checks.check_games(own_store, stamp)) == {"failure_rate"}
    write_index(index, [replace(row, frames=(row.frames or 0) + 1) for row in rows])
    assert failed(checks.check_games(own_store, stamp)) == {"frames_without_gaps"}
    write_index(index, rows)
    table = own_store.games(SOURCE) / f"{rows[0].md5}.parquet"
    pq.write_table(pa.table({"frame": [1]}), table)
    assert failed(checks.check_games(own_store, stamp)) == {"schema"}


def test_a_game_that_peppi_reads_otherwise(
    own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = frames.first_of_each
    monkeypatch.setattr(oracle, "last_of_each", lambda ids: first(ids)[::-1])
    stamp = own_store.need(GAMES, SOURCE, "")
    assert failed(checks.check_games(own_store, stamp)) == {"same_as_peppi"}


def test_numbers_that_no_game_has_and_shards_of_other_rows(own_store: Store) -> None:
    stamp = own_store.need(SHARDS, SOURCE, "")
    [path] = own_store.shards(SOURCE).glob("*.safetensors")
    header = {"melee_pipeline": pq_header(path)}
    content = load_file(path)
    place = next(p for p in shard_layout().places if p.name == "player_f2")
    content["records"][11, place.start : place.start + 2] = (0, 0x7E)  # NaN
    save_file(content, path, metadata=header)
    assert failed(checks.check_shards(own_store, stamp)) == {"finite_and_in_range", "round_trip"}


def pq_header(path: Path) -> str:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return str(file.metadata()["melee_pipeline"])


def joined_as(store: Store, games: pl.DataFrame) -> None:
    """As if the join had made this set."""
    games.write_parquet(store.training_set)
    stamp = store.need(TRAINING_SET, TRAINING_SET, "")
    store.put(replace(stamp, version=set_version(games, rows_hash())))


def test_a_game_twice_and_on_both_sides(own_store: Store) -> None:
    games = pl.read_parquet(own_store.training_set)
    joined_as(own_store, pl.concat([games, games.head(1)]))
    assert failed(checks.check_training_set(own_store)) == {"no_game_twice"}
    side = "train" if games["split"][0] == "validation" else "validation"
    other = games.head(1).with_columns(md5=pl.lit("0" * 32), split=pl.lit(side))
    joined_as(own_store, pl.concat([games, other]))
    assert failed(checks.check_training_set(own_store)) == {"no_game_twice", "splits_are_apart"}


def test_losses_that_are_not_finite_and_a_checkpoint_that_does_not_load(
    own_store: Store, quiet: Progress
) -> None:
    config = TrainConfig(
        experiment="tiny", model=MLPConfig(encoding="v1", context=2, hidden=(8,)), epochs=1
    )
    stamp = train(own_store, config, device="cpu", wandb="off", progress=quiet)
    assert failed(checks.check_checkpoint(own_store, stamp)) == set()
    run = own_store.root / str(stamp.facts["run"])
    manifest = read_json(run / "manifest.json")
    manifest["all_epochs"][0]["loss"] = float("nan")
    write_json(run / "manifest.json", manifest)
    assert failed(checks.check_checkpoint(own_store, stamp)) == {"loss_is_finite"}
    shutil.copy(run / "curves.png", run / "best.pt")
    assert failed(checks.check_checkpoint(own_store, stamp)) == {"loss_is_finite", "loads"}


def test_a_model_that_loses_to_a_baseline_is_a_warning(own_store: Store) -> None:
    report = {
        "split": "validation",
        "games": 1,
        "beats_baselines": False,
        "lost_to_baselines": ["position_mae"],
        "table": [{"model": "tiny", "position_mae": 2.0}, {"model": "copy", "position_mae": 1.0}],
        "horizons": {"tiny": [1.0, 3.0], "copy": [1.0, 2.0]},
        "model": {"position_mae": 2.0},
    }
    facts = {"run": "runs/tiny/0", "pictures": []}
    inputs = {"checkpoint": "0/best.pt"}
    stamp = own_store.put(Stamp(EVALUATION, "tiny", inputs, "1", report, facts))
    [lost] = show_evaluation(own_store, stamp).check_results
    assert (lost.passed, lost.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert lost.metadata["worse_in"].value == "position_mae"
    won = {**report, "beats_baselines": True, "lost_to_baselines": []}
    [beaten] = show_evaluation(own_store, replace(stamp, report=won)).check_results
    assert beaten.passed
