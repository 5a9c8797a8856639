"""A data root and a Dagster instance of many sources, without their downloads and replays.

Stamps, indexes, shards, the training set and its lineage are written by the library, and the
training set and a checkpoint are materialized as ever. The games are the first frames of a few, and
what Dagster would have recorded of each source's four steps is reported to it directly.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from melee_pipeline.dag import pictures
from melee_pipeline.dag.assets.models import checkpoint, training_set
from melee_pipeline.dag.jobs import ASSETS, SOURCE_ASSETS
from melee_pipeline.dag.metadata import table
from melee_pipeline.dag.partitions import register_partitions
from melee_pipeline.dag.resources import DataRoot
from melee_pipeline.replays.index import KEPT, IndexPlayer, IndexRow, write_index
from melee_pipeline.store import ARCHIVE, GAMES, REPLAYS, SHARDS, Stamp, Store
from melee_pipeline.tensors.encode import PackedGame
from melee_pipeline.tensors.shards import open_shard, write_shard

STAGES = (ARCHIVE, REPLAYS, GAMES, SHARDS)
FRAMES = 150  # of each game: a window and the roll-out after it
EXPERIMENT = "tiny"
TINY = {
    "recipe": "mlp_v1", "hidden": [8], "context": 2, "epochs": 1, "batch_size": 512,
    "max_games": 1200,  # some of every source
}  # fmt: skip
INSTANCE = "telemetry: {enabled: false}\nnux: {enabled: false}\n"


def make_sources(root: Path, shard: Path, sources: int, games: int) -> Store:
    """A data root whose training set lists `games` games, out of `sources` sources.

    `shard` holds a few games of any length.
    """
    store = Store(root / "data")
    names = [f"cup-{number:03d}" for number in range(sources)]
    catalog = {name: {"kind": "http", "location": _url(name)} for name in names}
    store.root.mkdir(parents=True)
    store.user_catalog.write_text(yaml.safe_dump(catalog))
    store.user_experiments.write_text(yaml.safe_dump({EXPERIMENT: TINY}))
    few = cycle([_start(game) for _, game in open_shard(shard).games()])
    for number, name in enumerate(names):
        share = range(games * number // sources, games * (number + 1) // sources)
        rows = [_row(game) for game in share]
        write_index(store.index(name), rows)
        path = store.shards(name) / "0000.safetensors"
        path.parent.mkdir(parents=True)
        packed = {row.md5: game for row, game in zip(rows, few, strict=False)}
        write_shard(path, name, packed, {row.md5: row.content or "" for row in rows})
        _put_stamps(store, name, len(rows), path)
    return store


def make_instance(root: Path, store: Store) -> dg.DagsterInstance:
    """An instance under `root` that knows all of it."""
    home = root / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(INSTANCE)
    instance = dg.DagsterInstance.from_config(str(home))
    register_partitions(instance, store)
    names = store.names(SHARDS)
    heat_map = dg.MetadataValue.md(
        pictures.characters_by_stage([_row(number) for number in range(200)])
    )
    for name in names:
        for asset, stage in zip(SOURCE_ASSETS, STAGES, strict=True):
            stamp = store.need(stage, name, "")
            metadata: dict[str, Any] = {
                "games": int(stamp.facts["games"]),
                "made_from": table([{"input": k, "version": v} for k, v in stamp.inputs.items()]),
                **({"characters_by_stage": heat_map} if stage == GAMES else {}),
            }
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    asset.key,
                    partition=name,
                    metadata=metadata,
                    tags={"dagster/data_version": stamp.version},
                )
            )
    for asset, partition in ((training_set, None), (checkpoint, EXPERIMENT)):
        dg.materialize(
            ASSETS,
            selection=[asset],
            partition_key=partition,
            instance=instance,
            resources={"data_root": DataRoot(path=str(store.root))},
        )
    return instance


def _url(name: str) -> str:
    return f"https://example.org/{name}.7z"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _start(game: PackedGame) -> PackedGame:
    return replace(game, rows={name: block[:FRAMES] for name, block in game.rows.items()})


def _row(number: int) -> IndexRow:
    """A kept game of the index: no two alike."""
    md5 = hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()
    players = tuple(
        IndexPlayer(port, (number * step) % 26, "human", 4, 0, None)
        for port, step in (("P1", 1), ("P2", 7))
    )
    return IndexRow(
        md5=md5,
        name=f"Game_{number:05d}.slp",
        bytes=3_000_000,
        verdict=KEPT,
        reason=None,
        detail=None,
        parser="2",
        slippi_version="3.16.0",
        stage=(2, 3, 8, 28, 31, 32)[number % 6],
        players=players,
        frames=FRAMES,
        rows=FRAMES,
        content=_hash(md5)[:32],
        table_hash=_hash(md5),
    )


def _put_stamps(store: Store, name: str, games: int, shard: Path) -> None:
    """The stamps of the four steps, each with the records of those before it."""
    location = {"location": _url(name), "announced_sha256": ""}
    archive = {"url": _url(name), "bytes": 3_000_000 * games, "archives": [], "loose": 0}
    facts: dict[str, dict[str, Any]] = {
        ARCHIVE: archive,
        SHARDS: {"shards": {shard.name: shard.stat().st_size}},
    }
    before: Stamp | None = None
    for stage in STAGES:
        inputs = {before.stage: before.version} if before else location
        stamp = Stamp(
            stage,
            name,
            inputs,
            _hash(f"{stage} {name}"),
            facts={"games": games, **facts.get(stage, {})},
            upstream=[before.record()] if before else [],
        )
        before = store.put(stamp)
