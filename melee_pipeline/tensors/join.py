"""Joining the training set out of the shards of all sources: each game once, and the split.

The split is by game and hangs on the game's content alone: a game that is in the validation
split today is in it for ever, whatever arrives later and in whatever order. The one exception is
a set so small that all its games draw the same side: one is moved, until another game draws it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import Any

from melee_pipeline.errors import ArtefactError
from melee_pipeline.locks import alone
from melee_pipeline.progress import Progress
from melee_pipeline.schema.encoding import hash_of
from melee_pipeline.schema.rows import rows_hash
from melee_pipeline.sources.catalog import REMOVED
from melee_pipeline.store import (
    ARCHIVE,
    GAMES,
    REPLAYS,
    SHARDS,
    TRAINING_SET,
    Stamp,
    Store,
    atomic_file,
)
from melee_pipeline.tensors.shards import open_shard, shard_paths
from melee_pipeline.tensors.training_set import (
    FIRST,
    NAME,
    VALIDATION_SHARE,
    existing,
    load_training_set,
    set_version,
)
from melee_pipeline.versions import JOIN_VERSION


def inputs_now(store: Store) -> dict[str, str]:
    """What a training set would be made from if it were joined now: the stamp's `inputs`."""
    return _inputs(_encoded(store))


def _encoded(store: Store) -> dict[str, Stamp]:
    return {name: store.need(SHARDS, name, f"--source {name}") for name in store.names(SHARDS)}


def _inputs(sources: dict[str, Stamp]) -> dict[str, str]:
    versions = {_input(name): stamp.version for name, stamp in sources.items()}
    return versions | {"join": JOIN_VERSION, "validation_share": str(VALIDATION_SHARE)}


def build_training_set(store: Store, progress: Progress) -> Stamp:
    """Join the games of all sources' shards, each game once, and split them.

    Raises ArtefactError when no source has shards, or none of them a game; BusyError while another
    process joins.
    """
    with alone(store, f".{NAME}"):
        return _build(store, progress)


def _build(store: Store, progress: Progress) -> Stamp:
    sources = _encoded(store)
    if not sources:
        raise ArtefactError(f"no source has been encoded in {store.root} yet; {FIRST}")
    inputs = _inputs(sources)
    if (found := store.current(TRAINING_SET, NAME, inputs)) and _is_there(store):
        return found
    with progress.task("training set", len(sources), "sources") as advance:
        rows: list[dict[str, Any]] = []
        for stamp in sources.values():
            rows += _games_of(store, stamp)
            advance(1)
    if inputs_now(store) != inputs:  # a source was encoded again, or removed, in the meantime
        return _build(store, progress)
    kept, doubles = _once(rows)
    if not kept:
        raise ArtefactError(f"none of {', '.join(sources)} has a game to train on")
    _assign_splits(kept)
    return _write(store, kept, doubles, inputs, sources)


def _is_there(store: Store) -> bool:
    try:
        load_training_set(store)
    except ArtefactError:  # gone, damaged, or written by a join that was killed before its stamp
        return False
    return True


def _games_of(store: Store, shards: Stamp) -> list[dict[str, Any]]:
    """Rows of the list, from the shards alone: what is parsed by now may be other games."""
    rows = []
    for path in shard_paths(store, shards):
        shard, first = open_shard(existing(path)), 0
        for number, (game, end) in enumerate(zip(shard.listed, shard.ends.tolist(), strict=True)):
            rows.append(
                {
                    "md5": game.md5,
                    "content": game.content,
                    "packed": game.packed,
                    "source": shards.name,
                    "shard": str(path.relative_to(store.root)),
                    "number": number,
                    "first": first,
                    "frames": end - first,
                }
            )
            first = end
    return rows


def _once(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Each game once: the longest copy stays, then the first by (md5, source); others count."""
    kept: dict[str, dict[str, Any]] = {}
    doubles: defaultdict[str, int] = defaultdict(int)
    for row in sorted(rows, key=lambda r: (-r["frames"], r["md5"], r["source"])):
        if row["content"] in kept:
            doubles[row["source"]] += 1
        else:
            kept[row["content"]] = row
    return list(kept.values()), dict(doubles)


def _assign_splits(rows: list[dict[str, Any]]) -> None:
    """Adds `order` (a number in [0, 1) from the content) and `split` to every row."""
    for row in rows:
        digest = hashlib.sha256(f"split {row['content']}".encode()).digest()
        row["order"] = int.from_bytes(digest[:6]) / 2**48
        row["split"] = "validation" if row["order"] < VALIDATION_SHARE else "train"
    if len(rows) > 1 and all(row["split"] == "train" for row in rows):
        min(rows, key=lambda r: r["order"])["split"] = "validation"
    if all(row["split"] == "validation" for row in rows):
        max(rows, key=lambda r: r["order"])["split"] = "train"


def _write(
    store: Store,
    rows: list[dict[str, Any]],
    doubles: dict[str, int],
    inputs: dict[str, str],
    sources: dict[str, Stamp],
) -> Stamp:
    import polars as pl

    games = pl.DataFrame(rows).sort("md5")
    with atomic_file(store.training_set) as temporary:
        games.write_parquet(temporary)
    version = set_version(games, rows_hash())
    counts = games.group_by("source", "split").agg(pl.len(), pl.col("frames").sum())
    report = {
        "games": len(games),
        "frames": int(games["frames"].sum()),
        "by_source": counts.sort("source", "split").to_dicts(),
        "duplicates_left_out": doubles,
    }
    facts = {"data_fingerprint": hash_of(sorted(games["md5"])), "games": len(games)}
    upstream = [stamp.record() for stamp in sources.values()]
    return store.put(Stamp(TRAINING_SET, NAME, inputs, version, report, facts, upstream))


def not_joined(store: Store) -> dict[str, str]:
    """Sources that have been begun but are not in the set as they are now: name -> why."""
    begun = {name for stage in (ARCHIVE, REPLAYS, GAMES) for name in store.names(stage)}
    removed = set(store.names(REMOVED)) - set(store.names(SHARDS))
    joined = store.stamp(TRAINING_SET, NAME)
    found = {}
    for name in sorted(begun - removed):
        archive, replays = store.stamp(ARCHIVE, name), store.stamp(REPLAYS, name)
        parsed, packed = store.stamp(GAMES, name), store.stamp(SHARDS, name)
        if packed is None:
            found[name] = "not parsed yet" if parsed is None else "parsed, but not encoded yet"
        elif archive and replays and replays.inputs["archive"] != archive.version:
            found[name] = "fetched again since it was extracted"
        elif replays and parsed and parsed.inputs["replays"] != replays.version:
            found[name] = "extracted again since it was parsed"
        elif parsed is not None and packed.inputs["games"] != parsed.version:
            found[name] = "parsed again since it was encoded"
        elif joined is None or joined.inputs.get(_input(name)) != packed.version:
            found[name] = "encoded since the set was joined"
    return found


def _input(source: str) -> str:
    return f"shards of {source}"
