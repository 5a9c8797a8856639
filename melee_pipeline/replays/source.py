"""The parsing step of a source: from its extracted replays to its tables, index and stamp."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from melee_pipeline.locks import one_at_a_time
from melee_pipeline.progress import Progress
from melee_pipeline.replays.filters import Filters, filters_of
from melee_pipeline.replays.index import IndexRow
from melee_pipeline.replays.parse import parse_chunks
from melee_pipeline.replays.verdict import parser_of
from melee_pipeline.sources.catalog import load_catalog
from melee_pipeline.sources.chunks import replay_chunks
from melee_pipeline.store import GAMES, REPLAYS, Stamp, Store


@one_at_a_time
def parse_source(
    store: Store,
    source: str,
    progress: Progress,
    *,
    workers: int | None = None,
) -> Stamp:
    """Parse a source's extracted replays, with the filters that its entry in a catalogue names.

    Nothing is done when these very files were parsed with these very filters.
    """
    filters = source_filters(store, source)
    extracted = store.need(REPLAYS, source, f"--source {source}")
    inputs = {"replays": extracted.version, "parser": parser_of(filters)}
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
    version = games_version(kept)
    report = {
        "files": len(parsed.rows),
        "games": len(kept),
        "frames": sum(row.frames or 0 for row in kept),
        "parsed_now": parsed.parsed_now,
        "refused": parsed.reasons(),
    }
    facts = {"games": len(kept), "parser": parser_of(filters)}
    return store.put(
        Stamp(GAMES, source, inputs, version, report, facts, upstream=[extracted.record()])
    )


def source_filters(store: Store, source: str) -> Filters:
    """Which replays of a source are kept. Raises ConfigError naming what is wrong in its entry."""
    entry = load_catalog(store).get(source)
    return filters_of(entry.filters if entry else {}, f"source {source}")


def games_version(kept: Iterable[IndexRow]) -> str:
    """Data version of a source's games: of their tables, and what they were made by."""
    outputs = sorted(f"{row.md5} {row.parser} {row.table_hash}" for row in kept)
    return hashlib.sha256("\n".join(outputs).encode()).hexdigest()
