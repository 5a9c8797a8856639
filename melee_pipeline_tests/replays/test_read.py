"""The reader, against what was written and against py-slippi on real replays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melee_pipeline.errors import ReplayError
from melee_pipeline.replays.game import Player, roll_back
from melee_pipeline.replays.read import last_of_each, read_replay
from melee_pipeline.replays.write import to_bytes, truncate
from melee_pipeline.schema.columns import column_names, game_schema
from melee_pipeline.schema.table import FIELDS
from melee_pipeline_tests.replays.games import FALCO, FOX, small_game, write_games

# A short real game of each Slippi version that py-slippi reads, by MD5; 3.13.0 has rollbacks.
REAL = {
    "1d550348cf181ac7f7b0b5aa5fb58765": (2, 0, 1),
    "287c5bf12ced89ee0fe79ce171f4c65d": (2, 2, 0),
    "5815ef684b7a126e7838a0720dc70554": (3, 9, 0),
    "19634e10655dd29004a4a26aeeb40280": (3, 13, 0),
    "c267d004f6d8a24f9cb66d7c6e3bf14f": (3, 14, 0),
    "0046815c3c324d99ec47d37184b5d498": (3, 17, 0),
}


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    game = small_game()
    [path] = write_games(tmp_path, game)
    replay = read_replay(path)
    table = replay.table()
    assert table.schema.equals(game_schema())
    assert [(p.port, p.character) for p in replay.players] == [("P1", FOX), ("P3", FALCO)]
    for player, fighter in enumerate(game.fighters):
        for field in FIELDS:
            if field.path in fighter.columns:
                read = table.column(f"p{player}_{field.name}").to_numpy()
                np.testing.assert_array_equal(read, fighter.columns[field.path], field.name)
    assert table.column("stage").unique().to_pylist() == [31]
    assert table.column("frame").to_pylist() == list(range(-123, -123 + 2000))


def test_every_field_of_the_table_is_read_from_a_recent_replay(tmp_path: Path) -> None:
    [path] = write_games(tmp_path, small_game(version=(3, 17, 0)))
    table = read_replay(path).table()
    empty = [name for name in table.column_names if table.column(name).null_count]
    assert empty == []


@pytest.mark.parametrize("version", [(1, 7, 1), (2, 0, 1), (2, 2, 0), (3, 7, 0), (3, 9, 0)])
def test_a_field_is_null_exactly_where_its_version_lacks_it(
    tmp_path: Path, version: tuple[int, int, int]
) -> None:
    [path] = write_games(tmp_path, small_game(version=version))
    table = read_replay(path).table()
    for field in FIELDS:
        for name in column_names(field):
            nulls = table.column(name).null_count
            assert nulls == (0 if version >= field.since else table.num_rows), name


def test_players_keep_their_ports(tmp_path: Path) -> None:
    game = small_game(players=(Player(2, FALCO), Player(4, FOX)))
    [path] = write_games(tmp_path, game)
    replay = read_replay(path)
    assert [(p.port, p.character) for p in replay.players] == [("P2", FALCO), ("P4", FOX)]
    assert replay.table().column("p1_character")[0].as_py() == 1  # Fox's internal id


def test_the_last_row_of_a_repeated_frame_counts(tmp_path: Path) -> None:
    game = small_game()
    [plain] = write_games(tmp_path / "plain", game)
    [rolled] = write_games(tmp_path / "rolled", roll_back(roll_back(game, 700, 5), 60, 3))
    replay = read_replay(rolled)
    assert replay.rows > 2000
    wanted, found = read_replay(plain).table(), replay.table()
    assert found.num_rows == wanted.num_rows
    for name in wanted.column_names:
        assert found.column(name).equals(wanted.column(name)), name


@given(st.lists(st.integers(-123, 40), max_size=60))
def test_last_of_each_is_what_a_dictionary_keeps(ids: list[int]) -> None:
    last = {frame: row for row, frame in enumerate(ids)}
    assert last_of_each(np.array(ids, np.int32)).tolist() == [last[k] for k in sorted(last)]


@pytest.mark.parametrize("content", [b"", b"no replay at all", b"{U\x03raw[$U#l\0\0\0\0"])
def test_what_is_no_replay_is_refused_by_name(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.slp"
    path.write_bytes(content)
    with pytest.raises(ReplayError, match=r"bad\.slp"):
        read_replay(path)
    assert capfd.readouterr().err == ""


def test_a_panic_is_an_error_like_any_other(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """peppi panics on Slippi 3.0 to 3.6, and a panic is no Exception."""
    [path] = write_games(tmp_path, small_game(version=(3, 2, 0)))
    with pytest.raises(ReplayError, match="panicked"):
        read_replay(path)
    assert "panicked" not in capfd.readouterr().err


def test_a_truncated_file_is_an_error(tmp_path: Path) -> None:
    content = to_bytes(small_game())
    path = tmp_path / "cut.slp"
    path.write_bytes(truncate(content, len(content) // 2))
    with pytest.raises(ReplayError, match=r"cut\.slp"):
        read_replay(path)


@pytest.mark.replays
@pytest.mark.parametrize(("md5", "version"), REAL.items())
def test_real_games_equal_py_slippi(
    real_replays: dict[str, Path], md5: str, version: tuple[int, int, int]
) -> None:
    from slippi import Game as SlippiGame

    replay = read_replay(real_replays[md5])
    table = replay.table()
    oracle = SlippiGame(str(real_replays[md5]))
    assert replay.version == version
    assert table.num_rows == len(oracle.frames)
    for player, port in enumerate(int(p.port[1]) - 1 for p in replay.players):
        frames = [frame.ports[port].leader for frame in oracle.frames]
        _same(table, f"p{player}_x", [f.post.position.x for f in frames])
        _same(table, f"p{player}_y", [f.post.position.y for f in frames])
        _same(table, f"p{player}_percent", [f.post.damage for f in frames])
        _same(table, f"p{player}_shield_strength", [f.post.shield for f in frames])
        _same(table, f"p{player}_stocks", [f.post.stocks for f in frames])
        _same(table, f"p{player}_action_state", [int(f.post.state) for f in frames])
        _same(table, f"p{player}_state_age", [f.post.state_age for f in frames])
        _same(table, f"p{player}_character", [int(f.post.character) for f in frames])
        _same(table, f"p{player}_jumps_left", [f.post.jumps for f in frames])
        _same(table, f"p{player}_airborne", [f.post.airborne for f in frames])
        _same(table, f"p{player}_main_stick_x", [f.pre.joystick.x for f in frames])
        _same(table, f"p{player}_c_stick_y", [f.pre.cstick.y for f in frames])
        _same(table, f"p{player}_shoulder", [f.pre.triggers.logical for f in frames])
        _same(table, f"p{player}_buttons", [int(f.pre.buttons.logical) for f in frames])
        _same(table, f"p{player}_direction", [int(f.post.direction) for f in frames])


def _same(table: pa.Table, name: str, wanted: list[object]) -> None:
    np.testing.assert_array_equal(table.column(name).to_numpy(), np.array(wanted, "f8"), name)
