"""Training sets of any number of games, made of a few.

A few games go through the whole chain and are repeated to fill one shard; the shard's file is
linked under as many names as are needed. Lists, file names, memory maps and page tables are those
of the full size; the file's pages are one and the same, unless it is copied.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import polars as pl

from melee_pipeline.pipeline import source_steps
from melee_pipeline.progress import Quiet
from melee_pipeline.replays.simulate import sample_archive
from melee_pipeline.schema.rows import rows_hash
from melee_pipeline.sources.catalog import add_source
from melee_pipeline.store import TRAINING_SET, Stamp, Store
from melee_pipeline.tensors import join as joining
from melee_pipeline.tensors.derive import read_packable
from melee_pipeline.tensors.encode import pack_game
from melee_pipeline.tensors.shards import GAMES_PER_SHARD, open_shard, write_shard
from melee_pipeline.tensors.training_set import NAME, set_version

SIMULATED = 12  # games, where no replays are given


def make_games(root: Path, replays: Sequence[Path]) -> Path:
    """A shard of GAMES_PER_SHARD games: those of archives or folders, or else simulated ones."""
    made = Store(root / "made")
    games = []
    for path in replays or [sample_archive(root / "simulated.7z", SIMULATED)]:
        source = add_source(made, path.stem.lower(), str(path))
        for step in source_steps(made, source, Quiet()):
            step()
        index = pl.read_parquet(made.index(source.name)).filter(pl.col("verdict") == "kept")
        tables = [made.games(source.name) / f"{md5}.parquet" for md5 in index["md5"].sort()]
        games += [pack_game(read_packable(table)) for table in tables]
    shard = root / "0000.safetensors"
    names = [f"{number:032x}" for number in range(GAMES_PER_SHARD)]
    packed = dict(zip(names, cycle(games), strict=False))
    write_shard(shard, "some", packed, dict(zip(names, names, strict=True)))
    return shard


def make_training_set(root: Path, shard: Path, count: int, copy: bool) -> Store:
    """A store whose training set lists `count` games in as many shards as they need."""
    store = Store(root / str(count))
    opened = open_shard(shard)
    ends = opened.ends.tolist()
    firsts = [0, *ends[:-1]]
    rows: list[dict[str, Any]] = []
    for number in range(-(-count // GAMES_PER_SHARD)):
        path = store.shards("some") / f"{number:04d}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copyfile if copy else os.link)(shard, path)
        for i, (game, first, end) in enumerate(zip(opened.listed, firsts, ends, strict=True)):
            content = f"{number * GAMES_PER_SHARD + i:032x}"
            place = {"shard": str(path.relative_to(store.root)), "number": i, "first": first}
            rows.append(
                {
                    "md5": game.md5,
                    "packed": game.packed,
                    "content": content,
                    "source": "some",
                    **place,
                    "frames": end - first,
                }
            )
    rows = rows[:count]
    joining._assign_splits(rows)
    store.training_set.parent.mkdir(parents=True)
    games = pl.DataFrame(rows)
    games.write_parquet(store.training_set)
    version = set_version(games, rows_hash())
    store.put(Stamp(TRAINING_SET, NAME, {}, version, facts={"data_fingerprint": ""}))
    return store


def drop_pages(store: Store) -> None:
    """Ask the system to forget what it has read of the shards."""
    for path in store.shards("some").glob("*.safetensors"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
