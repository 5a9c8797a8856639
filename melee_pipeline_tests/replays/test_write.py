"""The writer: every field of every version, read back by peppi and by py-slippi."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from peppi_py._peppi import read_slippi
from slippi import Game as SlippiGame

from melee_pipeline.replays.events import (
    FRAME_END,
    FRAME_START,
    ITEM,
    POST,
    PRE,
    Event,
    Version,
    payload_sizes,
)
from melee_pipeline.replays.game import (
    METHOD_NO_CONTEST,
    Fighter,
    Game,
    GameEnd,
    GameStart,
    Player,
    frame_ids,
)
from melee_pipeline.replays.write import to_bytes, write_slp

ROWS = 40
FOX, FALCO, ICE_CLIMBERS = 2, 20, 14
# The first version of each field, and the versions that sources hold most of.
VERSIONS: tuple[Version, ...] = (
    (0, 1, 0), (0, 2, 0), (1, 0, 0), (1, 2, 0), (1, 3, 0), (1, 4, 0), (1, 5, 0), (1, 7, 1),
    (2, 0, 0), (2, 0, 1), (2, 1, 0), (2, 2, 0), (3, 0, 0), (3, 2, 0), (3, 5, 0), (3, 6, 0),
    (3, 7, 0), (3, 8, 0), (3, 9, 0), (3, 10, 0), (3, 11, 0), (3, 12, 0), (3, 13, 0), (3, 14, 0),
    (3, 15, 0), (3, 16, 0), (3, 17, 0),
)  # fmt: skip
PEPPI_PANICS = range(0, 7)  # minor versions of 3: their frame end has no fields
PEPPI = [v for v in VERSIONS if not (v[0] == 3 and v[1] in PEPPI_PANICS)]


def random_columns(rng: np.random.Generator, event: Event, rows: int) -> dict[str, NDArray[Any]]:
    """Any values that the fields of an event can hold, but of enumerations only real ones."""
    columns: dict[str, NDArray[Any]] = {}
    for field in event.fields:
        dtype = np.dtype(field.dtype).newbyteorder("=")
        if field.path == "direction":
            values = rng.choice([-1.0, 1.0], rows)
        elif field.path in ("airborne", "l_cancel"):
            values = rng.integers(0, 2, rows)
        elif field.path == "character":
            values = rng.integers(0, 27, rows)
        elif dtype.kind == "f":
            values = rng.normal(0, 100, rows)
        else:
            limits = np.iinfo(dtype)
            values = rng.integers(limits.min, int(limits.max) + 1, rows)
        columns[f"{event.name}.{field.path}"] = values.astype(dtype)
    return columns


def random_game(version: Version, *, seed: int = 0) -> Game:
    """A game whose every field tells itself from every other."""
    rng = np.random.default_rng(seed)
    players = (
        Player(2, FOX, costume=3, tag="AB", name="Sample One", code="SMPL#001", uid="one"),
        Player(4, FALCO, stocks=3, name="Sample Two", code="SMPL#002", uid="two"),
    )
    start = GameStart(players, 31, version, random_seed=0xDEADBEEF, is_pal=True, match_id="m-1")
    fighters = tuple(
        Fighter(p.port, random_columns(rng, PRE, ROWS) | random_columns(rng, POST, ROWS))
        for p in players
    )
    frames = random_columns(rng, FRAME_START, ROWS) | random_columns(rng, FRAME_END, ROWS)
    items = random_columns(rng, ITEM, 25) | {"row": np.sort(rng.integers(0, ROWS, 25))}
    end = GameEnd(METHOD_NO_CONTEST, quitter=4, placements={2: 0, 4: 1})
    return Game(start, frame_ids(ROWS), fighters, frames, items, end)


def read_peppi(game: Game, folder: Path) -> Any:  # noqa: ANN401 - peppi has no type stubs
    return read_slippi(str(write_slp(game, folder / "game.slp")), False)


def leaf(array: Any, path: str) -> Any:  # noqa: ANN401 - an Arrow array, of whatever type
    """The child of a struct array at a dotted path; None where there is none."""
    for name in path.split("."):
        if array.type.get_field_index(name) < 0:
            return None
        array = array.field(name)
    return array


@pytest.mark.parametrize("version", PEPPI)
def test_peppi_reads_each_field_of_each_version(tmp_path: Path, version: Version) -> None:
    game = random_game(version)
    frames = read_peppi(game, tmp_path).frames
    assert frames.field("id").to_pylist() == game.frames.tolist()
    for fighter in game.fighters:
        port = frames.field("ports").field(f"P{fighter.port}").field("leader")
        for event in (PRE, POST):
            _same_fields(event, version, port, fighter.columns)
    for event in (FRAME_START, FRAME_END):
        if event.since <= version:
            _same_fields(event, version, frames, game.columns)
        else:
            assert leaf(frames, event.name) is None
    if ITEM.since <= version:
        items = leaf(frames, "item")
        assert (
            np.diff(items.offsets).tolist()
            == np.bincount(game.items["row"], minlength=ROWS).tolist()
        )
        for field in ITEM.fields:
            _same(
                leaf(items.values, field.path),
                version,
                field.since,
                game.items,
                f"item.{field.path}",
            )


def _same_fields(event: Event, version: Version, array: Any, columns: Any) -> None:  # noqa: ANN401
    for field in event.fields:
        name = f"{event.name}.{field.path}"
        _same(leaf(array, name), version, field.since, columns, name)


def _same(found: Any, version: Version, since: Version, columns: Any, name: str) -> None:  # noqa: ANN401
    if since > version:
        assert found is None, name
    else:
        np.testing.assert_array_equal(found.to_numpy(), columns[name], name)


# What py-slippi calls the fields that it knows.
_PRE: dict[str, Callable[[Any], Any]] = {
    "random_seed": lambda p: p.random_seed,
    "state": lambda p: p.state,
    "position.x": lambda p: p.position.x,
    "position.y": lambda p: p.position.y,
    "direction": lambda p: p.direction,
    "joystick.x": lambda p: p.joystick.x,
    "joystick.y": lambda p: p.joystick.y,
    "cstick.x": lambda p: p.cstick.x,
    "cstick.y": lambda p: p.cstick.y,
    "triggers": lambda p: p.triggers.logical,
    "triggers_physical.l": lambda p: p.triggers.physical.l,
    "triggers_physical.r": lambda p: p.triggers.physical.r,
    "buttons": lambda p: int(p.buttons.logical),
    "buttons_physical": lambda p: int(p.buttons.physical),
    "raw_analog_x": lambda p: (
        None if p.raw_analog_x is None else (p.raw_analog_x + 128) % 256 - 128
    ),
    "percent": lambda p: p.damage,
}
_POST: dict[str, Callable[[Any], Any]] = {
    "character": lambda p: p.character,
    "state": lambda p: p.state,
    "position.x": lambda p: p.position.x,
    "position.y": lambda p: p.position.y,
    "direction": lambda p: p.direction,
    "percent": lambda p: p.damage,
    "shield": lambda p: p.shield,
    "last_attack_landed": lambda p: p.last_attack_landed or 0,
    "combo_count": lambda p: p.combo_count,
    "stocks": lambda p: p.stocks,
    "state_age": lambda p: p.state_age,
    "state_flags.0": lambda p: None if p.flags is None else int(p.flags) & 0xFF,
    "state_flags.4": lambda p: None if p.flags is None else int(p.flags) >> 32,
    "misc_as": lambda p: p.hit_stun,
    "airborne": lambda p: p.airborne,
    "jumps": lambda p: p.jumps,
}
_ITEM: dict[str, Callable[[Any], Any]] = {
    "type": lambda i: i.type,
    "state": lambda i: i.state,
    "direction": lambda i: i.direction,
    "velocity.x": lambda i: i.velocity.x,
    "velocity.y": lambda i: i.velocity.y,
    "position.x": lambda i: i.position.x,
    "position.y": lambda i: i.position.y,
    "damage": lambda i: i.damage,
    "timer": lambda i: i.timer,
    "id": lambda i: i.spawn_id,
}


@pytest.mark.parametrize("version", VERSIONS)
def test_py_slippi_reads_each_version(tmp_path: Path, version: Version) -> None:
    game = random_game(version)
    oracle = SlippiGame(str(write_slp(game, tmp_path / "game.slp")))
    assert [frame.index for frame in oracle.frames] == game.frames.tolist()
    for fighter in game.fighters:
        data = [frame.ports[fighter.port - 1].leader for frame in oracle.frames]
        for event, names in ((PRE, _PRE), (POST, _POST)):
            for field in event.fields:
                if field.path not in names:
                    continue
                values = [names[field.path](getattr(d, event.name)) for d in data]
                wanted = np.asarray(fighter.columns[f"{event.name}.{field.path}"]).tolist()
                known = field.since <= version
                assert values == (wanted if known else [None] * ROWS), field.path
    if version >= ITEM.since:
        found = [item for frame in oracle.frames for item in frame.items]
        for path, value in _ITEM.items():
            wanted = np.asarray(game.items[f"item.{path}"]).tolist()
            assert [value(item) for item in found] == wanted, path
    start = oracle.start
    assert (start.random_seed, start.stage, start.is_teams) == (0xDEADBEEF, 31, False)
    assert repr(start.slippi.version) == ".".join(map(str, version))
    assert start.is_pal == (True if version >= (1, 5, 0) else None)
    one, two = start.players[1], start.players[3]
    assert start.players[0] is None
    assert start.players[2] is None
    assert (one.character, one.costume, one.stocks) == (FOX, 3, 4)
    assert (two.character, two.costume, two.stocks) == (FALCO, 0, 3)
    assert one.tag == ("AB" if version >= (1, 3, 0) else "")
    assert oracle.end.method == METHOD_NO_CONTEST
    assert oracle.end.lras_initiator == (3 if version >= (2, 0, 0) else None)


def test_later_fields_lie_where_the_specification_says() -> None:
    """Offsets of SPEC.md, for the versions that peppi cannot read."""
    offsets = {
        "hurtbox_state": (0x34, ">B"), "velocities.self_x_air": (0x35, ">f"),
        "velocities.self_y": (0x39, ">f"), "velocities.knockback_x": (0x3D, ">f"),
        "velocities.knockback_y": (0x41, ">f"), "velocities.self_x_ground": (0x45, ">f"),
    }  # fmt: skip
    game = random_game((3, 6, 0))
    content = to_bytes(game)
    sizes = payload_sizes((3, 6, 0))
    at, seen = 15 + 2 + content[16] - 1, 0
    while content[at] != 0x39:
        if content[at] == POST.code:
            frame, port = struct.unpack_from(">iB", content, at + 1)
            columns = next(f.columns for f in game.fighters if f.port == port + 1)
            for path, (offset, kind) in offsets.items():
                [value] = struct.unpack_from(kind, content, at + offset)
                assert value == np.asarray(columns[f"post.{path}"])[frame + 123], path
            seen += 1
        at += 1 + sizes[content[at]]
    assert seen == 2 * ROWS
