"""The export against the file that slippi-ai made of the same replay, and against its rules."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melee_pipeline.progress import Progress
from melee_pipeline.replays.export import export_files
from melee_pipeline.replays.game import CPU, Player, absent_from, roll_back
from melee_pipeline.replays.parse import parse_files
from melee_pipeline.replays.randall import randall_positions
from melee_pipeline.replays.read import read_replay
from melee_pipeline.replays.slippi_ai import ITEM_SLOTS, _slots, slippi_ai_game, to_slippi_ai
from melee_pipeline.replays.write import to_bytes
from melee_pipeline.sources.extract import folder_replays
from melee_pipeline.store import file_md5
from melee_pipeline_tests.replays.games import FALCO, FOX, small_game, write_games

TOY = "6827921534249607dafa57e9a67f8df4"


def read_root(content: bytes) -> pa.StructArray:
    table = pq.read_table(io.BytesIO(zlib.decompress(content)))
    assert table.column_names == ["root"]
    return table.column("root").combine_chunks()


def leaves(array: pa.StructArray, path: str = "") -> Iterator[tuple[str, pa.Array]]:
    for field in array.type:
        child = array.field(field.name)
        if pa.types.is_struct(child.type):
            yield from leaves(child, f"{path}{field.name}.")
        else:
            yield f"{path}{field.name}", child


@pytest.mark.replays
def test_every_leaf_equals_the_toy_file(
    real_replays: dict[str, Path], replays_folder: Path
) -> None:
    toy = read_root((replays_folder / "toy" / "games" / TOY).read_bytes())
    ours = read_root(to_slippi_ai(slippi_ai_game(read_replay(real_replays[TOY]))))
    theirs = dict(leaves(toy))
    assert len(theirs) == 148
    assert ours.type.equals(toy.type)
    for name, values in leaves(ours):
        assert values.equals(theirs[name]), name


def test_of_rolled_back_frames_the_first_row_is_exported(tmp_path: Path) -> None:
    game = roll_back(small_game(), 500, 4)
    [path] = write_games(tmp_path, game)
    root = slippi_ai_game(read_replay(path))
    x = np.asarray(game.fighters[0].columns["post.position.x"])
    first = np.unique(game.frames, return_index=True)[1]
    np.testing.assert_array_equal(root.field("p0").field("x").to_numpy(), x[first])


def test_nana_exists_where_she_has_rows(tmp_path: Path) -> None:
    game = small_game(players=(Player(1, 14), Player(3, FALCO)))
    game = replace(game, fighters=(*game.fighters, replace(game.fighters[0], follower=True)))
    [path] = write_games(tmp_path, absent_from(game, 1, 700, follower=True))
    root = slippi_ai_game(read_replay(path))
    nana = root.field("p0").field("nana")
    exists = nana.field("exists").to_numpy(zero_copy_only=False)
    np.testing.assert_array_equal(np.flatnonzero(exists), np.arange(700 + 123))
    popo = root.field("p0").field("x").to_numpy()
    np.testing.assert_array_equal(nana.field("x").to_numpy(), np.where(exists, popo, 0))
    other = root.field("p1").field("nana").field("exists")
    assert not other.to_numpy(zero_copy_only=False).any()


@given(st.lists(st.lists(st.integers(0, 30), max_size=20, unique=True), max_size=30))
def test_items_keep_their_slots(frames: list[list[int]]) -> None:
    """Against the rule played frame by frame, frames without items included."""
    rows = np.array([row for row, ids in enumerate(frames) for _ in ids], np.intp)
    found = _slots(rows, np.array([i for ids in frames for i in ids], np.uint32)).tolist()
    free, held = list(range(ITEM_SLOTS))[::-1], dict[int, int]()
    wanted = []
    for ids in frames:
        for gone in [number for number in held if number not in ids]:
            free.append(held.pop(gone))
        for number in ids:
            if number not in held and free:
                held[number] = free.pop()
            wanted.append(held.get(number, -1))
    assert found == wanted


def test_randall_goes_round() -> None:
    """Where the community's measurements put the cloud's left edge and height."""
    frames = np.array([0, 424, 477, 1023, 1076, 1200 + 477, -124], np.int32)
    x, y = randall_positions(frames)
    left = [-57.495006, 91.35, 89.335443, -103.6, -101.850006, 89.335443, -101.850006]
    height = [-33.2489, -31.160233, -13.64989, -15.277869, -33.2489, -13.64989, -33.2489]
    np.testing.assert_allclose(x - 11.9 / 2, left, atol=2e-5)
    np.testing.assert_allclose(y, height, atol=2e-5)
    everywhere = randall_positions(np.arange(1200, dtype=np.int32))
    assert np.isfinite(everywhere).all()
    steps = np.hypot(*(np.diff(values, append=values[:1]) for values in everywhere))
    assert steps.max() < 0.72  # two frames' way, where a round ends


def test_a_folder_becomes_games_and_a_list_without_names(tmp_path: Path, quiet: Progress) -> None:
    named = (Player(1, FOX, name="Somebody", code="SOME#1"), Player(3, FALCO))
    paths = write_games(tmp_path / "in", small_game(players=named), small_game(300, seed=1))
    exported = export_files(folder_replays(tmp_path / "in"), tmp_path / "out", quiet)
    [record] = exported.games
    md5 = file_md5(paths[0])
    assert record["slp_md5"] == md5
    assert list(exported.refused) == ["game-1.slp"]
    root = read_root((tmp_path / "out" / "games" / md5).read_bytes())
    assert len(root) == record["lastFrame"] + 124 == 2000
    written = (tmp_path / "out" / "meta.json").read_text()
    assert json.loads(written) == exported.games
    assert "ome" not in written.replace("games", "")


def test_files_are_left_out_for_the_reasons_that_parsing_gives(
    tmp_path: Path, quiet: Progress
) -> None:
    folder = tmp_path / "in"
    whole = to_bytes(small_game(seed=3))
    cpu = (Player(1, FOX), Player(2, FALCO, type=CPU))
    write_games(folder, small_game(), small_game(300, seed=1), small_game(seed=2, players=cpu))
    (folder / "again.slp").write_bytes((folder / "game-0.slp").read_bytes())
    (folder / "empty.slp").write_bytes(b"")
    (folder / "garbage.slp").write_bytes(b"garbage")
    (folder / "cut.slp").write_bytes(whole[: len(whole) // 2])
    (folder / "cut-early.slp").write_bytes(whole[:300])
    (folder / "broken.slp.gz").write_bytes(b"\x1f\x8b nothing more")
    files = folder_replays(folder)
    exported = export_files(files, tmp_path / "out", quiet)
    parsed = parse_files(files, tmp_path / "parsed", quiet, workers=0)
    assert {n: r and r.reason.value for n, r in exported.files} == {
        row.name: row.reason for row in parsed.rows if row.name not in ("again.slp", "game-0.slp")
    } | {"again.slp": None, "game-0.slp": "duplicate"}  # the first one met is written
    told = json.loads((tmp_path / "out" / "left_out.json").read_text())
    assert [one["name"] for one in told] == sorted(exported.refused)
    assert ("empty file", "0 bytes") in {(one["reason"], one["detail"]) for one in told}


def test_a_second_export_adds_to_the_list(tmp_path: Path, quiet: Progress) -> None:
    write_games(tmp_path / "a", small_game(), small_game(seed=1))
    write_games(tmp_path / "b", small_game(seed=2))
    out = tmp_path / "out"
    first = export_files(folder_replays(tmp_path / "a"), out, quiet)
    second = export_files(folder_replays(tmp_path / "b"), out, quiet)
    assert len(second.games) == 3
    assert [game for game in second.games if game in first.games] == first.games
    assert {game["slp_md5"] for game in second.games} == {p.name for p in (out / "games").iterdir()}
    told = out / "left_out.json"
    assert json.loads(told.read_text()) == []
    (tmp_path / "a" / "empty.slp").write_bytes(b"")
    (tmp_path / "b" / "broken.slp").write_bytes(b"nonsense")
    for folder in ("a", "b", "b"):
        export_files(folder_replays(tmp_path / folder), out, quiet)
    listed = [(one["name"], one["reason"]) for one in json.loads(told.read_text())]
    assert listed == [("broken.slp", "unreadable"), ("empty.slp", "empty file")]
    write_games(tmp_path / "a", small_game(), small_game(seed=1))[0].replace(
        tmp_path / "a" / "empty.slp"
    )
    export_files(folder_replays(tmp_path / "a"), out, quiet)
    assert [one["name"] for one in json.loads(told.read_text())] == ["broken.slp"]
    (out / "games" / first.games[0]["slp_md5"]).unlink()
    assert len(export_files(folder_replays(tmp_path / "b"), out, quiet).games) == 2
