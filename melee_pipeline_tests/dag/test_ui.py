"""The Dagster UI as a user meets it: `make dev`, its GraphQL, and its pages in a browser.

A small sample source is made with the mouse, as the README tells a new user; where there is no
browser the same runs are launched through GraphQL.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from melee_pipeline.progress import Quiet
from melee_pipeline.replays.game import Metadata
from melee_pipeline.replays.simulate import sample_archive
from melee_pipeline.replays.write import write_slp
from melee_pipeline.sources.catalog import add_source
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.store import CHECKPOINT, GAMES, SHARDS, TRAINING_SET, Store
from melee_pipeline_tests.dag import pages
from melee_pipeline_tests.dag.ui import (
    REPOSITORY,
    RUNS,
    Ui,
    UiError,
    chromium,
    environment,
    make,
    open_page,
    patiently,
    start_ui,
)
from melee_pipeline_tests.replays.games import small_game
from melee_pipeline_tests.servers import serve

SOURCE_ASSETS = ["replay_archive", "extracted_replays", "parsed_games", "encoded_shards"]
MODEL_ASSETS = ["checkpoint", "evaluation"]
ASSETS = [*SOURCE_ASSETS, "training_set", *MODEL_ASSETS]
CHECKS = """{ assetNodes { assetKey { path } assetChecksOrError { ... on AssetChecks { checks {
  name blocking executionForLatestMaterialization { status } } } } } }"""
CANCEL = """mutation Cancel($id: String!) { terminateRun(runId: $id) { __typename } }"""
POOLS = "{ instance { concurrencyLimits { concurrencyKey limit } } }"

has_browser = chromium() is not None and find_spec("playwright") is not None
browser = pytest.mark.skipif(not has_browser, reason="needs Chromium on PATH, and playwright")


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
        sample_archive(archives / "sample.7z", 3)
        store.root.mkdir()
        store.user_experiments.write_text("quick: {recipe: mlp_v1, hidden: [8], epochs: 1}\n")
        fetch_archive(store, add_source(store, "sample", f"{url}/sample.7z"), Quiet())
        ui = start_ui(root)
        try:
            yield World(ui, store, url)
        finally:
            stopped = ui.stop()
    assert stopped, "Ctrl-C left a process behind"


def test_a_port_that_is_taken_is_one_line(world: World, tmp_path: Path) -> None:
    port = world.ui.url.rpartition(":")[2]
    done = subprocess.run(
        make("dev", f"PORT={port}"),
        cwd=REPOSITORY,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    said = [line for line in done.stderr.splitlines() if not line.startswith("make:")]
    assert said == [
        f"error: port {port} is taken (Address already in use); "
        f"choose another: make dev PORT={int(port) + 1}"
    ]


@browser
def test_the_graph_shows_groups_and_assets(world: World) -> None:
    with open_page() as page:
        pages.open_graph(page, world.ui)
        for name in (*pages.GROUPS, *ASSETS):
            page.get_by_text(name, exact=True).first.wait_for()


def click(world: World, job: str, assets: list[str], partition: str) -> None:
    """Materialize a partition on a job's page; without a browser, as that page asks for it."""
    if has_browser:
        with open_page() as page:
            pages.open_job(page, world.ui, job)
            pages.materialize(page, world.ui, partition)
    else:
        world.ui.wait(world.ui.launch(assets, partition))


def test_the_sample_source_is_made_and_the_training_set_follows_once(world: World) -> None:
    assert world.ui.runs("add_source") == [], "the sample waits for a click"
    click(world, "add_source", SOURCE_ASSETS, "sample")
    assert world.store.need(SHARDS, "sample", "").report["games"] == 3
    world.ui.until("update_training_set", None, "SUCCESS")
    assert world.store.need(TRAINING_SET, TRAINING_SET, "").report["games"] == 3


def test_a_model_is_trained(world: World) -> None:
    click(world, "train_experiment", MODEL_ASSETS, "quick")
    trained = world.store.need(CHECKPOINT, "quick", "")
    assert (world.store.root / trained.facts["run"] / "best.pt").exists()


@browser
def test_pages_show_lineage_and_pictures(world: World) -> None:
    with open_page() as page:
        pages.open_asset(page, world.ui, "checkpoint")
        lineage = pages.metadata(page, "lineage")
        lineage.get_by_text(f"{world.url}/sample.7z").wait_for()
        assert pages.picture(page, "loss_curve")[0] == 300
        width, height = pages.open_picture(page, "curves")
        assert width > 300 and height > 100

        pages.open_partition(page, world.ui, "parsed_games", "sample")
        assert pages.picture(page, "lengths")[0] == 300
        width, height = pages.open_picture(page, "characters_by_stage")
        assert width > 300 and height > 100

        pages.open_asset(page, world.ui, "evaluation")
        assert pages.picture(page, "rollout_curve")[0] == 300


def test_all_checks_are_executed(world: World) -> None:
    found: dict[str, Any] = {}
    for node in world.ui.graphql(CHECKS)["assetNodes"]:
        for check in node["assetChecksOrError"]["checks"]:
            found[f"{node['assetKey']['path'][0]}.{check['name']}"] = check
    assert {name.partition(".")[0] for name in found} == set(ASSETS)
    for name, check in found.items():
        ended = check["executionForLatestMaterialization"]
        assert ended is not None, name
        # A model of three games may lose to copying the last frame: that is a warning.
        assert ended["status"] == "SUCCEEDED" or not check["blocking"], name


def test_pools_keep_heavy_steps_apart(world: World) -> None:
    limits = world.ui.graphql(POOLS)["instance"]["concurrencyLimits"]
    assert {p["concurrencyKey"]: p["limit"] for p in limits} == {"cpu": 1, "download": 1, "gpu": 1}


def test_the_log_has_neither_warnings_nor_errors(world: World) -> None:
    said = world.ui.log.read_text()
    assert "Serving dagster-webserver" in said
    assert not [w for w in ("Warning", "WARNING", "ERROR", "Traceback") if w in said], said


def processes_of(root: Path) -> dict[int, str]:
    """Command lines of the processes that work on a data root, by its MELEE_DATA in their own."""
    mark, found = f"MELEE_DATA={root}".encode(), {}
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has ended, or is another user's
            if mark in environ.read_bytes().split(b"\0"):
                command = (environ.parent / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(environ.parent.name)] = command.decode(errors="replace")
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")
def test_cancelling_a_run_leaves_no_process(world: World, tmp_path: Path) -> None:
    """A run that parses in a pool of processes, cancelled as the UI's button does it."""
    game = small_game(2000)
    for number in range(250):
        saved = Metadata(start_at=f"2002-02-02T02:{number // 60:02}:{number % 60:02}Z")
        write_slp(replace(game, metadata=saved), tmp_path / "long" / f"{number}.slp")
    # The first run of a server has started a helper of the server's own, which stays.
    before = processes_of(world.store.root)
    add_source(world.store, "long", str(tmp_path / "long"))
    for _ in patiently("the first table"):
        if any(world.store.games("long").glob("*.parquet")):
            break
    assert processes_of(world.store.root).keys() - before.keys(), "a run has its own processes"
    [run] = [
        r["runId"]
        for r in world.ui.graphql(RUNS)["runsOrError"]["results"]
        if r["status"] == "STARTED"
    ]
    answer = world.ui.graphql(CANCEL, {"id": run})["terminateRun"]
    assert answer["__typename"] == "TerminateRunSuccess", answer
    world.ui.until("add_source", "long", "CANCELED")
    left: dict[int, str] = {}
    with suppress(UiError):
        for _ in patiently("the end of its processes", 60):
            left = {p: c for p, c in processes_of(world.store.root).items() if p not in before}
            if not left:
                break
    assert not left
    assert world.store.stamp(GAMES, "long") is None, "what was cut off is not taken for done"
    # What was finished is kept, and the lock is free: another run goes on.
    kept = len(list(world.store.games("long").glob("*.parquet")))
    world.ui.wait(world.ui.launch(SOURCE_ASSETS[:3], "long"))
    report = world.store.need(GAMES, "long", "").report
    assert report["files"] == 250
    assert report["parsed_now"] <= 250 - kept
    assert world.ui.runs("add_source", "long") == ["CANCELED"], "no sensor starts it again"
