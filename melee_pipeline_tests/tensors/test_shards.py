"""Shards: what they hold, that they are made once, and that others are refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from melee_pipeline.errors import ArtefactError, SchemaMismatchError
from melee_pipeline.progress import Progress
from melee_pipeline.replays.index import read_index, write_index
from melee_pipeline.replays.source import games_version, parse_source
from melee_pipeline.replays.tables import read_game
from melee_pipeline.schema.encoding import encoding
from melee_pipeline.schema.rows import blocks, packed_fields, rows_hash
from melee_pipeline.schema.table import ENCODINGS
from melee_pipeline.sources.catalog import find_source
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.sources.extract import extract_replays
from melee_pipeline.store import GAMES, SHARDS, TRAINING_SET, Store, file_sha256, write_json
from melee_pipeline.tensors import shards
from melee_pipeline.tensors.derive import read_packable
from melee_pipeline.tensors.encode import round_trip_errors
from melee_pipeline.tensors.join import build_training_set
from melee_pipeline.tensors.shards import build_shards, open_shard
from melee_pipeline.versions import ENCODER_VERSION
from melee_pipeline_tests.replays.games import small_game, write_games


def header_of(path: Path) -> dict[str, object]:
    with safe_open(path, framework="np") as file:
        header: dict[str, object] = json.loads(file.metadata()["melee_pipeline"])
        return header


def relabel(path: Path, **changes: object) -> None:
    """Write a shard's header anew, as another version of the package would have written it."""
    header = {**header_of(path), **changes}
    save_file(load_file(path), path, metadata={"melee_pipeline": json.dumps(header)})


def again(store: Store, source: str, progress: Progress) -> None:
    """Build the shards though they are there."""
    (store.root / "stamps" / SHARDS / f"{source}.json").unlink()
    build_shards(store, source, progress)


def shard_of(store: Store, source: str) -> Path:
    [path] = store.shards(source).glob("*.safetensors")
    return path


def test_a_shard_gives_every_game_back(built_store: Store) -> None:
    shard = open_shard(shard_of(built_store, "alpha"))
    assert shard.md5s == sorted(
        p.stem for p in built_store.games("alpha").glob("*.parquet") if p.stem != "index"
    )
    frames = 0
    for md5, found in shard.games():
        table = read_packable(built_store.games("alpha") / f"{md5}.parquet")
        assert {len(block) for block in found.rows.values()} == {table.num_rows}
        assert round_trip_errors(table, found) == []
        frames += table.num_rows
    assert len(shard.records) == frames


def test_blocks_and_masks_have_the_layout_of_the_field_table(built_store: Store) -> None:
    shard = open_shard(shard_of(built_store, "alpha"))
    [(_, found), *_] = shard.games()
    for block in blocks():
        stored = found.rows[block.name]
        assert (stored.shape[1:], stored.dtype) == (block.row_shape, np.dtype(block.dtype))
    assert shard.available.shape == (4, len(packed_fields()))
    assert shard.available.all(1).tolist().count(False) == 1  # the game of Slippi 2.0.1


def test_the_header_says_what_the_shard_is(built_store: Store) -> None:
    path = shard_of(built_store, "beta")
    assert header_of(path) == {
        "kind": "shard",
        "rows": rows_hash(),
        "encoder": ENCODER_VERSION,
        "source": "beta",
        "games": [[game.md5, game.content, game.packed] for game in open_shard(path).listed],
    }


def test_the_report_counts_what_was_packed(built_store: Store) -> None:
    stamp = built_store.need(SHARDS, "alpha", "")
    report = stamp.report
    assert (report["games"], report["frames"]) == (4, 1800 + 1810 + 1820 + 1850)
    assert report["games_recording"]["x"] == 4
    assert report["games_recording"]["hitlag"] == report["games_recording"]["speed_y"] == 3
    assert report["ranges"]["stocks"] == [1, 4]
    assert set(report["ids_mapped_to_unknown"].values()) == {0}
    assert stamp.upstream[0]["version"] == built_store.need(GAMES, "alpha", "").version


def test_ids_of_no_vocabulary_are_counted(store: Store, tmp_path: Path, quiet: Progress) -> None:
    """Of the players and of the frame: a stage that no encoding knows."""
    write_games(tmp_path / "mine", small_game(1800), small_game(1900, seed=1, stage=200))
    entry = {"kind": "local", "location": str(tmp_path / "mine"), "filters": {"stages": []}}
    write_json(store.user_catalog, {"mine": entry})
    fetch_archive(store, find_source(store, "mine"), quiet)
    extract_replays(store, "mine", quiet)
    parse_source(store, "mine", quiet, workers=0)
    found = build_shards(store, "mine", quiet).report["ids_mapped_to_unknown"]
    assert {name: count for name, count in found.items() if count} == {
        "v2 stage": 1900,
        "v3 stage": 1900,
    }
    wanted = {f"{v} {s.name}" for v in ENCODINGS for s in encoding(v).slots if s.use.vocabulary}
    assert set(found) == wanted


def test_building_again_does_nothing(own_store: Store, quiet: Progress) -> None:
    before = shard_of(own_store, "alpha").stat().st_mtime_ns
    stamp = build_shards(own_store, "alpha", quiet)
    assert not stamp.fresh
    assert shard_of(own_store, "alpha").stat().st_mtime_ns == before


def test_the_same_games_give_the_same_bytes(own_store: Store, quiet: Progress) -> None:
    before = file_sha256(shard_of(own_store, "alpha")), own_store.need(SHARDS, "alpha", "").version
    again(own_store, "alpha", quiet)
    after = file_sha256(shard_of(own_store, "alpha")), own_store.need(SHARDS, "alpha", "").version
    assert after == before


def test_many_games_are_cut_into_several_shards(
    own_store: Store, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = open_shard(shard_of(own_store, "alpha"))
    monkeypatch.setattr(shards, "GAMES_PER_SHARD", 3)
    again(own_store, "alpha", quiet)
    paths = sorted(own_store.shards("alpha").iterdir())
    assert [path.name for path in paths] == ["0000.safetensors", "0001.safetensors"]
    parts = [open_shard(path) for path in paths]
    assert [len(part.md5s) for part in parts] == [3, 1]
    assert parts[0].md5s + parts[1].md5s == whole.md5s
    assert torch.equal(torch.cat([part.records for part in parts]), whole.records)


def test_a_game_that_does_not_fit_is_left_out_by_name(own_store: Store, quiet: Progress) -> None:
    bad = open_shard(shard_of(own_store, "alpha")).md5s[1]
    path = own_store.games("alpha") / f"{bad}.parquet"
    table = read_game(path)
    percent = table.column("p1_percent").to_numpy().copy()
    percent[7] = 5000
    place = table.schema.get_field_index("p1_percent")
    header = pq.read_metadata(path).metadata
    table = table.set_column(place, table.schema.field(place), [percent])
    pq.write_table(table.replace_schema_metadata(header), path)
    again(own_store, "alpha", quiet)
    report = own_store.need(SHARDS, "alpha", "").report
    assert report["left_out"] == {
        bad: "percent: 5000.0 in row 7 does not fit i2 in steps of 1/32",
    }
    assert report["games"] == 3
    assert bad not in open_shard(shard_of(own_store, "alpha")).md5s


@pytest.mark.parametrize("changes", [{"rows": "0" * 12}, {"encoder": "0"}, {"kind": "table"}])
def test_a_shard_of_another_layout_is_refused(own_store: Store, changes: dict[str, str]) -> None:
    path = shard_of(own_store, "beta")
    relabel(path, **changes)
    [(key, value)] = changes.items()
    with pytest.raises(SchemaMismatchError, match=f"{key}: expected .*, found '{value}'") as error:
        open_shard(path)
    assert str(path) in str(error.value)
    assert str(error.value).count("expected") == 1


def test_all_differences_are_listed_at_once(own_store: Store, quiet: Progress) -> None:
    """A training set over a shard that another version wrote."""
    relabel(shard_of(own_store, "beta"), rows="0" * 12, encoder="0")
    (own_store.root / "stamps" / TRAINING_SET / "training_set.json").unlink()
    with pytest.raises(SchemaMismatchError) as error:
        build_training_set(own_store, quiet)
    assert str(error.value).splitlines()[1:] == [
        f"  encoder: expected '{ENCODER_VERSION}', found '0'",
        f"  rows: expected '{rows_hash()}', found '000000000000'",
    ]


def test_a_damaged_shard_is_named(own_store: Store) -> None:
    path = shard_of(own_store, "alpha")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArtefactError, match=r"0000\.safetensors is not a readable shard") as error:
        open_shard(path)
    assert f"delete {path.parent} and encode again: melee-pipeline run --source alpha" in str(
        error.value
    )


def test_shards_that_were_deleted_are_made_again(own_store: Store, quiet: Progress) -> None:
    """What the error about a damaged shard tells people to do."""
    path = shard_of(own_store, "alpha")
    before = file_sha256(path)
    shutil.rmtree(path.parent)
    assert build_shards(own_store, "alpha", quiet).fresh
    assert file_sha256(path) == before
    path.unlink()
    assert build_shards(own_store, "alpha", quiet).fresh
    assert file_sha256(path) == before


def test_shards_of_before_records_are_refused(own_store: Store) -> None:
    """Encoder 1 kept each block in a tensor of its own."""
    path = shard_of(own_store, "alpha")
    header = {**header_of(path), "encoder": "1"}
    tensors = {"player_f4": torch.zeros(4, 2, 2), "ends": torch.tensor([4])}
    save_file(tensors, path, metadata={"melee_pipeline": json.dumps(header)})
    again = r"does not fit; encode again: melee-pipeline run --source alpha:\n  encoder: "
    with pytest.raises(SchemaMismatchError, match=again):
        open_shard(path)


def test_other_parsed_games_make_other_shards(own_store: Store, quiet: Progress) -> None:
    before = own_store.need(SHARDS, "alpha", "")
    index = own_store.index("alpha")
    rows = read_index(index)[1:]
    write_index(index, rows)
    own_store.forget(SHARDS, "alpha")
    with pytest.raises(ArtefactError, match=r"lists other games than were recorded; parse them"):
        build_shards(own_store, "alpha", quiet)  # a parse was killed before its stamp
    own_store.put(before)
    own_store.put(replace(own_store.need(GAMES, "alpha", ""), version=games_version(rows)))
    after = build_shards(own_store, "alpha", quiet)
    assert after.fresh and after.facts["games"] == before.facts["games"] - 1


def test_a_source_that_was_not_parsed_is_named(store: Store, quiet: Progress) -> None:
    with pytest.raises(ArtefactError, match=r"gamma: no games .* run --source gamma"):
        build_shards(store, "gamma", quiet)
