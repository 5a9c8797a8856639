"""What happens by itself, and after a crash: a real webserver and daemon, watched over GraphQL."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from melee_pipeline.dag.automation.inbox import inbox
from melee_pipeline.progress import Quiet
from melee_pipeline.replays.simulate import sample_archive
from melee_pipeline.sources.catalog import add_source
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.store import CHECKPOINT, GAMES, TRAINING_SET, Store
from melee_pipeline_tests.dag.ticks import tournament
from melee_pipeline_tests.dag.ui import REPOSITORY, Ui, environment, make, patiently, start_ui
from melee_pipeline_tests.servers import serve

SENSOR = """query Ticks($selector: InstigationSelector!) {
  instigationStateOrError(instigationSelector: $selector) { ... on InstigationState {
    ticks(limit: 200) { status skipReason runIds } } } }"""
JOIN = "update_training_set"
# A model that trains in a second.
TINY = {"recipe": "mlp_v1", "hidden": [8], "context": 2, "epochs": 1}
SETTINGS = {"MELEE_RETRAIN_CRON": "* * * * *", "MELEE_RETRAIN": "tiny", "MELEE_TRIES": "2"}
LIVE = [dg.DagsterRunStatus.STARTED]


@dataclass
class World:
    """The UI, its data root, and where archives are served."""

    ui: Ui
    root: Path
    archives: Path
    url: str

    @property
    def store(self) -> Store:
        """The data root."""
        return Store(self.root / "data")

    def ticks(self, name: str) -> list[dict[str, Any]]:
        """What a sensor or schedule has said, the newest first."""
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": "melee_pipeline",
            "name": name,
        }
        answer = self.ui.graphql(SENSOR, {"selector": selector})["instigationStateOrError"]
        return list(answer["ticks"])

    def until_tick(self, name: str, said: str) -> None:
        """Wait until a tick has said something."""
        for _ in patiently(f"{name} to say {said!r}"):
            if any(said in (tick["skipReason"] or "") for tick in self.ticks(name)):
                return

    def games(self) -> int:
        """How many games the training set has."""
        return int(self.store.need(TRAINING_SET, TRAINING_SET, "").report["games"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("operations")
    archives = root / "archives"
    archives.mkdir()
    store = Store(root / "data")
    tournament(store.root / "sample", 9)  # `make dev` simulates a larger one unless it is there
    fetch_archive(store, add_source(store, "sample", str(store.root / "sample")), Quiet())
    store.user_experiments.write_text(yaml.safe_dump({"tiny": TINY}))
    with serve(archives) as url:
        made = World(start_ui(root, **SETTINGS), root, archives, url)
        try:
            yield made
        finally:
            stopped = made.ui.stop()
    assert stopped, "Ctrl-C left a process behind"


def test_tournaments_arrive_and_one_that_fails_holds_nobody_up(world: World) -> None:
    """One in the inbox, one of the command line's, and one whose link is wrong."""
    tournament(inbox(world.store) / "Weekly 12", 1, 2)
    world.until_tick("new_sources", "Weekly 12 is new or changing")
    sample_archive(world.archives / "riptide.7z", 3)
    program = str(Path(sys.executable).with_name("melee-pipeline"))
    for name, file in (("riptide", "riptide.7z"), ("wrong", "none.7z")):
        add = [program, "sources", "add", name, f"{world.url}/{file}"]
        subprocess.run(add, env=environment(world.root), check=True, capture_output=True)
    world.ui.until("add_source", "wrong", "FAILURE", "FAILURE")
    world.ui.until("add_source", "riptide", "SUCCESS")
    world.ui.until("add_source", "weekly-12", "SUCCESS")
    world.ui.until(JOIN, None, "SUCCESS")
    assert world.games() == 5, "both were joined at once"
    world.until_tick("new_sources", "wrong: failed 2 times, last in run ")


def test_then_nothing_more_is_started(world: World) -> None:
    def looks() -> int:
        return sum(len(world.ticks(name)) for name in ("new_sources", "training_set_follows"))

    before = looks()
    for _ in patiently("some more looks"):
        if looks() > before + 4:
            break
    assert world.ui.runs(JOIN) == ["SUCCESS"]
    assert world.ui.runs("add_source", "riptide") == ["SUCCESS"]
    assert world.ui.runs("add_source", "weekly-12") == ["SUCCESS"]
    assert len(world.ui.runs("add_source", "wrong")) == 2
    assert world.ui.runs("add_source", "sample") == [], "the sample waits for a click"


def test_the_clock_trains_what_has_changed_and_nothing_twice(world: World) -> None:
    world.until_tick("retrain", "there is no training set yet")
    world.ui.until("train_experiment", "tiny", "SUCCESS")
    trained = world.store.need(CHECKPOINT, "tiny", "")
    data = world.store.need(TRAINING_SET, TRAINING_SET, "")
    assert trained.inputs["training_set"] == data.version
    world.until_tick("retrain", f"tiny: trained on the training set as it is ({data.version})")
    assert world.ui.runs("train_experiment") == ["SUCCESS"]


def test_a_crash_of_everything_leaves_no_run_that_is_started_for_ever(world: World) -> None:
    """The wrong source is put right; while it comes in, every process is killed."""
    own = yaml.safe_load(world.store.user_catalog.read_text())
    right = tournament(world.root / "right", *range(20, 60))
    own["wrong"] = {"kind": "local", "location": str(right)}
    world.store.user_catalog.write_text(yaml.safe_dump(own))
    for _ in patiently("the first table"):
        if any(world.store.games("wrong").glob("*.parquet")):
            break
    world.ui.kill()
    env = environment(world.root)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DAGSTER_HOME", "MELEE_DAGSTER_STORAGE"):
            patch.setenv(name, env[name])
        with dg.DagsterInstance.get() as instance:
            [run] = instance.get_runs(dg.RunsFilter(statuses=LIVE))
            assert cpu_pool(instance) == {run.run_id}
            assert run.run_id in reap(env).stdout
            reaped = instance.get_run_by_id(run.run_id)
            assert reaped is not None
            assert reaped.status == dg.DagsterRunStatus.FAILURE
            assert cpu_pool(instance) == set()

    # Started again, the sensor tries what was cut off once more, and it goes on where it was.
    tables = {path.stem for path in world.store.games("wrong").glob("*.parquet")}
    kept = len(tables - {"index"})
    was_parsed = world.store.stamp(GAMES, "wrong") is not None  # before the kill came
    world.ui = start_ui(world.root, **SETTINGS)
    assert "`make dev` or `make demo` (process " in reap(env).stderr
    world.ui.until("add_source", "wrong", "SUCCESS", *["FAILURE"] * 3)
    world.ui.until(JOIN, None, "SUCCESS", "SUCCESS")
    assert world.games() == 5 + 40
    again = world.store.need(GAMES, "wrong", "").report["parsed_now"]
    assert again == 40 if was_parsed else again <= 40 - kept


def cpu_pool(instance: dg.DagsterInstance) -> set[str]:
    """The runs that hold a slot of the pool."""
    return set(instance.event_log_storage.get_concurrency_info("cpu").active_run_ids)


def reap(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`make reap`, as a user calls it."""
    return subprocess.run(
        make("reap"), cwd=REPOSITORY, env=env, capture_output=True, text=True, check=False
    )
