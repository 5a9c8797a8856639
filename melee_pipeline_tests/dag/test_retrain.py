"""Retraining by the clock, and what the launchpad can change of an experiment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from melee_pipeline.dag.automation import retrain as schedule
from melee_pipeline.dag.jobs import ASSETS, MODEL_ASSETS
from melee_pipeline.dag.partitions import EXPERIMENTS, register_partitions
from melee_pipeline.dag.resources import DataRoot
from melee_pipeline.store import CHECKPOINT, TRAINING_SET, Stamp, Store, read_json
from melee_pipeline.training.experiments import load_experiments
from melee_pipeline_tests.dag.ticks import Dag, temporary_instance

CONFIG = "ops: {checkpoint: {config: {knobs: %s}}}"
# A model that trains in a second.
TINY = {"hidden": [8], "context": 2, "epochs": 1}


@pytest.fixture
def dag(tmp_path: Path, own_store: Store) -> Iterator[Dag]:
    with temporary_instance(tmp_path) as instance:
        register_partitions(instance, own_store)
        yield Dag(instance, own_store)


def trained(store: Store, experiment: str) -> None:
    """As if an experiment had been trained on today's training set, with its own settings."""
    data = store.need(TRAINING_SET, TRAINING_SET, "")
    known = load_experiments(store)
    config = known[experiment].hash if experiment in known else "of a variant"
    inputs = {"training_set": data.version, "config": config}
    store.put(Stamp(CHECKPOINT, experiment, inputs, "0" * 12))


def grow(store: Store) -> None:
    """As if the training set had been joined from more games."""
    data = store.need(TRAINING_SET, TRAINING_SET, "")
    store.put(replace(data, version="of more games"))


def test_nothing_to_train_on_and_nothing_trained_yet(dag: Dag) -> None:
    assert "no experiment has been trained yet" in dag.clock()[1]
    dag.store.forget(TRAINING_SET, TRAINING_SET)
    assert dag.clock() == ([], "there is no training set yet")


def test_what_was_trained_is_trained_again_once_the_set_has_changed(dag: Dag) -> None:
    trained(dag.store, "demo")
    trained(dag.store, "demo-1a2b3c")  # a variant of the command line's is no experiment
    asked, why = dag.clock()
    assert not asked
    assert why.startswith("demo: trained on the training set as it is (")
    grow(dag.store)
    asked, _ = dag.clock()
    assert [one.partition_key for one in asked] == ["demo"]


def test_named_experiments_are_trained_the_first_time_too(
    dag: Dag, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(dag.store, "demo")
    monkeypatch.setattr(schedule, "RETRAIN", "mlp_v1, demo")
    asked, _ = dag.clock()
    assert [one.partition_key for one in asked] == ["mlp_v1"]
    monkeypatch.setattr(schedule, "RETRAIN", "mlp_v0")
    with pytest.raises(Exception, match="evaluation of schedule retrain") as caught:
        dag.clock()
    assert "experiment 'mlp_v0' is unknown" in str(caught.value.__cause__)


def test_several_are_asked_for_at_once(dag: Dag) -> None:
    for name in ("demo", "mlp_v1"):
        trained(dag.store, name)
    grow(dag.store)
    asked, _ = dag.clock()
    assert [one.partition_key for one in asked] == ["demo", "mlp_v1"]
    assert len({one.run_key for one in asked}) == 2


def test_a_trial_from_the_launchpad_does_not_stand_for_its_experiment(dag: Dag) -> None:
    trained(dag.store, "demo")
    mine = dag.store.need(CHECKPOINT, "demo", "")
    dag.store.put(replace(mine, inputs={**mine.inputs, "config": "of a trial"}))
    asked, _ = dag.clock()
    assert [one.partition_key for one in asked] == ["demo"]


@pytest.mark.parametrize("status", ["STARTED", "STARTING", "CANCELING"])
def test_never_two_at_once(dag: Dag, status: str) -> None:
    trained(dag.store, "demo")
    grow(dag.store)
    asked, _ = dag.clock()
    dag.pretend(dg.DagsterRunStatus[status], "train_experiment", asked[0])
    again, why = dag.clock()
    assert not again
    assert "is training, or waits to" in why


def test_an_experiment_of_ones_own_is_a_partition(dag: Dag) -> None:
    dag.store.user_experiments.write_text("narrow: {recipe: mlp_v1, hidden: [8], epochs: 1}\n")
    register_partitions(dag.instance, dag.store)
    assert "narrow" in dag.instance.get_dynamic_partitions(str(EXPERIMENTS.name))


def make(dag: Dag, knobs: dict[str, Any]) -> dg.ExecuteInProcessResult:
    """Train and evaluate an experiment with other settings, as the launchpad does."""
    config = {"knobs": knobs, "device": "cpu", "wandb": "off"}
    return dg.materialize(
        ASSETS,
        selection=MODEL_ASSETS,
        partition_key="mlp_v1",
        instance=dag.instance,
        resources={"data_root": DataRoot(path=str(dag.store.root))},
        run_config={"ops": {"checkpoint": {"config": config}}},
        raise_on_error=False,
    )


def checkpoints(dag: Dag) -> list[dict[str, Any]]:
    """What all materializations of an experiment said, the newest first."""
    key = MODEL_ASSETS[0].key
    wanted = dg.AssetRecordsFilter(key, asset_partitions=["mlp_v1"])
    found = dag.instance.fetch_materializations(wanted, limit=10).records
    return [
        {name: value.value for name, value in record.asset_materialization.metadata.items()}
        for record in found
        if record.asset_materialization
    ]


def test_every_checkpoint_stays_findable_with_the_settings_that_were_overridden(dag: Dag) -> None:
    assert make(dag, TINY).success
    second = make(dag, {**TINY, "lr": 3e-4})
    assert second.success
    new, old = checkpoints(dag)
    assert old["version"] != new["version"]
    for one in (old, new):
        folder = Path(one["run_folder"])
        assert folder.name == one["version"]
        assert (folder / "best.pt").exists()
        assert one["config"]["model"]["hidden"] == [8]
        assert one["lineage"].records
    overridden = {row.data["knob"]: row.data["value"] for row in new["overridden"].records}
    assert overridden == {"hidden": "[8]", "context": "2", "epochs": "1", "lr": "0.0003"}
    assert new["config"]["lr"] == 3e-4
    [measured] = second.asset_materializations_for_node("evaluation")
    assert measured.metadata["checkpoint"].value == f"{new['version']}/best.pt"


def test_only_sources_that_a_run_has_games_of_are_in_its_lineage(dag: Dag) -> None:
    assert make(dag, {**TINY, "max_games": 1}).success
    [found] = checkpoints(dag)
    lineage = read_json(Path(found["run_folder"]) / "lineage.json")
    assert len(lineage["training_set"]["upstream"]) == 2
    [row] = found["lineage"].records
    assert ({row.data["source"]}, row.data["games"]) == (set(lineage["games"]), 1)


@pytest.mark.parametrize(
    ("knobs", "why"),
    [
        ({"epoch": 2}, "knob 'epoch' is unknown; did you mean epochs?"),
        ({"epochs": "many"}, "knob 'epochs' is 'many'; expected a whole number"),
        ({"experiment": "other"}, "knob 'experiment' is the partition"),
    ],
)
def test_a_knob_that_cannot_be_says_so(dag: Dag, knobs: dict[str, Any], why: str) -> None:
    [failure] = make(dag, knobs).get_step_failure_events()
    assert why in str(failure.step_failure_data)
    assert checkpoints(dag) == []
