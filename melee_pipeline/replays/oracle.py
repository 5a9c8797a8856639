"""peppi, the community's reader, as a second opinion: what it reads must be what we read.

We read frames ourselves because peppi cannot read some replays (3.0 to 3.6, files cut short), ends
the process on others, and takes longer for its reading than our whole parsing may. Where both
read a replay, they must agree to the last bit.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from peppi_py._peppi import read_slippi

from melee_pipeline.replays.frames import Replay, last_of_each
from melee_pipeline.replays.read import read_replay
from melee_pipeline.schema.beside import COLUMNS, Beside
from melee_pipeline.schema.field import Scope
from melee_pipeline.schema.table import FIELDS


def differences(path: Path) -> list[str] | None:
    """What peppi reads otherwise, by column; none is agreement, None that peppi cannot read it.

    Raises ReplayError when we cannot read it.
    """
    game = _by_peppi(path)
    if game is None:
        return None
    replay = read_replay(path)
    ids = game.frames.field("id").to_numpy()
    if not np.array_equal(replay.frame_ids(), ids):
        return ["frame ids"]
    end = game.end or {}
    placements = {p["port"]: p["placement"] for p in end.get("players") or ()}
    found = []
    if (replay.end_method, replay.placements) != (end.get("method"), placements):
        found.append("end of the game")
    rows = pa.array(last_of_each(ids))
    return found + [name for name, ours, theirs in _pairs(replay, game.frames, rows)
                    if not _same(ours, theirs)]  # fmt: skip


def _by_peppi(path: Path) -> Any | None:  # noqa: ANN401 - peppi's Game has no type stubs
    """peppi's game. A Rust panic is no `Exception`, and prints past `sys.stderr`."""
    try:
        with _silent_stderr():
            return read_slippi(str(path), False)
    except (OSError, ValueError):
        return None
    except BaseException as error:
        if type(error).__module__ != "pyo3_runtime":
            raise
        return None


@contextmanager
def _silent_stderr() -> Iterator[None]:
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


Pair = tuple[str, pa.ChunkedArray, pa.Array | None]  # ours, theirs: None where it has no such


def _pairs(replay: Replay, frames: pa.StructArray, rows: pa.Array) -> Iterator[Pair]:
    """Every column twice, of the rows that count."""
    table, kept = replay.table(), frames.take(rows)
    for field in FIELDS:
        if field.path.startswith("game."):
            continue
        if field.scope is Scope.FRAME:
            yield field.name, table.column(field.name), _descend(kept, field.path)
            continue
        for number, player in enumerate(replay.players):
            leader = kept.field("ports").field(player.port).field("leader")
            name = f"p{number}_{field.name}"
            yield name, table.column(name), _descend(leader, field.path)
    for beside in (Beside.ITEMS, Beside.STAGE_EVENTS):
        for column in COLUMNS[beside]:
            kind, _, path = column.path.partition(".")
            if kept.type.get_field_index(kind) >= 0:
                theirs = _descend(kept.field(kind).flatten(), path)
                ours = replay.beside(beside).column(column.name)
                yield column.path, ours, theirs if theirs is not None and len(theirs) else None
    yield from _follower_pairs(replay, kept)


def _follower_pairs(replay: Replay, kept: pa.StructArray) -> Iterator[Pair]:
    for number, player in enumerate(replay.players):
        if player.follower:
            nana = kept.field("ports").field(player.port).field("follower")
            nana = nana.filter(nana.is_valid())
            ours = replay.beside(Beside.FOLLOWERS).filter(pc.field("player") == number)
            for column in COLUMNS[Beside.FOLLOWERS]:
                name = f"follower of p{number}: {column.name}"
                yield name, ours.column(column.name), _descend(nana, column.path)


def _descend(array: pa.StructArray, path: str) -> pa.Array | None:
    """The child at a dotted path, null where any of its parents is; None if there is none."""
    for name in path.split("."):
        if array.type.get_field_index(name) < 0:
            return None
        child = array.field(name)
        if array.null_count:
            child = pc.if_else(array.is_valid(), child, pa.scalar(None, child.type))
        array = child
    return array


def _same(ours: pa.ChunkedArray, theirs: pa.Array | None) -> bool:
    """Equal to the bit, NaN included."""
    mine = ours.combine_chunks()
    if theirs is None:
        return bool(mine.null_count == len(mine))
    if mine.type != theirs.type or not mine.is_valid().equals(theirs.is_valid()):
        return False
    one, other = (array.fill_null(0).to_numpy().view(np.uint8) for array in (mine, theirs))
    return np.array_equal(one, other)
