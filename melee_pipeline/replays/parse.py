"""Replays to one Parquet per game and an index, in parallel, resuming where it was cut off."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from melee_pipeline.errors import ArtefactError, ReplayError, SchemaMismatchError
from melee_pipeline.locks import one_at_a_time
from melee_pipeline.parallel import default_workers, executor, map_ordered
from melee_pipeline.progress import Progress
from melee_pipeline.replays.filters import Filters, Reason, judge
from melee_pipeline.replays.index import (
    KEPT,
    REFUSED,
    IndexPlayer,
    IndexRow,
    mark_duplicates,
    read_index,
    row_of,
    write_index,
)
from melee_pipeline.replays.read import Replay, read_replay
from melee_pipeline.schema.columns import columns_hash
from melee_pipeline.sources.chunks import replay_chunks
from melee_pipeline.sources.unpack import ReplayFile
from melee_pipeline.store import GAMES, REPLAYS, Stamp, Store, atomic_file, file_md5, file_sha256

PARSER_VERSION = "1"  # raise it when the same replay would give another table or verdict
_CONTENT = ("x", "y", "action_state", "percent", "main_stick_x", "main_stick_y", "buttons")


@dataclass(frozen=True, slots=True)
class Parsed:
    """What parsing made: the index, and how many files were read for it just now."""

    rows: list[IndexRow]
    parsed_now: int

    @property
    def kept(self) -> list[IndexRow]:
        """The games."""
        return [row for row in self.rows if row.verdict == KEPT]

    def reasons(self) -> dict[str, int]:
        """How many files were not kept, by reason, most frequent first."""
        return dict(Counter(str(row.reason) for row in self.rows if row.reason).most_common())


@dataclass(frozen=True, slots=True)
class _Job:
    file: ReplayFile
    out: Path
    filters: Filters
    parser: str
    refused: frozenset[str]  # MD5s that this very parser has refused before


def parser_of(filters: Filters) -> str:
    """Names everything that decides what a given replay becomes."""
    return f"{PARSER_VERSION}-{columns_hash()}-{filters.fingerprint()}"


def parse_files(
    files: Sequence[ReplayFile],
    out: Path,
    progress: Progress,
    *,
    filters: Filters | None = None,
    workers: int | None = None,
    label: str = "parse",
) -> Parsed:
    """Parse replays to `out/<md5>.parquet` and `out/index.parquet`.

    Every file gets a row in the index, whatever it is. Tables that are already there and were
    made by the same parser with the same filters are not made again.
    """
    return parse_chunks(
        [files], len(files), out, progress, filters=filters, workers=workers, label=label
    )


def parse_chunks(
    chunks: Iterable[Sequence[ReplayFile]],
    total: int,
    out: Path,
    progress: Progress,
    *,
    filters: Filters | None = None,
    workers: int | None = None,
    label: str = "parse",
) -> Parsed:
    """As parse_files, of about `total` replays that need not lie on the disk all at once.

    The next chunk is asked for when every file of the one before has been read.
    """
    filters = filters or Filters()
    parser = parser_of(filters)
    out.mkdir(parents=True, exist_ok=True)
    before = {row.md5: row for row in read_index(out / "index.parquet") if row.parser == parser}
    refused = frozenset(md5 for md5, row in before.items() if row.table_hash is None)
    rows: list[IndexRow] = []
    now = 0
    count = min(workers or default_workers(), total)
    with executor(count) as pool, progress.task(label, total, "files") as advance:
        for chunk in chunks:
            jobs = [_Job(file, out, filters, parser, refused) for file in chunk]
            results = map_ordered(pool, _parse_one, jobs, ahead=4 * max(count, 1))
            for job, (row, parsed) in zip(jobs, results, strict=True):
                rows.append(row or replace(before[parsed], name=job.file.name))
                now += parsed == ""
                advance(1)
    marked = mark_duplicates(rows)
    write_index(out / "index.parquet", marked)
    _sweep(out, {row.md5 for row in marked if row.table_hash})
    return Parsed(marked, now)


def _parse_one(job: _Job) -> tuple[IndexRow | None, str]:
    """A row, and the MD5 if nothing had to be read: of a known refusal only the MD5."""
    md5, size = file_md5(job.file.path), job.file.path.stat().st_size
    if md5 in job.refused:
        return None, md5
    target = job.out / f"{md5}.parquet"
    if (row := _made_before(target, job)) is not None:
        return row, md5
    base = IndexRow(md5, job.file.name, size, REFUSED, None, None, job.parser)
    if not size:
        return replace(base, reason=Reason.EMPTY.value, detail="0 bytes"), ""
    try:
        replay = read_replay(job.file.path)
    except ReplayError as error:
        return replace(base, reason=Reason.UNREADABLE.value, detail=str(error)), ""
    row = _with_facts(base, replay)
    if refusal := judge(replay, job.filters):
        return replace(row, reason=refusal.reason.value, detail=refusal.detail), ""
    table = replay.table()
    row = replace(
        row,
        verdict=KEPT,
        frames=table.num_rows,
        winner=_winner(replay, table),
        content=_content(replay, table),
    )
    return _write_game(target, table, row), ""


def _with_facts(row: IndexRow, replay: Replay) -> IndexRow:
    players = tuple(
        IndexPlayer(p.port, p.character, p.type, p.stocks, p.costume, p.team)
        for p in replay.players
    )
    return replace(
        row,
        slippi_version=".".join(map(str, replay.version)),
        stage=replay.stage,
        players=players,
        rows=replay.rows,
        end_method=replay.end_method,
    )


def _winner(replay: Replay, table: pa.Table) -> str | None:
    """The winner's port: the recorded placement, else who has stocks left at the game's end."""
    first = [port for port, placement in replay.placements.items() if placement == 0]
    if len(first) == 1:
        return first[0]
    stocks = [table.column(f"p{i}_stocks")[-1].as_py() for i in range(len(replay.players))]
    if replay.end_method in ("Game", "Resolved") and len(set(stocks)) == len(stocks):
        return replay.players[stocks.index(max(stocks))].port
    return None


def _content(replay: Replay, table: pa.Table) -> str:
    """Equal for two files of one game, also when one was saved again with other metadata."""
    start = [replay.random_seed, replay.stage, [[p.port, p.character] for p in replay.players]]
    digest = hashlib.sha256(json.dumps(start).encode())
    for player in range(len(replay.players)):
        for name in _CONTENT:
            digest.update(table.column(f"p{player}_{name}").to_numpy().tobytes())
    return digest.hexdigest()[:32]


def _write_game(path: Path, table: pa.Table, row: IndexRow) -> IndexRow:
    # Without the file's name: two copies of a game must give the same bytes, and names are private.
    anonymous = replace(row, name="")
    header = {"kind": "game", "columns": columns_hash(), "row": asdict(anonymous)}
    metadata = {"melee_pipeline": json.dumps(header, sort_keys=True)}
    with atomic_file(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd")
        return replace(row, table_hash=file_sha256(temporary))


def _header(path: Path) -> dict[str, Any]:
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise ArtefactError(f"{path} is not a readable Parquet file: {error}") from error
    header: dict[str, Any] = json.loads(metadata.get(b"melee_pipeline", b"{}"))
    return header


def _made_before(path: Path, job: _Job) -> IndexRow | None:
    if not path.exists():
        return None
    header = _header(path)
    if header.get("columns") != columns_hash() or header["row"]["parser"] != job.parser:
        return None
    return replace(row_of(header["row"]), name=job.file.name, table_hash=file_sha256(path))


def check_game(path: Path) -> None:
    """Raises SchemaMismatchError when the game at `path` was written with other columns."""
    header = _header(path)
    expected = {"kind": "game", "columns": columns_hash()}
    found = {key: header.get(key) for key in expected}
    if found != expected:
        raise SchemaMismatchError(f"parsed game {path}", expected, found)


def read_game(path: Path) -> pa.Table:
    """A parsed game's table. Raises SchemaMismatchError when it was written with other columns."""
    check_game(path)
    return pq.read_table(path)


def _sweep(out: Path, md5s: set[str]) -> None:
    """Remove tables of games that the source no longer holds."""
    for path in out.glob("*.parquet"):
        if path.stem != "index" and path.stem not in md5s:
            path.unlink()


@one_at_a_time
def parse_source(
    store: Store,
    source: str,
    progress: Progress,
    *,
    filters: Filters | None = None,
    workers: int | None = None,
) -> Stamp:
    """Parse a source's extracted replays. Nothing is done when these very files were parsed."""
    extracted = store.need(REPLAYS, source, f"--source {source}")
    inputs = {"replays": extracted.version, "parser": parser_of(filters or Filters())}
    if (found := store.current(GAMES, source, inputs)) and store.index(source).exists():
        return found
    parsed = parse_chunks(
        replay_chunks(store, source, progress),
        int(extracted.report["replays"]),
        store.games(source),
        progress,
        filters=filters,
        workers=workers,
        label=f"{source}: parse",
    )
    kept = parsed.kept
    outputs = sorted(f"{row.md5} {row.parser} {row.table_hash}" for row in kept)
    version = hashlib.sha256("\n".join(outputs).encode()).hexdigest()
    report = {
        "files": len(parsed.rows),
        "games": len(kept),
        "frames": sum(row.frames or 0 for row in kept),
        "parsed_now": parsed.parsed_now,
        "refused": parsed.reasons(),
    }
    facts = {"games": len(kept), "parser": parser_of(filters or Filters())}
    return store.put(
        Stamp(GAMES, source, inputs, version, report, facts, upstream=[extracted.record()])
    )
