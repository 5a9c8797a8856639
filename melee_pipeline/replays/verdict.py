"""What becomes of one file: its verdict, and its tables if it is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from melee_pipeline.errors import ReplayError
from melee_pipeline.parallel import WorkerLostError
from melee_pipeline.replays.filters import Filters, Reason, Refusal, judge, judge_start
from melee_pipeline.replays.frames import Replay
from melee_pipeline.replays.index import KEPT, REFUSED, IndexPlayer, IndexRow, by_md5, read_index
from melee_pipeline.replays.read import read_frames
from melee_pipeline.replays.stream import Buffer, Start, load, read_header, read_start
from melee_pipeline.replays.tables import made_before, write_game
from melee_pipeline.replays.walk import CutShortError
from melee_pipeline.schema.columns import columns_hash
from melee_pipeline.sources.unpack import ReplayFile
from melee_pipeline.store import file_md5
from melee_pipeline.versions import PARSER_VERSION

# What tells two games apart, and the frames that are compared: few, because a copy of a game may
# be cut short, and enough, because they hold eight seconds of two people's play.
_CONTENT = ("x", "y", "action_state", "percent", "main_stick_x", "main_stick_y", "buttons")
CONTENT_FRAMES = 600


@dataclass(frozen=True, slots=True)
class Job:
    """A file to read, and where its tables go."""

    file: ReplayFile
    out: Path
    filters: Filters
    parser: str
    index_time: int  # when the index of the last run was written, in ns; 0: there is none


def parser_of(filters: Filters) -> str:
    """Names everything that decides what a given replay becomes."""
    return f"{PARSER_VERSION}-{columns_hash()}-{filters.fingerprint()}"


@lru_cache(maxsize=1)
def _before(index: Path, index_time: int) -> Mapping[str, IndexRow]:
    """What the last run made of each MD5, by whatever parser.

    Each worker reads it for itself, once: sent along with every file it would outweigh the files.
    """
    return by_md5(read_index(index)) if index_time else {}


def crashed(job: Job, error: WorkerLostError) -> tuple[IndexRow, str]:
    """The row of a file whose reader was lost."""
    md5, size = file_md5(job.file.path), job.file.path.stat().st_size
    base = IndexRow(md5, job.file.name, size, REFUSED, None, None, job.parser)
    return _refused(base, Refusal(Reason.CRASHED, str(error))), ""


def parse_one(job: Job) -> tuple[IndexRow | None, str]:
    """A row, and the MD5 if nothing had to be read: of a known refusal only the MD5."""
    path, name = job.file.path, job.file.name
    try:
        data = load(path)
    except ReplayError as error:
        base = IndexRow(file_md5(path), name, path.stat().st_size, REFUSED, None, None, job.parser)
        return _refused(base, Refusal(Reason.UNREADABLE, str(error))), ""
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    before = _before(job.out / "index.parquet", job.index_time).get(md5)
    if before and before.parser != job.parser:
        before = None
    if before and before.table_hash is None:
        return None, md5
    target = job.out / f"{md5}.parquet"
    if (row := made_before(target, job.parser, before.table_hash if before else None)) is not None:
        return replace(row, name=name), md5
    base = IndexRow(md5, name, len(data), REFUSED, None, None, job.parser)
    return _judged(base, data, job, target), ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A file as far as it can be read, and why it is not kept, if it is not."""

    refusal: Refusal | None
    start: Start | None = None
    replay: Replay | None = None


def read_and_judge(data: Buffer, filters: Filters) -> Judged:
    """Read a file's bytes; whatever they are, there is a verdict."""
    if not data:
        return Judged(Refusal(Reason.EMPTY, "0 bytes"))
    try:
        header = read_header(data)
    except ReplayError as error:
        return Judged(Refusal(Reason.UNREADABLE, str(error)))
    start, replay = read_start(data, header), None
    try:
        replay = read_frames(data, header, start)
        return Judged(judge(replay, filters), start, replay)
    except ReplayError as error:
        return Judged(unreadable(error, start, filters), start, replay)


def unreadable(error: ReplayError, start: Start, filters: Filters) -> Refusal:
    """Why a file is refused that broke off. What was chosen at its start decides first.

    It would be refused for that even if it were sound.
    """
    kind = Reason.TRUNCATED if isinstance(error, CutShortError) else Reason.UNREADABLE
    return judge_start(start, filters) or Refusal(kind, str(error))


def _judged(row: IndexRow, data: Buffer, job: Job, target: Path) -> IndexRow:
    """The row of a file that nothing is known about; writes the game's tables if it is kept."""
    found = read_and_judge(data, job.filters)
    if found.start is not None:
        row = _with_start(row, found.start)
    if found.replay is not None:
        row = _with_frames(row, found.replay)
    if found.refusal is not None:
        return _refused(row, found.refusal)
    assert found.start is not None and found.replay is not None
    try:
        return _keep(target, found.replay, row)
    except ReplayError as error:
        return _refused(row, unreadable(error, found.start, job.filters))


def _refused(row: IndexRow, refusal: Refusal) -> IndexRow:
    return replace(row, reason=refusal.reason.value, detail=refusal.detail)


def _keep(target: Path, replay: Replay, row: IndexRow) -> IndexRow:
    table = replay.table()
    cut = f"cut short after {table.num_rows} complete frames" if replay.truncated else None
    row = replace(
        row,
        verdict=KEPT,
        detail=cut,
        frames=table.num_rows,
        winner=_winner(replay, table),
        content=_content(replay, table),
    )
    return write_game(target, replay, table, row)


def _with_start(row: IndexRow, start: Start) -> IndexRow:
    players = tuple(
        IndexPlayer(p.port, p.character, p.type, p.stocks, p.costume, p.team) for p in start.players
    )
    version = ".".join(map(str, start.version))
    return replace(row, slippi_version=version, stage=start.stage, players=players)


def _with_frames(row: IndexRow, replay: Replay) -> IndexRow:
    return replace(row, rows=replay.rows, end_method=replay.end_method, truncated=replay.truncated)


def _winner(replay: Replay, table: pa.Table) -> str | None:
    """The winner's port: the recorded placement, else who has stocks left at the game's end."""
    first = [port for port, placement in replay.placements.items() if placement == 0]
    if len(first) == 1:
        return first[0]
    stocks = [table.column(f"p{i}_stocks")[-1].as_py() or 0 for i in range(len(replay.players))]
    if replay.end_method in ("Game", "Resolved") and len(set(stocks)) == len(stocks):
        return replay.players[stocks.index(max(stocks))].port
    return None


def _content(replay: Replay, table: pa.Table) -> str:
    """Equal for two files of one game, also when one was saved again with other metadata.

    Only the first frames count, so that a copy that was cut short is the same game, too.
    """
    start = [replay.random_seed, replay.stage, [[p.port, p.character] for p in replay.players]]
    digest = hashlib.sha256(json.dumps(start).encode())
    first = table.slice(0, CONTENT_FRAMES)
    for player in range(len(replay.players)):
        for name in _CONTENT:
            column = first.column(f"p{player}_{name}")
            column = column.fill_null(0) if column.null_count else column
            digest.update(column.to_numpy())
    return digest.hexdigest()[:32]
