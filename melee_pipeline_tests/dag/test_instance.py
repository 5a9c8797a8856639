"""The instance of this machine: its lock, dead runs and old logs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.events import EngineEventData

from melee_pipeline.dag.automation.tries import CUT_OFF, REASON_TAG
from melee_pipeline.dag.instance import LOG_DAYS, drop_old_logs, instance_lock, reap
from melee_pipeline.errors import BusyError
from melee_pipeline_tests.dag.ticks import temporary_instance

Status = dg.DagsterRunStatus


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("MELEE_DAGSTER_STORAGE", str(tmp_path / "storage"))
    with temporary_instance(tmp_path) as made:
        yield made


def run_of(instance: dg.DagsterInstance, status: Status, pid: int | None) -> str:
    """A run of this status that a process of this id has said to run."""
    run = dg.DagsterRun(job_name="add_source", run_id=str(uuid4()), status=status)
    instance.add_run(run)
    if pid is not None:
        data = EngineEventData.in_process(pid)
        instance.report_engine_event(f"Started process for run (pid: {pid}).", run, data)
    return run.run_id


def status_of(instance: dg.DagsterInstance, run: str) -> Status:
    found = instance.get_run_by_id(run)
    assert found is not None
    return found.status


def test_runs_whose_process_is_gone_are_reported_and_the_living_left_alone(
    instance: dg.DagsterInstance,
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    other = subprocess.Popen(["sleep", "60"], env={})  # who has got a dead run's process id
    mine = subprocess.Popen(["sleep", "60"], env=dict(os.environ))
    zombie = subprocess.Popen(["sleep", "60"], env=dict(os.environ))  # killed, and not waited for
    zombie.kill()
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    try:
        dead = run_of(instance, Status.STARTED, ended.pid)
        never = run_of(instance, Status.STARTING, None)
        leaving = run_of(instance, Status.CANCELING, ended.pid)
        mistaken = run_of(instance, Status.STARTED, other.pid)
        undead = run_of(instance, Status.STARTED, zombie.pid)
        living = run_of(instance, Status.STARTED, mine.pid)
        done = run_of(instance, Status.SUCCESS, ended.pid)
        assert set(reap(instance)) == {dead, never, leaving, mistaken, undead}
    finally:
        for process in (other, mine, zombie):
            process.kill()
            process.wait()
    assert status_of(instance, dead) == status_of(instance, never) == Status.FAILURE
    assert status_of(instance, mistaken) == Status.FAILURE
    found = instance.get_run_by_id(dead)
    assert found is not None and found.tags[REASON_TAG] == CUT_OFF
    assert status_of(instance, leaving) == Status.CANCELED
    assert (status_of(instance, living), status_of(instance, done)) == (
        Status.STARTED,
        Status.SUCCESS,
    )


def test_one_at_a_time(instance: dg.DagsterInstance) -> None:
    with instance_lock(), pytest.raises(BusyError, match="MELEE_DAGSTER_STORAGE"), instance_lock():
        pass
    with instance_lock():
        pass


def test_old_logs_go_and_new_ones_stay(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    for name, days in (("old", LOG_DAYS + 1), ("new", LOG_DAYS - 1)):
        folder = tmp_path / "storage" / name / "compute_logs"
        folder.mkdir(parents=True)
        (folder / "step.err").write_text("…")
        then = time.time() - days * 86_400
        os.utime(folder, (then, then))
    (tmp_path / "storage" / "history").mkdir()
    assert drop_old_logs() == 1
    assert {path.name for path in (tmp_path / "storage").iterdir()} == {"new", "history"}
