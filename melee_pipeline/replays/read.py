"""One `.slp` file to one table: the only module that knows peppi.

It reads peppi's native Arrow struct, column by column, because the public dataclasses drop
columns (items, seeds) and because that is the fast way. Facts about the format are those of the
Slippi replay specification; see `schema/table.py` for every field's path and first version.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from peppi_py._peppi import read_slippi

from melee_pipeline.errors import ReplayError
from melee_pipeline.schema.columns import arrow_type, column_names, game_schema
from melee_pipeline.schema.encoding import PLAYERS
from melee_pipeline.schema.field import Field, Scope, Version
from melee_pipeline.schema.table import FIELDS


@dataclass(frozen=True, slots=True)
class Player:
    """A player as the game was started with them. Names and codes are deliberately absent."""

    port: str  # P1 … P4
    character: int  # external id
    type: str  # Human, Cpu, Demo
    team: int | None
    stocks: int
    costume: int
    follower: bool  # Ice Climbers: Nana has rows of her own


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay that peppi could read."""

    version: Version
    stage: int  # external id
    timer: int  # seconds
    is_teams: bool
    is_pal: bool | None  # None: not recorded
    items_on: bool
    random_seed: int
    players: tuple[Player, ...]  # by port
    rows: int  # as recorded, rollbacks included
    end_method: str | None  # None: the recording has no end
    lras_initiator: str | None
    placements: dict[str, int]  # port -> 0 for the first place
    _frames: pa.StructArray

    def frame_ids(self) -> pa.Array:
        """Frame ids as recorded: a rollback repeats them."""
        return self._frames.field("id")

    def table(self) -> pa.Table:
        """The game's frames (schema.columns.game_schema), of the first two players by port.

        Of a repeated frame id the last row is kept: what was played in the end. Raises
        ReplayError when there are fewer than two players.
        """
        if len(self.players) < PLAYERS:
            raise ReplayError(f"{len(self.players)} player(s) in the replay; a game has two")
        rows = last_of_each(self._frames.field("id").to_numpy())
        whole = len(rows) == self.rows
        take = pa.array(rows) if not whole else None
        columns = [
            _column(self, field, player, take, len(rows))
            for field in FIELDS
            for player in range(len(column_names(field)))
        ]
        return pa.Table.from_arrays(columns, schema=game_schema())


def last_of_each(ids: np.ndarray[Any, np.dtype[np.int32]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Row numbers of the last row of each id, in ascending order of the id."""
    _, first_in_reverse = np.unique(ids[::-1], return_index=True)
    rows: np.ndarray[Any, np.dtype[np.int64]] = len(ids) - 1 - first_in_reverse
    return rows


def _column(
    replay: Replay, field: Field, player: int, take: pa.Array | None, rows: int
) -> pa.Array | pa.ChunkedArray:
    wanted = arrow_type(field.dtype)
    if field.path.startswith("game."):
        return pa.repeat(pa.scalar(getattr(replay, field.path.removeprefix("game.")), wanted), rows)
    base = replay._frames
    if field.scope is Scope.PLAYER:
        base = base.field("ports").field(replay.players[player].port).field("leader")
    found = _descend(base, field.path.split("."))
    if found is None or replay.version < field.since:
        return pa.nulls(rows, wanted)
    if take is not None:
        found = found.take(take)
    return found.cast(wanted) if found.type != wanted else found


def _descend(array: pa.StructArray, path: list[str]) -> pa.Array | None:
    """The child at `path`, null where any of its parents is; None if the replay lacks it."""
    for name in path:
        if array.type.get_field_index(name) < 0:
            return None
        child = array.field(name)
        if array.null_count:
            child = pc.if_else(array.is_valid(), child, pa.scalar(None, child.type))
        array = child
    return array


def read_replay(path: Path) -> Replay:
    """Read a replay of any version that peppi knows.

    Raises ReplayError, naming peppi's complaint, for whatever cannot be read. peppi panics on
    some files; such a panic is no `Exception` and prints a backtrace, so both are caught here.
    """
    try:
        with _silent_stderr():
            game = read_slippi(str(path), False)
        return _replay(game)
    except (OSError, ValueError, KeyError, IndexError, TypeError, pa.ArrowException) as error:
        raise ReplayError(f"{path.name}: {_one_line(error)}") from error
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime":
            raise
        raise ReplayError(f"{path.name}: the reader panicked: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Send file descriptor 2 nowhere: Rust writes its backtraces past `sys.stderr`."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _replay(game: Any) -> Replay:  # noqa: ANN401 - peppi's Game has no type stubs
    start, end = game.start, game.end or {}
    frames = game.frames
    ports = {
        field.name: frames.field("ports").field(field.name) for field in frames.field("ports").type
    }
    players = tuple(
        Player(
            port=p["port"],
            character=p["character"],
            type=p["type"],
            team=(p.get("team") or {}).get("color"),
            stocks=p["stocks"],
            costume=p["costume"],
            follower=ports[p["port"]].type.get_field_index("follower") >= 0,
        )
        for p in sorted(start["players"], key=lambda p: str(p["port"]))
        if p["port"] in ports
    )
    major, minor, patch = start["slippi"]["version"]
    return Replay(
        version=(major, minor, patch),
        stage=start["stage"],
        timer=start["timer"],
        is_teams=start["is_teams"],
        is_pal=start.get("is_pal"),
        items_on=start["item_spawn_frequency"] >= 0,
        random_seed=start["random_seed"],
        players=players,
        rows=len(frames),
        end_method=end.get("method"),
        lras_initiator=end.get("lras_initiator"),
        placements={p["port"]: p["placement"] for p in end.get("players") or ()},
        _frames=frames,
    )
