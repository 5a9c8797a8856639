"""Sensors and schedules looked at one tick at a time, with the runs they ask for run in here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import dagster as dg

from melee_pipeline.dag.automation.retrain import retrain
from melee_pipeline.dag.definitions import defs
from melee_pipeline.dag.resources import DataRoot
from melee_pipeline.store import Store
from melee_pipeline_tests.replays.games import small_game, write_games

Asked = list[dg.RunRequest]


@dataclass
class Dag:
    """An instance and a data root."""

    instance: dg.DagsterInstance
    store: Store
    cursors: dict[str, str | None] = field(default_factory=dict)
    pretended: list[str] = field(default_factory=list)

    def look(self, sensor: dg.SensorDefinition) -> tuple[Asked, str]:
        """One tick of a sensor: the runs it asks for, and the reason it gives for asking none."""
        with dg.build_sensor_context(
            self.instance,
            cursor=self.cursors.get(sensor.name),
            resources={"data_root": DataRoot(path=str(self.store.root))},
        ) as context:
            told: Any = sensor(context)
        if not isinstance(told, dg.SensorResult):
            return _answer(told)
        self.cursors[sensor.name] = told.cursor
        for added in told.dynamic_partitions_requests or ():
            self.instance.add_dynamic_partitions(
                added.partitions_def_name, list(added.partition_keys)
            )
        return _answer(told.skip_reason or told.run_requests)

    def clock(self) -> tuple[Asked, str]:
        """One tick of the schedule, checked as the daemon checks it."""
        with dg.build_schedule_context(
            self.instance,
            scheduled_execution_time=datetime(2026, 1, 5, 5, tzinfo=UTC),
            repository_def=defs().get_repository_def(),
            resources={"data_root": DataRoot(path=str(self.store.root))},
        ) as context:
            told = retrain.evaluate_tick(context)
        return list(told.run_requests or ()), told.skip_message or ""

    def run(self, job: str, asked: dg.RunRequest) -> bool:
        """The run that was asked for; whether it succeeded."""
        done = (
            defs()
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance,
                partition_key=asked.partition_key,
                tags=dict(asked.tags),
                resources={"data_root": DataRoot(path=str(self.store.root))},
                raise_on_error=False,
            )
        )
        return bool(done.success)

    def pretend(
        self, status: dg.DagsterRunStatus, job: str, asked: dg.RunRequest, **more: str
    ) -> None:
        """A run of this status, and more tags, as if it had been asked for."""
        tags = {**asked.tags, **{f"dagster/{name}": value for name, value in more.items()}}
        if asked.partition_key:
            tags["dagster/partition"] = asked.partition_key
        run = dg.DagsterRun(job_name=job, run_id=str(uuid4()), status=status, tags=tags)
        self.instance.add_run(run)
        self.pretended.append(run.run_id)

    def end_pretended(self) -> None:
        """Take the pretended runs away."""
        while self.pretended:
            self.instance.delete_run(self.pretended.pop())


def _answer(told: object) -> tuple[Asked, str]:
    if isinstance(told, dg.SkipReason):
        return [], told.skip_message or ""
    return [told] if isinstance(told, dg.RunRequest) else list(cast(Asked, told or ())), ""


def temporary_instance(root: Path) -> dg.DagsterInstance:
    """An instance under `root`, on SQLite, which tells nobody that it is used."""
    home = root / "dagster"
    home.mkdir()
    return dg.DagsterInstance.local_temp(str(home), overrides={"telemetry": {"enabled": False}})


def tournament(folder: Path, *seeds: int) -> Path:
    """A folder of small games."""
    write_games(folder, *(small_game(1800 + 10 * seed, seed=seed) for seed in seeds))
    return folder
