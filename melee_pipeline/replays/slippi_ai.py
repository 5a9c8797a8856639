"""A game in the layout that slippi-ai trains from.

A game is one column `root`, a struct of 148 leaves, as Parquet inside zlib. The layout knows
no nulls, so what a replay does not record is not guessed but left as the layout's zero, as
slippi-ai does; `fod_platforms` is such a field before 3.18. Of rolled-back frames the FIRST row
counts there. Percent is cut to whole numbers, sticks go from 0 to 1, buttons are the logical
ones, the stage has libmelee's id.
"""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from melee_pipeline.errors import ReplayError
from melee_pipeline.replays.frames import Replay
from melee_pipeline.replays.randall import randall_positions
from melee_pipeline.schema.beside import Beside
from melee_pipeline.schema.vocab import Stage, libmelee_stage

Leaves = dict[str, Any]  # arrays (frames,), or a struct of them
ITEM_SLOTS = 15
_BUTTONS = {"A": 8, "B": 9, "X": 10, "Y": 11, "Z": 4, "L": 6, "R": 5, "D_UP": 3}
_FOD_START = {"left": 20.0, "right": 28.0}  # game units, at the start of every game


def to_slippi_ai(game: pa.StructArray) -> bytes:
    """The game as a file of slippi-ai's: Parquet, packed as a whole."""
    file = io.BytesIO()
    table = pa.Table.from_arrays([game], names=["root"])
    pq.write_table(table, file, compression="none", use_dictionary=False)
    return zlib.compress(file.getvalue())


def slippi_ai_game(replay: Replay) -> pa.StructArray:
    """The game as slippi-ai's struct (frames,). Raises ReplayError where it has no such thing."""
    if len(replay.players) != 2:
        raise ReplayError(f"{len(replay.players)} players; slippi-ai's layout has two")
    stage = libmelee_stage(replay.stage)
    if stage is None:
        raise ReplayError(f"stage {replay.stage} has no number in slippi-ai's layout")
    table = replay.table(keep="first")
    frames = table.column("frame").to_numpy()
    leaves = {
        **{f"p{i}": _player(replay, table, frames, i) for i in range(2)},
        "stage": np.full(len(frames), stage, np.uint8),
        "randall": _randall(replay, frames),
        "fod_platforms": _fod_platforms(replay, frames),
        "items": _items(replay, frames),
    }
    return _struct(leaves)


def _struct(leaves: Leaves) -> pa.StructArray:
    arrays = [
        _struct(leaf) if isinstance(leaf, dict) else pa.array(leaf) for leaf in leaves.values()
    ]
    return pa.StructArray.from_arrays(arrays, names=list(leaves))


def _player(replay: Replay, table: pa.Table, frames: NDArray[np.int32], player: int) -> Leaves:
    columns = {
        name.removeprefix(f"p{player}_"): _filled(table.column(name))
        for name in table.column_names
        if name.startswith(f"p{player}_")
    }
    return _fighter(columns) | {
        "controller": _controller(columns),
        "nana": _nana(replay, frames, player),
    }


def _filled(column: pa.ChunkedArray) -> NDArray[Any]:
    values: NDArray[Any] = column.fill_null(0).to_numpy()
    return values


def _fighter(columns: dict[str, NDArray[Any]]) -> Leaves:
    return {
        "percent": columns["percent"].astype(np.uint16),
        "facing": columns["direction"] > 0,
        "x": columns["x"],
        "y": columns["y"],
        "action": columns["action_state"],
        "invulnerable": columns["hurtbox_state"] != 0,
        "character": columns["character"],
        "jumps_left": columns["jumps_left"],
        "shield_strength": columns["shield_strength"],
        "on_ground": columns["airborne"] == 0,
    }


def _controller(columns: dict[str, NDArray[Any]]) -> Leaves:
    return {
        **{
            stick: {axis: columns[f"{stick}_{axis}"] / 2 + 0.5 for axis in "xy"}
            for stick in ("main_stick", "c_stick")
        },
        "shoulder": columns["shoulder"],
        "buttons": {name: columns["buttons"] >> bit & 1 == 1 for name, bit in _BUTTONS.items()},
    }


def _nana(replay: Replay, frames: NDArray[np.int32], player: int) -> Leaves:
    """Nana's leaves: zero, and not `exists`, on frames on which there is no Nana."""
    rows = replay.beside(Beside.FOLLOWERS, keep="first")
    rows = rows.filter(pa.compute.equal(rows.column("player"), player))
    at = np.searchsorted(frames, rows.column("frame").to_numpy())
    exists = np.zeros(len(frames), np.bool_)
    exists[at] = True
    found = _fighter({name: _filled(rows.column(name)) for name in rows.column_names})
    leaves: Leaves = {"exists": exists}
    for name, values in found.items():
        leaves[name] = np.zeros(len(frames), values.dtype)
        leaves[name][at] = values
    return leaves


def _randall(replay: Replay, frames: NDArray[np.int32]) -> Leaves:
    if replay.stage != Stage.YOSHIS_STORY:
        return {axis: np.zeros(len(frames), np.float32) for axis in "xy"}
    x, y = randall_positions(frames)
    return {"x": x, "y": y}


def _fod_platforms(replay: Replay, frames: NDArray[np.int32]) -> Leaves:
    """Heights, each as last told; the game tells only of platforms that move."""
    events = replay.beside(Beside.STAGE_EVENTS, keep="first")
    recorded = events.column("height").null_count < events.num_rows
    leaves: Leaves = {}
    for number, side in ((1, "left"), (0, "right")):
        leaves[side] = np.zeros(len(frames), np.float32)
        if recorded and replay.stage == Stage.FOUNTAIN_OF_DREAMS:
            mine = events.filter(pa.compute.equal(events.column("platform"), number))
            told = np.searchsorted(mine.column("frame").to_numpy(), frames, side="right")
            heights = [np.float32(_FOD_START[side]), *mine.column("height").to_numpy()]
            leaves[side] = np.array(heights, np.float32)[told]
    return leaves


def _items(replay: Replay, frames: NDArray[np.int32]) -> Leaves:
    """Fifteen slots. An item keeps its slot; one that is free again is the next to be taken."""
    items = replay.beside(Beside.ITEMS, keep="first")
    types = {"type": np.uint16, "state": np.uint8, "x": np.float32, "y": np.float32}
    slots = {name: np.zeros((len(frames), ITEM_SLOTS), dtype) for name, dtype in types.items()}
    exists = np.zeros((len(frames), ITEM_SLOTS), np.bool_)
    at = np.searchsorted(frames, items.column("frame").to_numpy())
    slot = _slots(at, items.column("id").to_numpy())
    placed = slot >= 0
    exists[at[placed], slot[placed]] = True
    for name, values in slots.items():
        values[at[placed], slot[placed]] = items.column(name).to_numpy()[placed]
    return {
        f"item_{i}": {"exists": exists[:, i]} | {name: slots[name][:, i] for name in types}
        for i in range(ITEM_SLOTS)
    }


def _slots(rows: NDArray[np.intp], ids: NDArray[np.uint32]) -> NDArray[np.intp]:
    """(items,) the slot of each item row; −1 for those beyond the fifteenth at a time."""
    free = list(range(ITEM_SLOTS - 1, -1, -1))
    held: dict[int, int] = {}
    slots = np.full(len(ids), -1)
    first = 0
    # Frames without items free all slots, too: they are the gaps between rows.
    last = [len(rows)] if len(rows) else []
    ends = [*(np.flatnonzero(np.diff(rows)) + 1).tolist(), *last]
    before = None
    for end in ends:
        here = [int(number) for number in ids[first:end]]
        gone = list(held) if before is not None and rows[first] > before + 1 else held.keys() - here
        for number in [number for number in held if number in gone]:
            free.append(held.pop(number))
        for place, number in enumerate(here, first):
            if number not in held and free:
                held[number] = free.pop()
            slots[place] = held.get(number, -1)
        before, first = rows[first], end
    return slots
