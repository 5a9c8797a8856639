"""The reader, against what was written. Its tests against other readers: test_oracles.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from melee_pipeline.errors import ReplayError
from melee_pipeline.replays.frames import first_of_each, last_of_each
from melee_pipeline.replays.game import Player, absent_from, roll_back, without_post
from melee_pipeline.replays.read import read_replay
from melee_pipeline.replays.stream import read_header
from melee_pipeline.replays.walk import CutShortError, _walk
from melee_pipeline.replays.write import interrupt, to_bytes, truncate
from melee_pipeline.schema.columns import column_names, game_schema
from melee_pipeline.schema.field import Version
from melee_pipeline.schema.table import FIELDS
from melee_pipeline_tests.replays.games import FALCO, FOX, small_game, write_games


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


@pytest.mark.parametrize(
    "version",
    [
        *[(0, 1, 0), (0, 2, 0), (1, 0, 0), (1, 7, 1), (2, 0, 1), (2, 1, 0), (2, 2, 0)],
        *[(3, minor, 0) for minor in range(18)],
    ],
)
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
    first = {frame: row for row, frame in reversed(list(enumerate(ids)))}
    assert first_of_each(np.array(ids, np.int32)).tolist() == [first[k] for k in sorted(first)]


@pytest.mark.parametrize("content", [b"", b"no replay at all", b"{U\x03raw[$U#l\0\0\0\0"])
def test_what_is_no_replay_is_refused_by_name(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.slp"
    path.write_bytes(content)
    with pytest.raises(ReplayError, match=r"bad\.slp"):
        read_replay(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("keep", [0.4, 0.73, 0.999])
@pytest.mark.parametrize("version", [(1, 7, 1), (2, 0, 1), (2, 2, 0), (3, 2, 0), (3, 16, 0)])
@pytest.mark.parametrize("cut", [truncate, interrupt])
def test_of_a_cut_file_the_complete_frames_are_left(
    tmp_path: Path,
    keep: float,
    version: Version,
    cut: Callable[[bytes, int], bytes],
) -> None:
    game = small_game(version=version)
    content = to_bytes(game)
    [whole] = write_games(tmp_path, game)
    path = tmp_path / "cut.slp"
    path.write_bytes(cut(content, int(len(content) * keep)))
    replay, wanted = read_replay(path), read_replay(whole).table()
    table = replay.table()
    assert replay.truncated
    assert 0.9 * keep * 2000 < table.num_rows < 2000
    assert table.equals(wanted.slice(0, table.num_rows))


def test_a_file_cut_in_its_first_frame_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cut.slp"
    path.write_bytes(truncate(to_bytes(small_game()), 1000))
    with pytest.raises(CutShortError, match=r"cut\.slp: it has no complete frame"):
        read_replay(path)


def test_a_flipped_event_code_is_named(tmp_path: Path) -> None:
    content = bytearray(to_bytes(small_game()))
    at = content.index(b"\x38", 200_000)
    content[at] = 0x77
    path = tmp_path / "bad.slp"
    path.write_bytes(content)
    with pytest.raises(ReplayError, match=rf"bad\.slp: it is damaged: byte {at} cannot begin"):
        read_replay(path)


def test_half_of_a_fighters_events_is_damage(tmp_path: Path) -> None:
    [path] = write_games(tmp_path, without_post(small_game(), 1, 500))
    with pytest.raises(ReplayError, match="half of the events of P1"):
        read_replay(path).table()


@given(st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_looking_ahead_finds_what_stepping_finds(tmp_path: Path, data: st.DataObject) -> None:
    """Both ways through the events give the same walk, whatever mix of frames there is."""
    version = data.draw(st.sampled_from([(1, 7, 1), (2, 2, 0), (3, 4, 0), (3, 16, 0)]))
    game = small_game(300, version=version, players=(Player(1, 14), Player(3, FALCO)))
    nana = replace(game.fighters[0], follower=True)
    game = replace(game, fighters=(*game.fighters, nana))
    game = absent_from(game, 1, data.draw(st.integers(-120, 170)), follower=True)
    if version >= (3, 0, 0):
        rows = np.sort(data.draw(st.lists(st.integers(0, 299), min_size=1, max_size=200)))
        game = replace(game, items={"row": rows, "item.id": np.arange(len(rows))})
    if version >= (2, 2, 0):
        game = roll_back(game, data.draw(st.integers(-100, 150)), data.draw(st.integers(1, 7)))
    content = to_bytes(game)
    header = read_header(content)
    fast, slow = (_walk(content, header, guess=guess) for guess in (True, False))
    np.testing.assert_array_equal(fast.ids, slow.ids)
    assert fast.events.keys() == slow.events.keys()
    for code, events in slow.events.items():
        np.testing.assert_array_equal(fast.of(code).offsets, events.offsets)
        np.testing.assert_array_equal(fast.of(code).rows, events.rows)
