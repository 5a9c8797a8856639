"""One parsed game's table to packed rows, and back.

What a replay does not record (a column of nulls) is stored as 0 and marked in the availability
mask; 0 with the mask set means zero.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from melee_pipeline.errors import ArtefactError
from melee_pipeline.schema.columns import column_names
from melee_pipeline.schema.field import Field, Scope
from melee_pipeline.schema.rows import blocks, pack_of, packed_fields, place_of

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PackedGame:
    """One game's rows by block, each (frames, *row_shape), and which fields it records."""

    rows: dict[str, NDArray[Any]]
    available: NDArray[np.bool_]  # (F,), as rows.packed_fields()

    @property
    def frames(self) -> int:
        return len(next(iter(self.rows.values())))

    @property
    def hash(self) -> str:
        """Sixteen hex digits of everything a model can learn from this game."""
        digest = hashlib.sha256(self.available.tobytes())
        for name in sorted(self.rows):
            digest.update(self.rows[name].tobytes())
        return digest.hexdigest()[:16]


def pack_values(field: Field, values: NDArray[Any]) -> NDArray[Any]:
    """Values in game units as the shard stores them. Raises ArtefactError when they do not fit."""
    pack = pack_of(field)
    dtype = np.dtype(pack.dtype)
    if pack.bits:
        return _gather_bits(values, pack.bits).astype(dtype)
    if pack.other is not None:
        values = np.where(values < pack.other, values, pack.other)
    stored = np.rint(values.astype(np.float64) * pack.per_unit) if pack.per_unit else values
    limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    fits = (stored >= float(limits.min)) & (stored <= float(limits.max))  # also false for NaN
    if not fits.all():
        bad = int(np.argmin(fits))
        raise ArtefactError(
            f"{field.name}: {values[bad]} in row {bad} does not fit {pack.dtype}"
            + (f" in steps of 1/{pack.per_unit}" if pack.per_unit else "")
        )
    return stored.astype(dtype)


def unpack_values(field: Field, stored: NDArray[Any]) -> NDArray[Any]:
    """The inverse of `pack_values`, within the pack's tolerance."""
    pack = pack_of(field)
    if pack.bits:
        return _scatter_bits(stored, pack.bits)
    if pack.per_unit:
        return stored.astype(np.float32) / np.float32(pack.per_unit)
    return stored.astype(np.float32) if np.dtype(pack.dtype).kind == "f" else stored


def _gather_bits(values: NDArray[Any], bits: tuple[int, ...]) -> NDArray[np.int64]:
    """These bits of integers, side by side from bit 0 on."""
    wide = values.astype(np.int64)
    return sum(((wide >> bit & 1) << i for i, bit in enumerate(bits)), np.zeros_like(wide))


def _scatter_bits(stored: NDArray[Any], bits: tuple[int, ...]) -> NDArray[np.int64]:
    """The inverse: the bits that were kept, where they were."""
    wide = stored.astype(np.int64)
    return sum(((wide >> i & 1) << bit for i, bit in enumerate(bits)), np.zeros_like(wide))


def what_stays(field: Field, values: NDArray[Any]) -> NDArray[Any]:
    """The part of recorded values that a shard is meant to keep."""
    pack = pack_of(field)
    if pack.bits:
        return values & sum(1 << bit for bit in pack.bits)
    return values if pack.other is None else np.minimum(values, pack.other)


def pack_game(table: pa.Table) -> PackedGame:
    """Pack a parsed game with its derived columns (derive.read_packable).

    Raises ArtefactError naming the field when a value does not fit, or when a field is recorded
    on some frames only: a mask says yes or no for a whole game.
    """
    available = {field.name: _recorded(table, column_names(field)) for field in packed_fields()}
    rows: dict[str, NDArray[Any]] = {}
    for block in blocks():
        out = np.zeros((table.num_rows, *block.row_shape), block.dtype)
        for k, field in enumerate(block.fields):
            if not available[field.name]:
                continue
            for player, name in enumerate(column_names(field)):
                packed = pack_values(field, table.column(name).to_numpy())
                place = (
                    (slice(None), player, k) if field.scope is Scope.PLAYER else (slice(None), k)
                )
                out[place] = packed
        rows[block.name] = out
    return PackedGame(rows, np.array(list(available.values()), dtype=np.bool_))


def _recorded(table: pa.Table, names: tuple[str, ...]) -> bool:
    nulls = {name: table.column(name).null_count for name in names}
    if all(count == table.num_rows for count in nulls.values()):
        return False
    for name, count in nulls.items():
        if count:
            raise ArtefactError(f"{name} is null on {count} of {table.num_rows} frames")
    return True


def implausible(game: PackedGame) -> list[str]:
    """Recorded fields with a value that is not finite or beyond the field's limits."""
    found = []
    for field, recorded in zip(packed_fields(), game.available, strict=True):
        if recorded:
            block, column = place_of(field.name)
            values = unpack_values(field, game.rows[block][..., column])
            low, high = field.limits
            # Written so that NaN is out of bounds, too.
            if not bool(((values >= low) & (values <= high)).all()):
                found.append(f"{field.name}: {values.min():g} to {values.max():g}")
    return found


def round_trip_errors(table: pa.Table, game: PackedGame) -> list[str]:
    """Where a packed game does not give its table back.

    Compares value by value against each field's stated tolerance, and the mask with what the
    table records; an empty list is agreement.
    """
    problems = []
    for field, recorded in zip(packed_fields(), game.available, strict=True):
        nulls = sum(table.column(name).null_count for name in column_names(field))
        if bool(recorded) != (nulls == 0):
            problems.append(f"{field.name} is {'' if recorded else 'not '}said to be recorded")
    for block in blocks():
        for k, field in enumerate(block.fields):
            for player, name in enumerate(column_names(field)):
                if table.column(name).null_count:
                    continue
                stored = game.rows[block.name][..., k]
                stored = stored[:, player] if field.scope is Scope.PLAYER else stored
                true = what_stays(field, table.column(name).to_numpy())
                absolute, relative = pack_of(field).tolerance
                error = np.abs(unpack_values(field, stored).astype(np.float64) - true)
                worst = float((error - relative * np.abs(true)).max(initial=0.0))
                if not worst <= absolute:  # NaN is no agreement
                    problems.append(f"{name} differs by {worst:g}, allowed are {absolute:g}")
    return problems
