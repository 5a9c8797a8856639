"""The whole chain through Dagster: two sources over HTTP to an evaluated checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from melee_pipeline.dag.assets import data
from melee_pipeline.dag.assets.models import training_set
from melee_pipeline.dag.jobs import ASSETS, MODEL_ASSETS, SOURCE_ASSETS
from melee_pipeline.dag.partitions import register_partitions
from melee_pipeline.dag.resources import DataRoot
from melee_pipeline.lineage import read_lineage, sources_of
from melee_pipeline.locks import source_lock
from melee_pipeline.replays.simulate import sample_archive
from melee_pipeline.sources.catalog import add_source
from melee_pipeline.store import Store, file_sha256
from melee_pipeline_tests.dag.ticks import temporary_instance
from melee_pipeline_tests.servers import serve

TRAINING = {
    "ops": {
        "checkpoint": {"config": {"device": "cpu", "wandb": "off"}},
        "evaluation": {"config": {"device": "cpu"}},
    }
}
SOURCE_NAMES = ["replay_archive", "extracted_replays", "parsed_games", "encoded_shards"]


@dataclass
class World:
    """An instance, a data root, and the archives that a local server serves."""

    instance: dg.DagsterInstance
    store: Store
    archives: Path
    url: str

    def add(self, name: str, games: int) -> None:
        """A new source, as a user adds one."""
        sample_archive(self.archives / f"{name}.7z", games)
        add_source(self.store, name, f"{self.url}/{name}.7z")
        register_partitions(self.instance, self.store)

    def make(self, assets: list[Any], partition: str | None) -> dict[str, dict[str, Any]]:
        """Materialize assets in this process; their metadata by asset."""
        result = dg.materialize(
            ASSETS,
            selection=assets,
            partition_key=partition,
            instance=self.instance,
            resources={"data_root": DataRoot(path=str(self.store.root))},
            run_config=TRAINING if assets == MODEL_ASSETS else None,
        )
        assert all(e.passed for e in result.get_asset_check_evaluations() if e.blocking)
        return {
            event.asset_key.to_user_string(): {
                key: value.value for key, value in event.materialization.metadata.items()
            }
            for event in result.get_asset_materialization_events()
            if event.asset_key is not None
        }

    def data_version(self, asset: str) -> str:
        """The version that Dagster has recorded last."""
        event = self.instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert event is not None
        assert event.asset_materialization is not None
        return str((event.asset_materialization.tags or {})["dagster/data_version"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("world")
    archives = root / "archives"
    archives.mkdir()
    with (
        serve(archives) as url,
        temporary_instance(root) as instance,
    ):
        made = World(instance, Store(root / "data"), archives, url)
        made.store.root.mkdir()
        made.store.user_experiments.write_text("quick: {recipe: mlp_v3, hidden: [8], epochs: 1}\n")
        made.add("one", 4)
        yield made


@pytest.fixture(scope="module")
def first(world: World) -> dict[str, dict[str, Any]]:
    """What the first run of everything said."""
    said = world.make(SOURCE_ASSETS, "one")
    said |= world.make([training_set], None)
    return said | world.make(MODEL_ASSETS, "quick")


def test_every_asset_says_what_it_made(world: World, first: dict[str, dict[str, Any]]) -> None:
    assert set(first) == {*SOURCE_NAMES, "training_set", "checkpoint", "evaluation"}
    archive = world.archives / "one.7z"
    assert first["replay_archive"]["url"] == f"{world.url}/one.7z"
    assert first["replay_archive"]["sha256"] == file_sha256(archive)
    assert first["replay_archive"]["bytes"] == archive.stat().st_size
    assert first["extracted_replays"]["replays"] == 4 + 3  # an empty one, a torn one, one twice
    assert (first["parsed_games"]["files"], first["parsed_games"]["games"]) == (7, 4)
    assert first["encoded_shards"]["games"] == first["training_set"]["games"] == 4
    assert first["encoded_shards"]["bytes_per_frame"] <= 100
    assert first["checkpoint"]["data_fingerprint"] == first["training_set"]["data_fingerprint"]
    assert first["evaluation"]["position_mae"] > 0


def test_data_versions_are_those_of_the_stamps(
    world: World, first: dict[str, dict[str, Any]]
) -> None:
    stages = ["archive", "replays", "games", "shards"]
    for asset, stage in zip(SOURCE_NAMES, stages, strict=True):
        stamp = world.store.stamp(stage, "one")
        assert stamp is not None
        assert world.data_version(asset) == stamp.version == first[asset]["data_version"]


def test_the_checkpoint_walks_back_to_the_url(
    world: World, first: dict[str, dict[str, Any]]
) -> None:
    [source] = sources_of(read_lineage(Path(first["checkpoint"]["run_folder"])))
    assert source.location == f"{world.url}/one.7z"
    assert source.sha256 == first["replay_archive"]["sha256"]
    assert len(source.md5s) == 4


def test_doing_it_again_makes_nothing(world: World, first: dict[str, dict[str, Any]]) -> None:
    again = world.make(SOURCE_ASSETS, "one") | world.make([training_set], None)
    again |= world.make(MODEL_ASSETS, "quick")
    for asset, said in again.items():
        assert said["made_now"] is False, asset
        assert said["data_version"] == first[asset]["data_version"], asset
    assert again["parsed_games"]["parsed_now"] == 0


def test_a_second_source_is_all_the_work_there_is(
    world: World, first: dict[str, dict[str, Any]]
) -> None:
    before = {p: p.stat().st_mtime_ns for p in world.store.games("one").iterdir()}
    world.add("two", 6)  # the first four games are those of the first source
    said = world.make(SOURCE_ASSETS, "two") | world.make([training_set], None)
    assert said["parsed_games"]["parsed_now"] == 6 + 2
    assert said["training_set"]["games"] == 6
    assert said["training_set"]["data_fingerprint"] != first["training_set"]["data_fingerprint"]
    assert {p: p.stat().st_mtime_ns for p in world.store.games("one").iterdir()} == before


def test_what_no_try_can_mend_is_not_tried_again(world: World) -> None:
    """A source to be fetched by hand fails at once, and says what to fetch and where to put it."""
    result = dg.materialize(
        ASSETS,
        selection=SOURCE_ASSETS,
        partition_key="nikki",
        instance=world.instance,
        resources={"data_root": DataRoot(path=str(world.store.root))},
        raise_on_error=False,
    )
    [failure] = result.get_step_failure_events()
    said = str(failure.step_failure_data)
    assert "nikki: it cannot be fetched by a program" in said
    assert "Open https://1drv.ms" in said
    assert str(world.store.archives("nikki")) in said
    assert not [event for event in result.all_events if event.is_step_up_for_retry]


def test_a_source_that_another_process_has_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "FIRST_WAIT", 0)
    world.add("held", 1)
    with source_lock(world.store, "held"):
        result = dg.materialize(
            ASSETS,
            selection=SOURCE_ASSETS[:1],
            partition_key="held",
            instance=world.instance,
            resources={"data_root": DataRoot(path=str(world.store.root))},
            raise_on_error=False,
        )
    assert sum(event.is_step_up_for_retry for event in result.all_events) == data.TRIES
    assert "held: process" in str(result.get_step_failure_events()[0].step_failure_data)
    world.make(SOURCE_ASSETS[:1], "held")
