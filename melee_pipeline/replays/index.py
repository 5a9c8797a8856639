"""The index: one row for every file met in a source, with its verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melee_pipeline.replays.filters import Reason
from melee_pipeline.store import atomic_file

if TYPE_CHECKING:
    import pyarrow as pa

KEPT, REFUSED = "kept", "refused"


@dataclass(frozen=True, slots=True)
class IndexPlayer:
    """A player of a game, without name or code."""

    port: str
    character: int  # external id
    type: str
    stocks: int
    costume: int
    team: int | None


@dataclass(frozen=True, slots=True)
class IndexRow:
    """What became of one file. Facts of the game are null where the file could not be read."""

    md5: str
    name: str  # path inside the archive or folder
    bytes: int
    verdict: str  # kept or refused
    reason: str | None
    detail: str | None
    parser: str
    slippi_version: str | None = None
    stage: int | None = None  # external id
    players: tuple[IndexPlayer, ...] = ()
    frames: int | None = None  # of the game; rows counts repeats by rollback too
    rows: int | None = None
    end_method: str | None = None
    truncated: bool = False  # the file was cut short: these are its complete frames
    winner: str | None = None  # port, when the recording tells
    content: str | None = None  # equal for two recordings of the same game
    table_hash: str | None = None  # SHA-256 of the Parquet file; kept games alone have one


_ROW = tuple(field.name for field in fields(IndexRow))
_PLAYER = tuple(field.name for field in fields(IndexPlayer))


def index_schema() -> pa.Schema:
    """Arrow schema of the index table."""
    import pyarrow as pa

    text = pa.string()
    player = pa.struct(
        [
            ("port", text),
            ("character", pa.uint8()),
            ("type", text),
            ("stocks", pa.uint8()),
            ("costume", pa.uint8()),
            ("team", pa.uint8()),
        ]
    )
    special = {
        "bytes": pa.int64(),
        "stage": pa.uint16(),
        "players": pa.list_(player),
        "frames": pa.int32(),
        "rows": pa.int32(),
        "truncated": pa.bool_(),
    }
    return pa.schema([(f.name, special.get(f.name, text)) for f in fields(IndexRow)])


def copies_that_stay(rows: Iterable[IndexRow]) -> dict[str, IndexRow]:
    """Of each game the one row that stays, by the game's content.

    Of equal contents the longest stays (another may have been cut short), of equally long ones
    the smallest MD5, of equal MD5s the first name: the choice hangs on the files alone, not on
    the order in which they were met.
    """
    stays: dict[str, IndexRow] = {}
    kept = (row for row in rows if row.verdict == KEPT)
    for row in sorted(kept, key=lambda r: (-(r.frames or 0), r.truncated, r.md5, r.name)):
        stays.setdefault(row.content or row.md5, row)
    return stays


def mark_duplicates(rows: Sequence[IndexRow]) -> list[IndexRow]:
    """Rows by name, with all but one of each game refused as duplicates, which have no table."""
    stays = copies_that_stay(rows)
    marked = []
    for row in sorted(rows, key=lambda r: r.name):
        first = stays.get(row.content or row.md5)
        if row.verdict == KEPT and first is not None and row is not first:
            row = replace(row, verdict=REFUSED, reason=Reason.DUPLICATE.value, table_hash=None)  # noqa: PLW2901
            row = replace(row, detail=f"the game of {first.name}")  # noqa: PLW2901
        marked.append(row)
    return marked


def before_marking(row: IndexRow) -> IndexRow:
    """A duplicate as a game that may stay, without its table; any other row as it is."""
    if row.reason != Reason.DUPLICATE:
        return row
    return replace(row, verdict=KEPT, reason=None, detail=None)


def by_md5(rows: Iterable[IndexRow]) -> dict[str, IndexRow]:
    """A row for each MD5: of equal files the one that was kept, which has the table."""
    return {row.md5: row for row in sorted(rows, key=lambda row: row.verdict == KEPT)}


def write_index(path: Path, rows: Sequence[IndexRow]) -> None:
    """Write the index table atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([plain(row) for row in rows], schema=index_schema())
    with atomic_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_index(path: Path) -> list[IndexRow]:
    """The rows of an index; none where there is no index yet."""
    import pyarrow.parquet as pq

    if not path.exists():
        return []
    return [row_of(values) for values in pq.read_table(path).to_pylist()]


def plain(row: IndexRow) -> dict[str, Any]:
    """An index row as plain values: what `row_of` takes. (`asdict` takes ten times as long.)"""
    values = {name: getattr(row, name) for name in _ROW}
    players = [{name: getattr(player, name) for name in _PLAYER} for player in row.players]
    return values | {"players": players}


def row_of(values: dict[str, Any]) -> IndexRow:
    """An index row from plain values, as a table or a game's own metadata holds them."""
    players = tuple(IndexPlayer(**player) for player in values["players"])
    return IndexRow(**{**values, "players": players})
