"""The Parquet schemas of a parsed game, derived from the field table.

A player's columns are called `p0_<field>` and `p1_<field>`: p0 is the player on the lower port.
Every column may be null: null says that the replay does not record it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from melee_pipeline.schema.beside import COLUMNS, KEYS, Beside
from melee_pipeline.schema.encoding import PLAYERS, hash_of
from melee_pipeline.schema.field import Field, Scope
from melee_pipeline.schema.table import FIELDS

if TYPE_CHECKING:
    import pyarrow as pa


def column_names(field: Field, players: int = PLAYERS) -> tuple[str, ...]:
    """The Parquet columns of a field: one for each player, or one."""
    if field.scope is Scope.FRAME:
        return (field.name,)
    return tuple(f"p{player}_{field.name}" for player in range(players))


@cache
def arrow_type(dtype: str) -> pa.DataType:
    """The Arrow type of a dtype of the table."""
    import pyarrow as pa

    types = {
        "f4": pa.float32(),
        "u1": pa.uint8(),
        "u2": pa.uint16(),
        "u4": pa.uint32(),
        "i1": pa.int8(),
        "i4": pa.int32(),
    }
    return types[dtype]


@cache
def game_schema(players: int = PLAYERS) -> pa.Schema:
    """Schema of a game's frames, in the table's order; column metadata holds unit and source.

    `players` is 2, or more where doubles are kept.
    """
    import pyarrow as pa

    return pa.schema(
        [
            pa.field(
                name,
                arrow_type(field.dtype),
                metadata={"unit": field.unit, "source": field.path, "role": field.role.value},
            )
            for field in FIELDS
            for name in column_names(field, players)
        ]
    )


@cache
def beside_schema(table: Beside) -> pa.Schema:
    """Schema of a table beside the frames: its keys, then what it tells."""
    import pyarrow as pa

    keys = [pa.field(name, arrow_type(dtype)) for name, dtype in KEYS[table]]
    told = [
        pa.field(one.name, arrow_type(one.dtype), metadata={"unit": one.unit, "source": one.path})
        for one in COLUMNS[table]
    ]
    return pa.schema(keys + told)


@cache
def columns_hash() -> str:
    """Twelve hex digits that change when a column does: its name, source, type, unit, version."""
    frames = [[f.name, f.path, f.dtype, f.unit, f.scope, f.since] for f in FIELDS]
    beside = [
        [table, KEYS[table], [(c.name, c.path, c.dtype, c.unit, c.since) for c in COLUMNS[table]]]
        for table in Beside
    ]
    return hash_of([frames, beside])
