"""One run for each piece of work, and a few more tries of one that failed.

Work is named by what it would be made from and what is there now. Runs carry that name as a tag,
so Dagster's own list of runs says what was tried: nothing else has to be remembered, and work that
has changed counts as new.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from melee_pipeline.dag.automation.settings import RETRY_SECONDS, TRIES
from melee_pipeline.schema.encoding import hash_of

WORK_TAG = "melee/work"
PARTITION_TAG = "dagster/partition"
DATA_VERSION_TAG = "dagster/data_version"
REASON_TAG, CUT_OFF = "dagster/failure_reason", "UNEXPECTED_TERMINATION"
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def request(
    instance: dg.DagsterInstance, work: object, partition: str | None, *, made: bool
) -> dg.RunRequest | str:
    """The run that this work (a JSON value) wants now, or why it wants none.

    A run that succeeded counts only while something `made` is there: it may have been removed.
    """
    name = hash_of(work)
    runs = instance.get_run_records(dg.RunsFilter(tags={WORK_TAG: name}))  # the newest first
    if runs and (reason := _why_not(runs, made)):
        return reason
    return dg.RunRequest(
        # Dagster itself refuses a second run of the same key, should two ticks ask at once.
        run_key=f"{name} run {len(runs) + 1}",
        partition_key=partition,
        tags={WORK_TAG: name, "melee/try": str(_failures(runs) + 1)},
    )


def _failures(runs: Sequence[dg.RunRecord]) -> int:
    """How many runs failed by themselves: one that ended with Dagster is no try of the work."""
    return sum(
        run.dagster_run.status == dg.DagsterRunStatus.FAILURE and not _cut_off(run) for run in runs
    )


def _cut_off(run: dg.RunRecord) -> bool:
    return run.dagster_run.tags.get(REASON_TAG) == CUT_OFF


def _why_not(runs: Sequence[dg.RunRecord], made: bool) -> str | None:
    last = runs[0]
    status, link = last.dagster_run.status, f"run {last.dagster_run.run_id[:8]}"
    if status in UNFINISHED:
        return f"{link} is under way"
    if status == dg.DagsterRunStatus.SUCCESS:
        return f"done by {link}" if made else None
    if status == dg.DagsterRunStatus.CANCELED:
        return f"{link} was cancelled; launch it again by hand"
    failures = _failures(runs)
    if failures >= TRIES:
        return (
            f"failed {failures} times, last in {link}; put right what it says, or launch it again"
        )
    ended = last.end_time or last.update_timestamp.timestamp()
    again = ended + RETRY_SECONDS * 2 ** (failures - 1)
    if not _cut_off(last) and time.time() < again:
        at = datetime.fromtimestamp(again, UTC)
        return f"{link} failed; try {failures + 1} of {TRIES} at {at:%H:%M:%S} UTC"
    return None


def unfinished_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Runs that are queued or in progress."""
    return list(instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)))


def touches(run: dg.DagsterRun, job: str, keys: set[dg.AssetKey]) -> bool:
    """Whether a run makes some of these assets: as their job, or chosen one by one."""
    return run.job_name == job or bool(keys & set(run.asset_selection or ()))


def known_version(
    instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None = None
) -> str | None:
    """The data version of the last materialization that Dagster knows."""
    wanted = dg.AssetRecordsFilter(key, asset_partitions=[partition] if partition else None)
    for record in instance.fetch_materializations(wanted, limit=1).records:
        event = record.asset_materialization
        return (event.tags or {}).get(DATA_VERSION_TAG) if event else None
    return None
