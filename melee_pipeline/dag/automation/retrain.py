"""Retraining by the clock: when there is something new to learn from, and nothing else trains."""

import dagster as dg

from melee_pipeline.dag.automation.settings import RETRAIN, RETRAIN_CRON
from melee_pipeline.dag.automation.tries import touches, unfinished_runs
from melee_pipeline.dag.jobs import MODEL_ASSETS, train_experiment
from melee_pipeline.dag.resources import DataRoot
from melee_pipeline.store import CHECKPOINT, TRAINING_SET, Store
from melee_pipeline.training.experiments import find_experiment, load_experiments


@dg.schedule(
    job=train_experiment,
    cron_schedule=RETRAIN_CRON,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description=(
        "Trains experiments again on a training set that has changed: every experiment that was "
        "trained before, or those of MELEE_RETRAIN (comma-separated). MELEE_RETRAIN_CRON says "
        "when, in UTC; by default on Mondays at five. It starts nothing while a training run is "
        "queued or in progress."
    ),
)
def retrain(
    context: dg.ScheduleEvaluationContext, data_root: DataRoot
) -> list[dg.RunRequest] | dg.SkipReason:
    """Asks for one run for each experiment that has not seen today's training set."""
    from melee_pipeline.tensors.training_set import NAME

    store, instance = data_root.store(), context.instance
    models = {asset.key for asset in MODEL_ASSETS}
    for run in unfinished_runs(instance):
        if touches(run, train_experiment.name, models):
            return dg.SkipReason(f"run {run.run_id[:8]} is training, or waits to")
    data = store.stamp(TRAINING_SET, NAME)
    if data is None:
        return dg.SkipReason("there is no training set yet")
    names = _chosen(store)
    if not names:
        return dg.SkipReason(
            "no experiment has been trained yet: train one, or name some in MELEE_RETRAIN"
        )
    due = [name for name in names if not _trained(store, name, data.version)]
    if not due:
        return dg.SkipReason(
            f"{', '.join(names)}: trained on the training set as it is ({data.version})"
        )
    # Of several requests each needs a key; the time is in it, so a failed run is asked for again.
    at = f"{context.scheduled_execution_time:%Y-%m-%d %H:%M}"
    return [dg.RunRequest(run_key=f"{name} {at}", partition_key=name) for name in due]


def _chosen(store: Store) -> list[str]:
    """The experiments to retrain. Raises ConfigError for one that there is not."""
    if named := [name.strip() for name in RETRAIN.split(",") if name.strip()]:
        return [find_experiment(store, name).experiment for name in named]
    known = load_experiments(store)
    return [name for name in store.names(CHECKPOINT) if name in known]


def _trained(store: Store, experiment: str, data: str) -> bool:
    """Whether an experiment's last checkpoint is of this training set, with its own settings."""
    wanted = {"training_set": data, "config": find_experiment(store, experiment).hash}
    found = store.stamp(CHECKPOINT, experiment)
    return found is not None and all(found.inputs.get(k) == v for k, v in wanted.items())
