"""The derived fields of the table: columns made from a parsed game, for shards alone.

`threats` are the items that somebody else owns, or nobody: what may hit this player. A replay
older than 3.6 does not say whose an item is; there every item is a threat to both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from melee_pipeline.schema.beside import Beside
from melee_pipeline.schema.columns import arrow_type, column_names
from melee_pipeline.schema.encoding import PLAYERS
from melee_pipeline.schema.field import Field, Version
from melee_pipeline.schema.table import DERIVED

if TYPE_CHECKING:
    import pyarrow as pa

NOBODY_HIT = 6  # in last_hit_by, where a port would stand
IN_HITSTUN = 1 << 1  # of state_flags_3
MOST, FARTHEST = 255, 127.0  # what the shard holds of a count, and of a distance
NOBODY = -1

Columns = dict[str, NDArray[np.generic] | None]  # None: the replay does not record it


def read_packable(path: Path) -> pa.Table:
    """A parsed game with its derived columns: what `encode.pack_game` packs.

    Raises as `replays.tables.read_game` and `read_beside` do.
    """
    from melee_pipeline.replays.tables import read_beside, read_game, read_row

    row = read_row(path)
    ports = [int(player.port[1:]) - 1 for player in row.players]
    version = tuple(int(part) for part in str(row.slippi_version).split("."))
    return derive(read_game(path), read_beside(path, Beside.ITEMS), ports, version)


def derive(
    frames: pa.Table, items: pa.Table, ports: Sequence[int], version: tuple[int, ...]
) -> pa.Table:
    """`frames` with a column of each derived field, both players.

    `ports`: of p0 and p1, from 0, as in `last_hit_by` and the items' `owner`; `version`: of the
    replay.
    """
    import pyarrow as pa

    for player in range(PLAYERS):
        made = {
            **_hitstun(frames, player),
            **_hit_by(frames, player, ports),
            **_threats(frames, items, player, ports[player]),
        }
        for field in DERIVED:
            values = made[field.name] if field.since <= _three(version) else None
            frames = frames.append_column(
                pa.field(column_names(field)[player], arrow_type(field.dtype)),
                _array(field, values, frames.num_rows),
            )
    return frames


def _three(version: tuple[int, ...]) -> Version:
    major, minor, build = (*version, 0, 0, 0)[:3]
    return major, minor, build


def _array(field: Field, values: NDArray[np.generic] | None, rows: int) -> pa.Array:
    import pyarrow as pa

    kind = arrow_type(field.dtype)
    return pa.nulls(rows, kind) if values is None else pa.array(values, kind)


def _hitstun(frames: pa.Table, player: int) -> Columns:
    """Frames of hitstun left: a number that stands for other things in other actions."""
    flags, left = (frames.column(f"p{player}_{name}") for name in ("state_flags_3", "hitstun"))
    if flags.null_count or left.null_count:
        return {"hitstun_left": None}
    stunned = (flags.to_numpy() & IN_HITSTUN) > 0
    return {"hitstun_left": np.where(stunned, np.clip(left.to_numpy(), 0, MOST), 0).astype("u1")}


def _hit_by(frames: pa.Table, player: int, ports: Sequence[int]) -> Columns:
    """Who hit a player last, told from its own side: ports are another's in another game."""
    known = {NOBODY_HIT: 0, ports[player]: 1, ports[1 - player]: 2}
    who = np.full(256, 3, "u1")
    who[list(known)] = list(known.values())
    return {"hit_by": who[frames.column(f"p{player}_last_hit_by").to_numpy()]}


def _threats(frames: pa.Table, items: pa.Table, player: int, port: int) -> Columns:
    """How many items may hit the player on each frame, and where the nearest is."""
    count = np.zeros(frames.num_rows, "u1")
    nearest = np.zeros((frames.num_rows, 2), "f4")
    owner = items.column("owner").fill_null(NOBODY).to_numpy()
    frame = items.column("frame").to_numpy() - int(frames.column("frame")[0].as_py())
    here = np.stack([frames.column(f"p{player}_{axis}").to_numpy() for axis in "xy"], 1)
    place = np.stack([items.column(axis).to_numpy() for axis in "xy"], 1)
    real = (owner != port) & np.isfinite(place).all(1)
    frame, place = frame[real], place[real]
    if len(frame):
        away = np.clip(place - here[frame], -FARTHEST, FARTHEST)
        # By frame, the nearest first: of each frame the first one counts.
        order = np.lexsort((np.hypot(*(place - here[frame]).T), frame))
        frames_with, first, many = np.unique(frame[order], return_index=True, return_counts=True)
        count[frames_with] = np.minimum(many, MOST)
        nearest[frames_with] = away[order][first]
    return {"threats": count, "threat_x": nearest[:, 0], "threat_y": nearest[:, 1]}
