"""The files of a parsed game: its frames, and what lies beside them.

    <folder>/<md5>.parquet               frames, one row each; its header is the game's index row
    <folder>/items/<md5>.parquet         items: only where the game has some
    <folder>/stage_events/<md5>.parquet  moving platforms, wind, transformations
    <folder>/followers/<md5>.parquet     Nana

The frames are written last, with the hashes of the others in their header: a game is there with
all its tables, or it is not there. A run syncs its tables together before it writes the index;
until then their checksums tell what a power cut has left of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from melee_pipeline.errors import ArtefactError, SchemaMismatchError
from melee_pipeline.replays.frames import Replay
from melee_pipeline.replays.index import IndexRow, plain, row_of
from melee_pipeline.schema.beside import Beside
from melee_pipeline.schema.columns import beside_schema, columns_hash, game_schema
from melee_pipeline.schema.encoding import PLAYERS
from melee_pipeline.store import atomic_file, file_sha256, sync_files, sync_folder

# Parsing must not take longer than reading the replay: lz4 takes half the time of zstd, for files
# of 0.4 MB a game instead of 0.3; dictionaries and statistics cost more than they save. What a
# column means stands in the package's schema, not in every file.
_OPTIONS: Mapping[str, Any] = {
    "compression": "lz4",
    "use_dictionary": False,
    "write_statistics": False,
    "store_schema": False,
    "write_page_checksum": True,
    "write_batch_size": 1 << 17,  # a column at a time
}


def beside_path(game: Path, table: Beside) -> Path:
    """Where a game's other table lies, if the game has it."""
    return game.parent / table.value / game.name


def write_game(path: Path, replay: Replay, frames: pa.Table, row: IndexRow) -> IndexRow:
    """Write a game's tables; gives its index row back with the hash of the frames' file."""
    beside = {table.value: _write_beside(path, replay, table) for table in Beside}
    header = {
        "kind": "game",
        "columns": columns_hash(),
        # Without the file's name: two copies of a game must give the same bytes, and names are
        # private.
        "row": plain(row) | {"name": ""},
        "beside": {name: sha256 for name, sha256 in beside.items() if sha256},
    }
    return replace(row, table_hash=_write(path, frames, header))


def _write_beside(game: Path, replay: Replay, table: Beside) -> str | None:
    path = beside_path(game, table)
    rows = replay.beside(table)
    if not rows.num_rows:
        path.unlink(missing_ok=True)
        return None
    return _write(path, rows, {"kind": table.value, "columns": columns_hash()})


def _write(path: Path, table: pa.Table, header: Mapping[str, Any]) -> str:
    """Write a table; gives the SHA-256 of the file back."""
    # Columns without nulls are written as required ones, which takes half the time.
    fields = zip(table.schema, table.columns, strict=True)
    schema = pa.schema([pa.field(f.name, f.type, nullable=c.null_count > 0) for f, c in fields])
    # In memory first: on disk each column would cost several small writes.
    content = pa.BufferOutputStream()
    with pq.ParquetWriter(content, schema, **_OPTIONS) as writer:
        writer.write_table(pa.Table.from_arrays(table.columns, schema=schema))
        writer.add_key_value_metadata({"melee_pipeline": json.dumps(header, sort_keys=True)})
    written = content.getvalue()
    with atomic_file(path, sync=False) as temporary:
        temporary.write_bytes(written)
    return hashlib.sha256(written).hexdigest()


def _header(path: Path) -> dict[str, Any]:
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise ArtefactError(f"{path} is not a readable Parquet file: {error}") from error
    header: dict[str, Any] = json.loads(metadata.get(b"melee_pipeline", b"{}"))
    return header


def made_before(path: Path, parser: str, table_hash: str | None) -> IndexRow | None:
    """The index row of a game that this very parser has written; its name is empty.

    `table_hash` is what the index says of it. A game that no index lists yet is read whole, and
    counts only if nothing of it is damaged.
    """
    if not path.exists():
        return None
    found = file_sha256(path)
    try:
        header = _header(path)
        if header.get("columns") != columns_hash() or header["row"]["parser"] != parser:
            return None
        if found != table_hash:
            pq.read_table(path, page_checksum_verification=True)
    except (ArtefactError, pa.ArrowException, OSError):
        return None
    for name, sha256 in header["beside"].items():
        beside = beside_path(path, Beside(name))
        if not beside.exists() or file_sha256(beside) != sha256:
            return None
    return replace(row_of(header["row"]), table_hash=found)


def settle(folder: Path, md5s: Iterable[str]) -> None:
    """Make the tables of these games survive a power cut."""
    games = [folder / f"{md5}.parquet" for md5 in md5s]
    every = [path for game in games for path in (game, *(beside_path(game, b) for b in Beside))]
    written = [path for path in every if path.exists()]
    sync_files(written)
    for parent in {path.parent for path in written}:
        sync_folder(parent)


def check_game(path: Path) -> None:
    """Raises SchemaMismatchError when the game at `path` was written with other columns."""
    _checked(path, "game")


def _checked(path: Path, kind: str) -> dict[str, Any]:
    header = _header(path)
    expected = {"kind": kind, "columns": columns_hash()}
    found = {key: header.get(key) for key in expected}
    if found != expected:
        raise SchemaMismatchError(f"parsed game {path}", expected, found)
    return header


def read_row(path: Path) -> IndexRow:
    """The index row in a parsed game's header. Raises as `check_game`."""
    return row_of(_checked(path, "game")["row"])


def read_game(path: Path, players: int = PLAYERS) -> pa.Table:
    """A parsed game's frames (schema.columns.game_schema).

    Raises SchemaMismatchError when it was written with other columns, and ArtefactError when it
    has another number of players.
    """
    header = _checked(path, "game")
    if (found := len(header["row"]["players"])) != players:
        raise ArtefactError(f"parsed game {path} has {found} players, and not {players}")
    return pa.Table.from_arrays(pq.read_table(path).columns, schema=game_schema(players))


def read_beside(game: Path, table: Beside) -> pa.Table:
    """A table beside the frames at `game` (schema.columns.beside_schema); empty if it has none.

    Raises ArtefactError when the table is gone or is another than the game was written with.
    """
    header = _checked(game, "game")
    schema = beside_schema(table)
    if table.value not in header["beside"]:
        return schema.empty_table()
    path = beside_path(game, table)
    if not path.exists() or file_sha256(path) != header["beside"][table.value]:
        raise ArtefactError(f"{path} is not what {game} was written with; parse again")
    return pa.Table.from_arrays(pq.read_table(path).columns, schema=schema)


def beside_hashes(game: Path) -> dict[Path, str]:
    """The tables that a parsed game was written with beside its frames, and their SHA-256."""
    header = _header(game)
    return {beside_path(game, Beside(name)): sha for name, sha in header["beside"].items()}


def sweep(folder: Path, md5s: Iterable[str]) -> None:
    """Remove the tables of these games; what else lies in the folder is nobody's to remove."""
    for md5 in md5s:
        for path in [folder / f"{md5}.parquet", *folder.glob(f"*/{md5}.parquet")]:
            path.unlink(missing_ok=True)
