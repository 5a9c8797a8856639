"""What Dagster shows as out of date, on a real instance: what a change has reached, and no more.

An asset is stale when what lies directly upstream has another version than it was made from, so a
change goes down the graph asset by asset, and ends where a version comes out equal.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import StaleStatus
from dagster._utils.test.data_versions import get_stale_status_resolver

from melee_pipeline.dag.assets.models import training_set
from melee_pipeline.dag.jobs import ASSETS, MODEL_ASSETS, SOURCE_ASSETS
from melee_pipeline.dag.partitions import register_partitions
from melee_pipeline.dag.resources import DataRoot
from melee_pipeline.sources.catalog import add_source
from melee_pipeline.store import Store
from melee_pipeline_tests.dag.ticks import temporary_instance, tournament

SOURCES = ("alpha", "beta")
TINY = "tiny: {recipe: mlp_v1, hidden: [8], context: 2, epochs: 1}\n"


@dataclass
class World:
    """An instance, a data root and the folders of its two sources."""

    instance: dg.DagsterInstance
    store: Store
    folders: Path

    def make(self, assets: list[dg.AssetsDefinition], partition: str | None) -> None:
        """Materialize assets in this process."""
        dg.materialize(
            ASSETS,
            selection=assets,
            partition_key=partition,
            instance=self.instance,
            resources={"data_root": DataRoot(path=str(self.store.root))},
        )

    def stale(self) -> set[str]:
        """Everything that is shown as out of date."""
        status = get_stale_status_resolver(self.instance, ASSETS)
        places = [(asset, name) for asset in SOURCE_ASSETS for name in SOURCES]
        places += [(asset, "tiny") for asset in MODEL_ASSETS]
        found = {
            f"{asset.key.to_user_string()} {name}": status.get_status(asset.key, name)
            for asset, name in places
        }
        found["training_set"] = status.get_status(training_set.key)
        return {name for name, is_ in found.items() if is_ != StaleStatus.FRESH}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("staleness")
    store = Store(root / "data")
    for number, name in enumerate(SOURCES):
        folder = tournament(root / name, 2 * number, 2 * number + 1)
        add_source(store, name, str(folder))
    store.user_experiments.write_text(TINY)
    with temporary_instance(root) as instance:
        register_partitions(instance, store)
        made = World(instance, store, root)
        for name in SOURCES:
            made.make(SOURCE_ASSETS, name)
        made.make([training_set], None)
        made.make(MODEL_ASSETS, "tiny")
        yield made


def test_a_changed_archive_goes_down_its_own_line_and_nowhere_else(world: World) -> None:
    assert world.stale() == set()
    tournament(world.folders / "beta", 2, 3, 4)  # a third game
    world.make(SOURCE_ASSETS[:1], "beta")
    for asset in SOURCE_ASSETS[1:]:
        assert world.stale() == {f"{asset.key.to_user_string()} beta"}
        world.make([asset], "beta")
    assert world.stale() == {"training_set"}
    world.make([training_set], None)
    for model in MODEL_ASSETS:
        assert world.stale() == {f"{model.key.to_user_string()} tiny"}
        world.make([model], "tiny")
    assert world.stale() == set()


def test_equal_versions_end_the_cascade(world: World) -> None:
    """Doing it again changes nothing; a file that is only dated anew stops at the replays."""
    world.make(SOURCE_ASSETS, "alpha")
    assert world.stale() == set()
    os.utime(world.folders / "alpha" / "game-0.slp")
    world.make(SOURCE_ASSETS[:1], "alpha")
    assert world.stale() == {"extracted_replays alpha"}
    world.make(SOURCE_ASSETS[1:2], "alpha")
    assert world.stale() == set()
