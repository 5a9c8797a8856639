"""How a frame lies in a tensor shard, derived from the field table.

Packed columns are grouped into blocks by scope and dtype, so that a window is gathered with one
indexing operation a block: `player_i2` has shape (N, 2, columns), `frame_u1` (N, columns). A
shard holds every field that any encoding reads, so that one shard serves them all.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache

from melee_pipeline.schema.encoding import PLAYERS, hash_of
from melee_pipeline.schema.field import Field, Pack, Scope
from melee_pipeline.schema.table import DERIVED, FIELDS

_SIZES = {"f4": 4, "f2": 2, "i2": 2, "i1": 1, "u1": 1}


@dataclass(frozen=True, slots=True)
class Block:
    """Columns of one scope and dtype that lie side by side."""

    name: str
    scope: Scope
    dtype: str
    fields: tuple[Field, ...]

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one frame's part of the block."""
        inner = (len(self.fields),)
        return (PLAYERS, *inner) if self.scope is Scope.PLAYER else inner


def packed_fields() -> tuple[Field, ...]:
    """Fields that lie in shards; a game's availability mask is in this order."""
    return tuple(field for field in FIELDS + DERIVED if field.pack is not None)


def pack_of(field: Field) -> Pack:
    """How a packed field is packed."""
    assert field.pack is not None, field.name
    return field.pack


@cache
def blocks() -> tuple[Block, ...]:
    """All blocks, players' before the frame's, wide dtypes before narrow ones."""
    return tuple(
        Block(f"{scope.value}_{dtype}", scope, dtype, fields)
        for scope in Scope
        for dtype in _SIZES
        if (
            fields := tuple(
                f for f in packed_fields() if f.scope is scope and pack_of(f).dtype == dtype
            )
        )
    )


@cache
def place_of(name: str) -> tuple[str, int]:
    """Block and column of a field."""
    return next(
        (block.name, index)
        for block in blocks()
        for index, field in enumerate(block.fields)
        if field.name == name
    )


@cache
def available_index(name: str) -> int:
    """A field's place in the availability mask."""
    return [field.name for field in packed_fields()].index(name)


def bytes_per_frame() -> int:
    """Bytes that a frame takes in a shard, both players together."""
    return sum(
        _SIZES[block.dtype] * len(block.fields) * (PLAYERS if block.scope is Scope.PLAYER else 1)
        for block in blocks()
    )


@cache
def rows_hash() -> str:
    """Twelve hex digits that change when the layout of a shard changes."""
    return hash_of(
        [
            [block.name, [(f.name, f.path, asdict(pack_of(f))) for f in block.fields]]
            for block in blocks()
        ]
    )
