"""The Dagster UI as a user meets it: `make dev`, its GraphQL, and its pages in a browser.

Two small sources are served over HTTP: `sample` is materialized asset by asset through GraphQL,
`second` is added while the UI runs, and materialized with the mouse.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from melee_pipeline.progress import Quiet
from melee_pipeline.replays.simulate import sample_archive
from melee_pipeline.sources.catalog import add_source
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.store import CHECKPOINT, SHARDS, Store
from melee_pipeline_tests.dag import pages
from melee_pipeline_tests.dag.ui import Ui, chromium, environment, open_page, patiently, start_ui
from melee_pipeline_tests.servers import serve

BY_HAND = [
    *((asset, "sample") for asset in ("replay_archive", "extracted_replays", "parsed_games")),
    ("encoded_shards", "sample"),
    ("training_set", None),
    ("checkpoint", "demo"),
    ("evaluation", "demo"),
]
ASSETS = [asset for asset, _ in BY_HAND]
CHECKS = """{ assetNodes { assetKey { path } assetChecksOrError { ... on AssetChecks { checks {
  name blocking executionForLatestMaterialization { status } } } } } }"""
PARTITIONS = """{ assetNodeOrError(assetKey: {path: ["replay_archive"]}) {
  ... on AssetNode { partitionKeys } } }"""
POOLS = "{ instance { concurrencyLimits { concurrencyKey limit } } }"

browser = pytest.mark.skipif(
    chromium() is None or find_spec("playwright") is None,
    reason="needs Chromium on PATH, and playwright",
)


@dataclass
class World:
    """The UI, its data root, and where the archives are served."""

    ui: Ui
    store: Store
    url: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("ui")
    archives = root / "archives"
    archives.mkdir()
    with serve(archives) as url:
        # `make dev` simulates its sample source unless it is there: a smaller one will do here.
        store = Store(root / "data")
        sample_archive(archives / "sample.7z", 2)
        sample_archive(archives / "second.7z", 3)
        fetch_archive(store, add_source(store, "sample", f"{url}/sample.7z"), Quiet())
        ui = start_ui(root)
        try:
            program = Path(sys.executable).with_name("melee-pipeline")
            add = [str(program), "sources", "add", "second", f"{url}/second.7z"]
            subprocess.run(add, env=environment(root), check=True, capture_output=True)
            yield World(ui, store, url)
        finally:
            stopped = ui.stop()
    assert stopped, "Ctrl-C left a process behind"


def test_each_asset_is_materialized_by_hand(world: World) -> None:
    for asset, partition in BY_HAND:
        world.ui.wait(world.ui.launch([asset], partition))
    trained = world.store.need(CHECKPOINT, "demo", "")
    assert (world.store.root / trained.facts["run"] / "best.pt").exists()


def test_all_checks_are_executed(world: World) -> None:
    found: dict[str, Any] = {}
    for node in world.ui.graphql(CHECKS)["assetNodes"]:
        for check in node["assetChecksOrError"]["checks"]:
            found[f"{node['assetKey']['path'][0]}.{check['name']}"] = check
    assert {name.partition(".")[0] for name in found} == set(ASSETS)
    for name, check in found.items():
        ended = check["executionForLatestMaterialization"]
        assert ended is not None, name
        # A model of two games may lose to copying the last frame: that is a warning.
        assert ended["status"] == "SUCCEEDED" or not check["blocking"], name


def test_pools_keep_heavy_steps_apart(world: World) -> None:
    limits = world.ui.graphql(POOLS)["instance"]["concurrencyLimits"]
    assert {p["concurrencyKey"]: p["limit"] for p in limits} == {"cpu": 1, "download": 1, "gpu": 1}


def test_a_source_added_on_the_command_line_becomes_a_partition(world: World) -> None:
    for _ in patiently("the sensor"):
        if "second" in world.ui.graphql(PARTITIONS)["assetNodeOrError"]["partitionKeys"]:
            break


@browser
def test_the_graph_shows_groups_and_assets(world: World) -> None:
    with open_page() as page:
        pages.open_graph(page, world.ui)
        for name in (*pages.GROUPS, *ASSETS):
            page.get_by_text(name, exact=True).first.wait_for()


@browser
def test_a_source_and_a_model_are_made_with_the_mouse(world: World) -> None:
    before = world.store.need(CHECKPOINT, "demo", "")
    with open_page() as page:
        pages.open_job(page, world.ui, "add_source")
        pages.materialize(page, world.ui, "second")
        assert world.store.need(SHARDS, "second", "").report["games"] == 3
        pages.open_asset(page, world.ui, "training_set")
        pages.materialize(page, world.ui, None)
        pages.open_asset(page, world.ui, "checkpoint")
        pages.materialize(page, world.ui, "demo")
        assert world.store.need(CHECKPOINT, "demo", "").version != before.version

        pages.open_asset(page, world.ui, "checkpoint")
        lineage = pages.metadata(page, "lineage")
        for name in ("sample", "second"):
            lineage.get_by_text(f"{world.url}/{name}.7z").wait_for()
        width, height = pages.open_picture(page, "curves")
        assert width > 300 and height > 100

        pages.open_asset(page, world.ui, "parsed_games")
        width, height = pages.open_picture(page, "characters_by_stage")
        assert width > 300 and height > 100


def test_the_log_has_neither_warnings_nor_errors(world: World) -> None:
    said = world.ui.log.read_text()
    assert "Serving dagster-webserver" in said
    assert not [w for w in ("Warning", "WARNING", "ERROR", "Traceback") if w in said], said
