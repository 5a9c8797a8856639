"""The Parquet schema of a parsed game, derived from the field table.

A player's columns are called `p0_<field>` and `p1_<field>`: p0 is the player on the lower port.
Every column may be null: null says that the replay does not record it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from melee_pipeline.schema.encoding import PLAYERS, hash_of
from melee_pipeline.schema.field import Field, Scope
from melee_pipeline.schema.table import FIELDS

if TYPE_CHECKING:
    import pyarrow as pa


def column_names(field: Field) -> tuple[str, ...]:
    """The Parquet columns of a field: one for each player, or one."""
    if field.scope is Scope.FRAME:
        return (field.name,)
    return tuple(f"p{player}_{field.name}" for player in range(PLAYERS))


@cache
def arrow_type(dtype: str) -> pa.DataType:
    """The Arrow type of a dtype of the table."""
    import pyarrow as pa

    f4, xy = pa.float32(), pa.struct([("x", pa.float32()), ("y", pa.float32())])
    item = pa.struct(
        [
            ("type", pa.uint16()),
            ("state", pa.uint8()),
            ("direction", f4),
            ("velocity", xy),
            ("position", xy),
            ("damage", pa.uint16()),
            ("timer", f4),
            ("id", pa.uint32()),
            ("owner", pa.int8()),
        ]
    )
    types = {
        "f4": f4,
        "u1": pa.uint8(),
        "u2": pa.uint16(),
        "u4": pa.uint32(),
        "i1": pa.int8(),
        "i4": pa.int32(),
        "item": pa.list_(item),
    }
    return types[dtype]


@cache
def game_schema() -> pa.Schema:
    """Schema of a game's table, in the table's order; column metadata holds unit and source."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field(
                name,
                arrow_type(field.dtype),
                metadata={"unit": field.unit, "source": field.path, "role": field.role.value},
            )
            for field in FIELDS
            for name in column_names(field)
        ]
    )


@cache
def columns_hash() -> str:
    """Twelve hex digits that change when the Parquet schema or a source path changes."""
    return hash_of([[f.name, f.path, f.dtype, f.scope, f.since] for f in FIELDS])
