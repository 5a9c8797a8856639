"""The instance on PostgreSQL: a server of the test's own, and a source's chain recorded in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
import pytest
import yaml

from melee_pipeline.dag.assets.models import training_set
from melee_pipeline.dag.jobs import ASSETS, SOURCE_ASSETS
from melee_pipeline.dag.partitions import SOURCES, register_partitions
from melee_pipeline.dag.resources import DataRoot
from melee_pipeline.sources.catalog import add_source
from melee_pipeline.store import SHARDS, Store
from melee_pipeline_tests.dag.ticks import tournament
from melee_pipeline_tests.dag.ui import REPOSITORY, free_port

SERVER_USER = "postgres"  # the server refuses to be root


def test_both_instances_differ_in_their_storage_alone() -> None:
    sqlite, postgres = (
        yaml.safe_load((REPOSITORY / folder / "dagster.yaml").read_text())
        for folder in ("", "postgres")
    )
    assert sqlite.pop("storage") != postgres.pop("storage")
    assert sqlite == postgres


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


def _run(folder: Path, program: str, *arguments: str) -> None:
    programs = _programs()
    assert programs is not None
    command = [str(programs / program), *arguments]
    if os.getuid() == 0:
        command = ["runuser", "-u", SERVER_USER, "--", *command]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """URL of a database in a server that ends with the test."""
    if _programs() is None:
        pytest.skip("no PostgreSQL under /usr/lib/postgresql, and no initdb on PATH")
    if find_spec("dagster_postgres") is None:
        pytest.skip("no dagster-postgres: pip install '.[postgres]' -c constraints.txt")
    if os.getuid() == 0 and shutil.which("runuser") is None:
        pytest.skip("PostgreSQL refuses to run as root, and there is no runuser")
    folder, port = Path(tempfile.mkdtemp(prefix="melee-postgres-")), free_port()
    if os.getuid() == 0:
        shutil.chown(folder, SERVER_USER)
    settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    data = ("-D", str(folder / "data"))
    try:
        _run(folder, "initdb", *data, "-A", "trust", "-U", "melee")
        _run(folder, "pg_ctl", *data, "-o", settings, "-l", str(folder / "log"), "-w", "start")
        try:
            yield f"postgresql+psycopg2://melee@127.0.0.1:{port}/postgres"
        finally:
            _run(folder, "pg_ctl", *data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def test_a_chain_is_recorded_in_postgres(
    postgres: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELEE_POSTGRES", postgres)
    monkeypatch.setenv("MELEE_DAGSTER_STORAGE", str(tmp_path / "dagster"))
    monkeypatch.setenv("DAGSTER_HOME", str(REPOSITORY / "postgres"))
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")
    add_source(store, "one", str(tournament(tmp_path / "one", 1, 2)))
    with dg.DagsterInstance.get() as instance:
        register_partitions(instance, store)
        for assets, partition in ((SOURCE_ASSETS, "one"), ([training_set], None)):
            dg.materialize(
                ASSETS,
                selection=assets,
                partition_key=partition,
                instance=instance,
                resources={"data_root": DataRoot(path=str(store.root))},
            )
    # What another process finds: nothing of it lies in files.
    assert not list((tmp_path / "dagster").rglob("*.db"))
    with dg.DagsterInstance.get() as again:
        assert [run.status for run in again.get_runs()] == [dg.DagsterRunStatus.SUCCESS] * 2
        assert "one" in again.get_dynamic_partitions(str(SOURCES.name))
        shards = SOURCE_ASSETS[-1].key
        assert again.get_materialized_partitions(shards) == {"one"}
        record = again.get_latest_data_version_record(shards, partition_key="one")
        assert record is not None and record.asset_materialization is not None
        tags = record.asset_materialization.tags or {}
        assert tags["dagster/data_version"] == store.need(SHARDS, "one", "").version
        assert again.get_latest_materialization_event(training_set.key) is not None
        assert again.event_log_storage.get_concurrency_info("cpu").active_slot_count == 0
