"""Who works with the Dagster instance of this machine, and what a killed one left behind."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psutil
from dagster._core.events import JobFailureData, RunFailureReason

from melee_pipeline.locks import hold

LOG_DAYS = 90  # that what steps wrote to the terminal is kept; dagster.yaml has the ticks' days
_CUT_OFF = JobFailureData(error=None, failure_reason=RunFailureReason.UNEXPECTED_TERMINATION)
_LIVE = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def storage() -> Path:
    """The folder of runs and events, as dagster.yaml has it."""
    return Path(os.environ.get("MELEE_DAGSTER_STORAGE", ".dagster")).resolve()


@contextmanager
def instance_lock() -> Iterator[None]:
    """Work with the instance, alone. Raises BusyError when another process does."""
    told = (
        f"`make dev` or `make demo` ({{who}}) is at work on {storage()}; end it first, or name "
        "another folder in MELEE_DAGSTER_STORAGE"
    )
    with hold(storage(), "instance", told):
        yield


def reap(instance: dg.DagsterInstance) -> list[str]:
    """Report runs whose process is gone as failed; gives their ids. Queued runs stay queued.

    Only for who holds the instance. A run that outlived its server goes on, and is left alone.
    """
    reaped = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_LIVE)):
        if _alive(_process(instance, run.run_id)):
            continue
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, "Its process was gone: it is cancelled.")
        else:
            gone = "Its process was gone: the machine or Dagster ended."
            instance.report_run_failed(run, gone, _CUT_OFF)
        # What it held of a pool would keep every later run waiting.
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        reaped.append(run.run_id)
    return reaped


def drop_old_logs() -> int:
    """Delete what the steps of old runs wrote to the terminal; how many runs that was.

    Dagster keeps it for ever. The runs and their events, which hold the metadata, stay.
    """
    oldest = time.time() - LOG_DAYS * 86_400
    old = [f for f in storage().glob("*/compute_logs") if f.stat().st_mtime < oldest]
    for folder in old:
        shutil.rmtree(folder.parent)
    return len(old)


def _process(instance: dg.DagsterInstance, run_id: str) -> int | None:
    """The id of the process that runs a run: the first event that it writes itself says so."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        pid = event.engine_event_data.metadata.get("pid") if event else None
        if pid is not None:
            return int(str(pid.value))
    return None


def _alive(pid: int | None) -> bool:
    """Whether a process of this instance has this id; another may have got it since."""
    if pid is None:
        return False
    try:
        process = psutil.Process(pid)
        return process.environ().get("MELEE_DAGSTER_STORAGE") == str(storage())
    except psutil.Error:  # gone, a zombie that nobody has waited for, or another user's
        return False
