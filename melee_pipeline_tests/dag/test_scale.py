"""As many sources and games as there are in the world: 120 and 22,000."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.many_sources import EXPERIMENT, make_instance, make_sources
from benchmarks.ui_scale import QUERIES, ask, webserver
from melee_pipeline.dag.assets.models import checkpoint
from melee_pipeline.lineage import read_lineage, sources_of
from melee_pipeline.store import CHECKPOINT, TRAINING_SET, Store, read_json

SOURCES, GAMES = 120, 22_000


@pytest.fixture(scope="module")
def answers(
    tmp_path_factory: pytest.TempPathFactory, built_store: Store
) -> Iterator[tuple[Store, dict[str, Any], dict[str, Any]]]:
    """The data root, what the pages are told, and what the checkpoint's event holds."""
    root = tmp_path_factory.mktemp("scale")
    shard = next(built_store.shards("alpha").glob("*.safetensors"))
    store = make_sources(root, shard, SOURCES, GAMES)
    with make_instance(root, store) as instance:
        event = instance.get_latest_materialization_event(checkpoint.key)
        assert event is not None and event.asset_materialization is not None
        metadata = {k: v.value for k, v in event.asset_materialization.metadata.items()}
        with webserver(root, store) as url:
            yield store, {name: ask(url, query) for name, query in QUERIES.items()}, metadata


Answers = tuple[Store, dict[str, Any], dict[str, Any]]


def test_all_partitions_are_reported(answers: Answers) -> None:
    _, told, _ = answers
    nodes = {node["assetKey"]["path"][0]: node for node in told["the asset graph"]["assetNodes"]}
    assert len(nodes) == 7
    for asset in ("replay_archive", "extracted_replays", "parsed_games", "encoded_shards"):
        stats = nodes[asset]["partitionStats"]
        assert (stats["numMaterialized"], stats["numFailed"]) == (SOURCES, 0)
    statuses = told["parsed_games: its partitions"]["assetNodeOrError"]["assetPartitionStatuses"]
    assert statuses["materializedPartitions"] == [f"cup-{i:03d}" for i in range(SOURCES)]
    events = told["parsed_games: its latest events"]["assetOrError"]["assetMaterializations"]
    assert len({event["partition"] for event in events}) == 100


def test_the_training_set_joins_them_all(answers: Answers) -> None:
    store, told, _ = answers
    [event] = told["training_set: its page"]["assetNodeOrError"]["assetMaterializations"]
    said = {entry["label"]: entry for entry in event["metadataEntries"]}
    assert said["games"]["intValue"] == GAMES
    assert len(store.need(TRAINING_SET, TRAINING_SET, "").upstream) == SOURCES
    tags = {tag["key"]: tag["value"] for tag in event["tags"]}
    assert tags["dagster/data_version"] == store.need(TRAINING_SET, TRAINING_SET, "").version


def test_lineage_names_every_source_with_its_own_url(answers: Answers) -> None:
    """Beyond a hundred partitions Dagster itself no longer says which it took."""
    store, told, metadata = answers
    run = store.root / store.need(CHECKPOINT, EXPERIMENT, "").facts["run"]
    found = sources_of(read_lineage(run))
    assert {(s.source, s.location) for s in found} == {
        (f"cup-{i:03d}", f"https://example.org/cup-{i:03d}.7z") for i in range(SOURCES)
    }
    used = {md5 for source in found for md5 in source.md5s}
    assert used == set(read_json(run / "manifest.json")["game_md5s"])
    rows = {row.data["source"]: row.data for row in metadata["lineage"].records}
    assert len(rows) == SOURCES
    assert all(row["location"] == f"https://example.org/{name}.7z" for name, row in rows.items())
    [event] = told["checkpoint: its page"]["assetNodeOrError"]["assetMaterializations"]
    shown = {entry["label"]: entry for entry in event["metadataEntries"]}
    assert len(shown["lineage"]["table"]["records"]) == SOURCES
