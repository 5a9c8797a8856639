"""Games as data: what the writer refuses, and the hard cases that are made of a game."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peppi_py._peppi import read_slippi
from slippi import Game as SlippiGame

from melee_pipeline.errors import ReplayError
from melee_pipeline.replays.events import Version, payload_sizes
from melee_pipeline.replays.filters import Filters, Reason, judge
from melee_pipeline.replays.game import (
    CPU,
    METHOD_NO_CONTEST,
    METHOD_TIME,
    Fighter,
    Game,
    GameEnd,
    GameStart,
    Metadata,
    Player,
    absent_from,
    frame_ids,
    roll_back,
    row_of,
    without_post,
)
from melee_pipeline.replays.oracle import differences
from melee_pipeline.replays.read import read_replay
from melee_pipeline.replays.write import interrupt, to_bytes, truncate, write_slp
from melee_pipeline_tests.replays.games import FALCO, FOX, small_game

ICE_CLIMBERS, POPO, NANA = 14, 10, 11


def peppi(game: Game, folder: Path) -> Any:  # noqa: ANN401 - peppi has no type stubs
    return read_slippi(str(write_slp(game, folder / "game.slp")), False)


# --- what is refused


def changed(**columns: object) -> Game:
    """A small game with other columns for its first fighter."""
    game = small_game(50)
    one, two = game.fighters
    new = dict(one.columns) | {name.replace("__", "."): value for name, value in columns.items()}
    return replace(game, fighters=(replace(one, columns=new), two))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (changed(post__nonsense=1), r"unknown columns \['post\.nonsense'\]; known are .*post\.x?"),
        (changed(pre__triggers=np.zeros(49)), r"pre\.triggers has shape \(49,\): expected \(50,\)"),
        (changed(post__stocks=256), r"post\.stocks goes beyond 0 to 255"),
        (changed(post__state=np.full(50, -1)), r"post\.state goes beyond 0 to 65535"),
        (replace(small_game(50), columns={"post.state": 1}), r"unknown columns \['post\.state'\]"),
        (replace(small_game(50), items={"row": [0], "item.colour": 1}), r"\['item\.colour'\]"),
        (small_game(50, version=(3, 18, 0)), r"version 3\.18\.0: expected 0\.1\.0 to 3\.17\.0"),
        (small_game(50, version=(0, 0, 9)), r"version 0\.0\.9"),
        (small_game(50, players=(Player(0, FOX), Player(2, FOX))), "port is 0: expected 1 to 4"),
        (
            small_game(50, players=(Player(1, FOX, tag="longer than any tag"), Player(2, FOX))),
            "'longer than any tag' takes 19 bytes: expected at most 16",
        ),
        (
            small_game(50, players=(Player(1, FOX, name="Prøve"), Player(2, FOX))),
            "'Prøve' has the character 'ø', which the console cannot write",
        ),
        (
            replace(small_game(50), fighters=(Fighter(2, {}),)),
            "a fighter is on port 2, which has no player",
        ),
    ],
)
def test_what_cannot_be_written_is_refused_by_name(
    tmp_path: Path, game: Game, message: str
) -> None:
    with pytest.raises(ReplayError, match=message):
        write_slp(game, tmp_path / "game.slp")
    assert list(tmp_path.iterdir()) == []


def test_frames_that_a_game_lacks_cannot_be_changed() -> None:
    with pytest.raises(ReplayError, match="the game has no frame 500"):
        without_post(small_game(50), 1, 500)
    with pytest.raises(ReplayError, match=r"cannot repeat 3 frames up to -122"):
        roll_back(small_game(50), -122, 3)
    with pytest.raises(ReplayError, match=r"no rollback in version \(2, 0, 1\)"):
        roll_back(small_game(50, version=(2, 0, 1)), -80, 3)


# --- broken files


def test_of_a_truncated_replay_we_read_what_two_readers_refuse(tmp_path: Path) -> None:
    content = to_bytes(small_game(100))
    assert truncate(content, 5000) == content[:5000]
    path = tmp_path / "cut.slp"
    path.write_bytes(truncate(content, 5000))
    replay = read_replay(path)
    assert replay.truncated
    assert 0 < replay.rows < 100
    assert differences(path) is None
    with pytest.raises(OSError, match="Parse error"):
        SlippiGame(str(path))


def test_an_interrupted_recording_announces_no_length() -> None:
    content = to_bytes(small_game(100))
    cut = interrupt(content, 5000)
    assert len(cut) == 5000
    assert cut[11:15] == bytes(4)
    assert cut[:11] + content[11:15] + cut[15:] == content[:5000]
    assert int.from_bytes(content[11:15], "big") == content.index(b"U\x08metadata") - 15


# --- who plays


def test_doubles_have_four_fighters_and_teams(tmp_path: Path) -> None:
    players = tuple(Player(port, FOX, team=port % 2) for port in (1, 2, 3, 4))
    game = small_game(2000, players=players)
    game = replace(game, start=replace(game.start, is_teams=True))
    path = write_slp(game, tmp_path / "doubles.slp")
    replay = read_replay(path)
    assert [(p.port, p.team) for p in replay.players] == [
        ("P1", 1),
        ("P2", 0),
        ("P3", 1),
        ("P4", 0),
    ]
    refusal = judge(replay, Filters())
    assert refusal
    assert refusal.reason is Reason.NOT_TWO_PLAYERS
    oracle = SlippiGame(str(path))
    assert [player.team for player in oracle.start.players] == [1, 0, 1, 0]
    for fighter in game.fighters:
        read = [frame.ports[fighter.port - 1].leader.post.position.x for frame in oracle.frames]
        assert read == np.asarray(fighter.columns["post.position.x"]).tolist()


def climbers() -> Game:
    """Ice Climbers on port 1, of whom Nana is lost on frame 0."""
    start = GameStart((Player(1, ICE_CLIMBERS), Player(2, FALCO, type=CPU)), 31)
    rows = 300
    fighters = tuple(
        Fighter(
            port,
            {"post.position.x": np.arange(rows) + 1000.0 * i, "pre.joystick.x": i / 4},
            follower=i == 1,
        )
        for i, port in enumerate((1, 1, 2))
    )
    return absent_from(Game(start, frame_ids(rows), fighters), 1, 0, follower=True)


def test_nana_has_events_of_her_own_until_she_is_gone(tmp_path: Path) -> None:
    game = climbers()
    gone = row_of(game, 0)
    port = peppi(game, tmp_path).frames.field("ports").field("P1")
    leader, follower = port.field("leader").field("post"), port.field("follower")
    assert leader.field("character").unique().to_pylist() == [POPO]
    assert leader.field("position").field("x").to_pylist() == np.arange(300.0).tolist()
    assert follower.is_valid().to_pylist() == [row < gone for row in range(300)]
    nana = follower.field("post").filter(follower.is_valid())
    assert nana.field("character").unique().to_pylist() == [NANA]
    assert nana.field("position").field("x").to_pylist() == (1000.0 + np.arange(gone)).tolist()
    oracle = SlippiGame(str(tmp_path / "game.slp"))
    followers = [frame.ports[0].follower for frame in oracle.frames]
    assert [f is not None for f in followers] == [row < gone for row in range(300)]
    assert followers[7].post.position.x == 1007
    assert followers[7].pre.joystick.x == 0.25
    assert oracle.start.players[1].type == CPU
    assert read_replay(tmp_path / "game.slp").players[0].follower


def test_a_missing_post_event_is_a_replay_that_peppi_cannot_read(tmp_path: Path) -> None:
    """peppi panics on rows with half of a fighter; py-slippi tells which row it is."""
    path = write_slp(without_post(small_game(300), 3, 10), tmp_path / "game.slp")
    assert differences(path) is None
    with pytest.raises(ReplayError, match="frames hold half of the events of P3"):
        read_replay(path).table()
    frames = SlippiGame(str(path)).frames
    assert len(frames) == 300
    assert [f.index for f in frames if f.ports[2].leader.post is None] == [10]
    assert all(f.ports[2].leader.pre and f.ports[0].leader.post for f in frames)


def test_rollback_repeats_frames_and_the_last_row_is_true() -> None:
    plain = small_game(300)
    game = roll_back(plain, 50, 4)
    rows = np.flatnonzero(game.frames == 49)
    assert len(game.frames) == 304
    assert len(rows) == 2
    for before, after in zip(plain.fighters, game.fighters, strict=True):
        for name, column in before.columns.items():
            values = np.asarray(column)
            repeated = np.asarray(after.columns[name])
            assert repeated[rows[1]] == values[row_of(plain, 49)], name
        guess = np.asarray(after.columns["post.position.x"])[rows[0]]
        assert guess == np.asarray(before.columns["post.position.x"])[row_of(plain, 46)] + 1


# --- around the frames


def test_metadata_by_an_independent_reader(tmp_path: Path) -> None:
    players = (
        Player(1, FOX, name="Sample One", code="SMPL#001"),
        Player(4, FALCO, name="サンプル２", code="SMPL#002"),
    )
    game = replace(small_game(300), start=GameStart(players, 31), fighters=())
    game = replace(game, metadata=Metadata("2001-12-03T04:05:06Z", "nintendont"))
    oracle = SlippiGame(str(write_slp(game, tmp_path / "game.slp"))).metadata
    assert oracle.date == datetime(2001, 12, 3, 4, 5, 6, tzinfo=UTC)
    assert oracle.duration == 300
    assert oracle.platform.value == "nintendont"
    one, four = oracle.players[0], oracle.players[3]
    assert oracle.players[1:3] == (None, None)
    assert (one.netplay.name, one.netplay.code) == ("Sample One", "SMPL#001")
    assert (four.netplay.name, four.netplay.code) == ("サンプル２", "SMPL#002")
    assert one.characters == {1: 300}


def test_names_stand_in_the_start_block_from_their_versions_on(tmp_path: Path) -> None:
    def first_player(version: Version) -> dict[str, Any]:
        player = Player(1, FOX, tag="AB", name="Sample One", code="SMPL#001", uid="sample-uid")
        game = small_game(50, version=version, players=(player, Player(2, FALCO)))
        read: dict[str, Any] = peppi(game, tmp_path).start["players"][0]
        return read

    full = first_player((3, 17, 0))
    assert full["name_tag"] == "AB"
    assert full["netplay"] == {"name": "Sample One", "code": "SMPL＃001", "suid": "sample-uid"}
    assert first_player((3, 9, 0))["netplay"].get("suid") is None
    assert first_player((2, 2, 0)).get("netplay") is None
    assert first_player((1, 2, 0)).get("name_tag") is None


def test_how_a_game_ended(tmp_path: Path) -> None:
    quit_game = GameEnd(METHOD_NO_CONTEST, quitter=3, placements={1: 0, 3: 1})
    replay = read_replay(write_slp(replace(small_game(50), end=quit_game), tmp_path / "a.slp"))
    assert (replay.end_method, replay.lras_initiator) == ("NoContest", "P3")
    assert replay.placements == {"P1": 0, "P3": 1}
    timed = replace(small_game(50), end=GameEnd(METHOD_TIME))
    assert read_replay(write_slp(timed, tmp_path / "b.slp")).end_method == "Time"
    endless = replace(small_game(50), end=None, metadata=None)
    replay = read_replay(write_slp(endless, tmp_path / "c.slp"))
    assert (replay.end_method, replay.rows) == (None, 50)


@pytest.mark.replays
def test_payload_sizes_are_those_of_real_replays(
    replays_folder: Path, real_replays: dict[str, Path]
) -> None:
    described = csv.DictReader((replays_folder / "samples.csv").open())
    versions = {row["md5"]: tuple(map(int, row["version"].split("."))) for row in described}
    seen = set()
    for md5, path in real_replays.items():
        head = path.read_bytes()[:200]
        if md5 not in versions:
            continue
        table = head[17 : 16 + head[16]]
        announced = {
            table[i]: int.from_bytes(table[i + 1 : i + 3], "big") for i in range(0, len(table), 3)
        }
        ours = payload_sizes(versions[md5])  # type: ignore[arg-type]
        assert {code: announced[code] for code in ours} == ours, versions[md5]
        seen.add(versions[md5])
    assert len(seen) >= 6
