"""Write `.slp` replays: from a game's columns to the bytes that Slippi would record.

Columns that are not given take the default of the event table; columns that the version does not
have are left out, so one game can be written as any version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melee_pipeline.errors import ReplayError
from melee_pipeline.replays.blocks import end_block, metadata_block, start_block
from melee_pipeline.replays.events import (
    FIRST_VERSION,
    FRAME_END,
    FRAME_START,
    ITEM,
    LAST_VERSION,
    PAYLOADS_CODE,
    POST,
    PRE,
    Event,
    EventField,
    events_in,
    payload_sizes,
)
from melee_pipeline.replays.game import Columns, Fighter, Game
from melee_pipeline.schema.vocab import internals_of
from melee_pipeline.store import atomic_file

Bytes2D = NDArray[np.uint8]
Rows = NDArray[np.intp]

SIGNATURE = b"{U\x03raw[$U#l"


@dataclass(frozen=True, slots=True)
class _Batch:
    """Events of one kind: the row and the place within the row of each, and their bytes."""

    rows: Rows  # (events,)
    place: int
    content: Bytes2D  # (events, bytes)


def to_bytes(game: Game) -> bytes:
    """The replay as a file's content.

    Raises ReplayError when a column is unknown or its length is not the number of rows, or when
    the version is not one that this writer knows.
    """
    version = game.start.version
    if not FIRST_VERSION <= version <= LAST_VERSION:
        raise ReplayError(
            f"cannot write Slippi version {'.'.join(map(str, version))}: expected "
            f"{'.'.join(map(str, FIRST_VERSION))} to {'.'.join(map(str, LAST_VERSION))}"
        )
    sizes = payload_sizes(version)
    raw = bytes([PAYLOADS_CODE, 1 + 3 * len(sizes)])
    raw += b"".join(bytes([code]) + size.to_bytes(2, "big") for code, size in sizes.items())
    raw += start_block(game.start)
    raw += _interleave(_batches(game))
    if game.end is not None:
        raw += end_block(game.end, version)
    tail = b"" if game.metadata is None else metadata_block(game, game.metadata)
    return SIGNATURE + len(raw).to_bytes(4, "big") + raw + tail + b"}"


def write_slp(game: Game, path: Path) -> Path:
    """Write the replay under its final name only when it is whole; gives the path back."""
    content = to_bytes(game)
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
    return path


def truncate(content: bytes, size: int) -> bytes:
    """The first `size` bytes: a copy that broke off."""
    return content[:size]


def interrupt(content: bytes, size: int) -> bytes:
    """As `truncate`, of a recording still under way: the announced raw length is zero."""
    start = len(SIGNATURE)
    return (content[:start] + bytes(4) + content[start + 4 :])[:size]


def _batches(game: Game) -> list[_Batch]:
    """All frame events, a batch for each kind and fighter."""
    batches = []
    for index, fighter in enumerate(game.fighters):
        columns = _with_character(game, fighter)
        _refuse_unknown(columns, (PRE, POST))
        key = {"port": fighter.port - 1, "follower": int(fighter.follower)}
        batches.append(_batch(PRE, game, columns, 1 + index, mask=fighter.pre_rows, key=key))
        batches.append(_batch(POST, game, columns, 200 + index, mask=fighter.post_rows, key=key))
    _refuse_unknown(game.columns, (FRAME_START, FRAME_END))
    # Without rollback a frame is final when it ends.
    columns = {"end.latest_finalized_frame": game.frames} | dict(game.columns)
    batches.append(_batch(FRAME_START, game, columns, 0))
    batches.append(_batch(FRAME_END, game, columns, 300))
    if game.items:
        columns = {name: value for name, value in game.items.items() if name != "row"}
        _refuse_unknown(columns, (ITEM,))
        rows = np.asarray(game.items["row"], np.intp)
        batches.append(_Batch(rows, 100, _content(ITEM, game, columns, rows)))
    known = {event.code for event in events_in(game.start.version)}
    return [batch for batch in batches if len(batch.rows) and batch.content[0, 0] in known]


def _with_character(game: Game, fighter: Fighter) -> Columns:
    """The fighter's columns; who it is follows from the player's choice unless it is given."""
    for player in game.start.players:
        if player.port == fighter.port:
            who = internals_of(player.character)
            default = {"post.character": who[-1 if fighter.follower else 0]} if who else {}
            return default | dict(fighter.columns)
    raise ReplayError(f"a fighter is on port {fighter.port}, which has no player")


def _batch(
    event: Event,
    game: Game,
    columns: Columns,
    place: int,
    *,
    mask: NDArray[np.bool_] | None = None,
    key: Mapping[str, int] | None = None,
) -> _Batch:
    rows = np.arange(len(game.frames))
    content = _content(event, game, columns, rows, key)
    return (
        _Batch(rows, place, content) if mask is None else _Batch(rows[mask], place, content[mask])
    )


def _content(
    event: Event,
    game: Game,
    columns: Columns,
    rows: Rows,
    key: Mapping[str, int] | None = None,
) -> Bytes2D:
    """The bytes of an event on each of `rows`, code and payload: (events, bytes)."""
    table = np.empty(len(rows), event.dtype(game.start.version))
    table["frame"] = game.frames[rows]
    for name, value in (key or {}).items():
        table[name] = value
    for event_field in event.fields_in(game.start.version):
        name = f"{event.name}.{event_field.path}"
        table[event_field.path] = _fitting(name, columns, event_field, len(rows))
    content = np.empty((len(rows), 1 + table.dtype.itemsize), np.uint8)
    content[:, 0] = event.code
    content[:, 1:] = table.view(np.uint8).reshape(len(rows), -1)
    return content


def _fitting(name: str, columns: Columns, event_field: EventField, count: int) -> NDArray[Any]:
    """The values of a column, refused rather than cut to the field's size."""
    values = np.asarray(columns.get(name, event_field.default))
    if values.ndim and values.shape != (count,):
        raise ReplayError(
            f"column {name} has shape {values.shape}: expected ({count},) or one value"
        )
    dtype = np.dtype(event_field.dtype)
    if dtype.kind in "iu" and values.size:
        limits = np.iinfo(dtype)
        if values.min() < limits.min or values.max() > limits.max:
            raise ReplayError(f"column {name} goes beyond {limits.min} to {limits.max}")
    return values


def _refuse_unknown(columns: Columns, events: tuple[Event, ...]) -> None:
    known = {f"{event.name}.{one.path}" for event in events for one in event.fields}
    unknown = sorted(set(columns) - known)
    if unknown:
        raise ReplayError(f"unknown columns {unknown}; known are {sorted(known)}")


def _interleave(batches: list[_Batch]) -> bytes:
    """All events in the order of their rows, and within a row of their places."""
    if not batches:
        return b""
    rows = np.concatenate([batch.rows for batch in batches])
    places = np.concatenate([np.full(len(batch.rows), batch.place) for batch in batches])
    sizes = np.concatenate([np.full(len(b.rows), b.content.shape[1]) for b in batches])
    order = np.lexsort((places, rows))
    starts = np.empty(len(order), np.intp)
    starts[order] = np.cumsum(sizes[order]) - sizes[order]
    raw = np.empty(int(sizes.sum()), np.uint8)
    first = 0
    for batch in batches:
        at = starts[first : first + len(batch.rows), None] + np.arange(batch.content.shape[1])
        raw[at] = batch.content
        first += len(batch.rows)
    return raw.tobytes()
