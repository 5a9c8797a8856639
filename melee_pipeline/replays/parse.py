"""Replays to one Parquet per game and an index, in parallel, resuming where it was cut off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

from melee_pipeline.parallel import default_workers, executor, map_ordered
from melee_pipeline.progress import Progress
from melee_pipeline.replays.filters import Filters, Reason
from melee_pipeline.replays.index import (
    KEPT,
    IndexRow,
    before_marking,
    by_md5,
    copies_that_stay,
    mark_duplicates,
    read_index,
    write_index,
)
from melee_pipeline.replays.tables import settle, sweep
from melee_pipeline.replays.verdict import Job, crashed, parse_one, parser_of
from melee_pipeline.sources.unpack import ReplayFile

FILE_SECONDS = 300.0  # for one file; the longest replays take two


@dataclass(frozen=True, slots=True)
class Parsed:
    """What parsing made: the index, its rows of the files met now, how many of them were read."""

    rows: list[IndexRow]
    met: list[IndexRow]
    parsed_now: int

    @property
    def kept(self) -> list[IndexRow]:
        """The games."""
        return [row for row in self.rows if row.verdict == KEPT]

    def reasons(self) -> dict[str, int]:
        """How many files were not kept, by reason, most frequent first."""
        return dict(Counter(str(row.reason) for row in self.rows if row.reason).most_common())


def parse_files(
    files: Sequence[ReplayFile],
    out: Path,
    progress: Progress,
    *,
    filters: Filters | None = None,
    workers: int | None = None,
    label: str = "parse",
    keep_others: bool = False,
) -> Parsed:
    """Parse replays to `out/<md5>.parquet` (see tables.py) and `out/index.parquet`.

    Every file gets a row in the index, whatever it is and does to the process that reads it.
    Tables that are already there and were made by the same parser with the same filters are not
    made again. `keep_others` leaves what the index holds of other files as it is; without it
    the folder holds these files' games and no others. `workers` are processes; 0 reads in this
    one, without shelter from a crash.
    """
    return parse_chunks(
        [files],
        len(files),
        out,
        progress,
        filters=filters,
        workers=workers,
        label=label,
        keep_others=keep_others,
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
    keep_others: bool = False,
) -> Parsed:
    """As parse_files, of about `total` replays that need not lie on the disk all at once.

    The next chunk is asked for when every file of the one before has been read.
    """
    filters = filters or Filters()
    parser = parser_of(filters)
    out.mkdir(parents=True, exist_ok=True)
    index = out / "index.parquet"
    index_time = index.stat().st_mtime_ns if index.exists() else 0
    former = read_index(index)
    count = min(default_workers() if workers is None else workers, total)
    with executor(count, FILE_SECONDS) as pool, progress.task(label, total, "files") as advance:
        reader = _Reader(pool, 4 * max(count, 1), by_md5(former), advance)
        for chunk in chunks:
            reader.take([Job(file, out, filters, parser, index_time) for file in chunk])
    others = _others(former, reader.rows) if keep_others else []
    marked = mark_duplicates([*reader.rows, *others])
    kept = {row.md5 for row in marked if row.verdict == KEPT}
    settle(out, reader.read & kept)
    write_index(index, marked)
    # Only what was written now, or an index lists: also duplicates, which a killed run may leave.
    ours = {row.md5 for row in former if row.table_hash or row.reason == Reason.DUPLICATE}
    sweep(out, (ours | reader.read) - kept)
    these = {_key(row) for row in reader.rows}
    return Parsed(marked, [row for row in marked if _key(row) in these], len(reader.read))


def _key(row: IndexRow) -> tuple[str, str]:
    """What tells two rows apart: one file may lie in several places."""
    return row.md5, row.name


def _others(former: Sequence[IndexRow], rows: Sequence[IndexRow]) -> list[IndexRow]:
    """What the last index holds of files that were not met now.

    A copy of a file that was met is what that file is: their table is one.
    """
    these, known = {_key(row) for row in rows}, by_md5(rows)
    return [
        replace(known.get(row.md5, row), name=row.name) for row in former if _key(row) not in these
    ]


class _Reader:
    """Reads chunk after chunk of files, but not those of which the last index tells enough."""

    def __init__(
        self,
        pool: Executor,
        ahead: int,
        before: Mapping[str, IndexRow],
        advance: Callable[[int], None],
    ) -> None:
        self.rows: list[IndexRow] = []
        self.read: set[str] = set()  # MD5s: of two copies met at once, both may be read
        self._pool, self._ahead, self._before, self._advance = pool, ahead, before, advance

    def take(self, jobs: Sequence[Job]) -> None:
        """Add the rows of these jobs' files, which may be gone afterwards."""
        first = len(self.rows)
        for row in self._results(jobs):
            self.rows.append(row)
            self._advance(1)
        # A known duplicate has no table: it is read when the copy that stayed is not met any more.
        while orphans := self._without_table(first):
            again = [replace(jobs[i - first], index_time=0) for i in orphans]
            for i, row in zip(orphans, self._results(again), strict=True):
                self.rows[i] = row

    def _without_table(self, first: int) -> list[int]:
        """Places, from `first` on, of rows that stay as things are and have no table."""
        if not any(row.verdict == KEPT and not row.table_hash for row in self.rows[first:]):
            return []
        stay = {id(row) for row in copies_that_stay(self.rows).values() if not row.table_hash}
        return [i for i in range(first, len(self.rows)) if id(self.rows[i]) in stay]

    def _results(self, jobs: Sequence[Job]) -> Iterator[IndexRow]:
        results = map_ordered(self._pool, parse_one, jobs, self._ahead, lost=crashed)
        for job, (row, known) in zip(jobs, results, strict=True):
            if not known and row is not None:
                self.read.add(row.md5)
            yield row or before_marking(replace(self._before[known], name=job.file.name))
