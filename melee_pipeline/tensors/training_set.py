"""The training set: which games, from which shards, in which split.

The split is by game and hangs on the game's content alone: a game that is in the validation
split today is in it for ever, whatever arrives later and in whatever order. The one exception is
a set so small that all its games draw the same side: one is moved, until another game draws it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from melee_pipeline.errors import ArtefactError
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
from melee_pipeline.versions import JOIN_VERSION

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from melee_pipeline.tensors.windows import OpenGames

Split = Literal["train", "validation"]
VALIDATION_SHARE = 0.1
NAME = "training_set"  # the one training set's stamp
_FIRST = "run first: melee-pipeline run --source NAME (melee-pipeline sources list shows the names)"


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The list of games and what it was made from."""

    games: pl.DataFrame  # one row a game: see _games_of and _assign_splits
    stamp: Stamp

    @property
    def version(self) -> str:
        """Data version: changes with the games, what a model can learn of them, and the split."""
        return self.stamp.version

    @property
    def fingerprint(self) -> str:
        """Short hash of the set of games, whatever shards they lie in."""
        return str(self.stamp.facts["data_fingerprint"])

    def split(self, split: Split, max_games: int | None = None) -> pl.DataFrame:
        """Games of a split, at most `max_games`, always the same ones in the same order."""
        import polars as pl

        mine = self.games.filter(pl.col("split") == split).sort("order")
        return mine.head(max_games if max_games is not None else len(mine))


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

    Raises ArtefactError when no source has shards, or none of them a game.
    """
    sources = _encoded(store)
    if not sources:
        raise ArtefactError(f"no source has been encoded in {store.root} yet; {_FIRST}")
    inputs = _inputs(sources)
    if (found := store.current(TRAINING_SET, NAME, inputs)) and store.training_set.exists():
        return found
    with progress.task("training set", len(sources), "sources") as advance:
        rows: list[dict[str, Any]] = []
        for stamp in sources.values():
            rows += _games_of(store, stamp)
            advance(1)
    kept, doubles = _once(rows)
    if not kept:
        raise ArtefactError(f"none of {', '.join(sources)} has a game to train on")
    _assign_splits(kept)
    return _write(store, kept, doubles, inputs, sources)


def _games_of(store: Store, shards: Stamp) -> list[dict[str, Any]]:
    """Rows of the list, from the shards alone: what is parsed by now may be other games."""
    rows = []
    for path in shard_paths(store, shards):
        shard, first = open_shard(_existing(path)), 0
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


def set_version(games: pl.DataFrame, rows: str) -> str:
    """Data version of a training set: of its games, what is packed of them, and the split."""
    return hash_of(
        {
            "rows": rows,
            "games": games.sort("content").select("content", "packed", "split").rows(),
        }
    )


def not_joined(store: Store) -> dict[str, str]:
    """Sources that have been begun but are not in the set as they are now: name -> why."""
    begun = {name for stage in (ARCHIVE, REPLAYS, GAMES) for name in store.names(stage)}
    removed = set(store.names(REMOVED)) - set(store.names(SHARDS))
    joined = store.stamp(TRAINING_SET, NAME)
    found = {}
    for name in sorted(begun - removed):
        parsed, packed = store.stamp(GAMES, name), store.stamp(SHARDS, name)
        if packed is None:
            found[name] = "not parsed yet" if parsed is None else "parsed, but not encoded yet"
        elif parsed is not None and packed.inputs["games"] != parsed.version:
            found[name] = "parsed again since it was encoded"
        elif joined is None or joined.inputs.get(_input(name)) != packed.version:
            found[name] = "encoded since the set was joined"
    return found


def _input(source: str) -> str:
    return f"shards of {source}"


def load_training_set(store: Store) -> TrainingSet:
    """The training set as last joined. Raises ArtefactError when there is none."""
    import polars as pl

    stamp = store.stamp(TRAINING_SET, NAME)
    if stamp is None:
        first = "run first: melee-pipeline run" if store.names(SHARDS) else _FIRST
        raise ArtefactError(f"no training set has been joined in {store.root} yet; {first}")
    return TrainingSet(pl.read_parquet(store.training_set), stamp)


def open_games(store: Store, games: pl.DataFrame) -> OpenGames:
    """Games of a training set (some of its rows), memory-mapped, in the order given."""
    import numpy as np
    import polars as pl
    import torch

    from melee_pipeline.tensors.records import shard_layout
    from melee_pipeline.tensors.windows import OpenGames

    names = games["shard"].unique(maintain_order=True)
    shards = [open_shard(_existing(store.root / name)) for name in names]
    shard = games["shard"].replace_strict(names, range(len(names)), return_dtype=pl.Int64)
    # A game's place in the list of all games of these shards, from which its mask is taken.
    before = np.cumsum([0, *(len(one.md5s) for one in shards)])
    place = before[shard.to_numpy()] + games["number"].to_numpy()
    _same_games(games, [md5 for one in shards for md5 in one.md5s], place)
    masks = torch.cat([one.available for one in shards])
    return OpenGames(
        [one.records for one in shards],
        shard_layout(),
        shard.to_torch(),
        games["first"].to_torch(),
        games["frames"].to_torch(),
        masks[torch.from_numpy(place)],
    )


def _existing(path: Path) -> Path:
    if not path.exists():
        raise ArtefactError(
            f"{path} of the training set is gone; "
            f"run again: melee-pipeline run --source {path.parent.name}"
        )
    return path


def _same_games(games: pl.DataFrame, md5s: list[str], place: NDArray[np.int64]) -> None:
    """Raises ArtefactError when the shards are not those that the training set was joined from."""
    import polars as pl

    found = pl.Series(md5s)[place]
    if not (same := found == games["md5"]).all():
        name = games["shard"].filter(~same)[0]
        raise ArtefactError(
            f"{name} holds other games than when the training set was joined; "
            "join it again: melee-pipeline run"
        )
