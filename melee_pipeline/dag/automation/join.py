"""The training set follows its sources, once, when their runs have ended."""

import dagster as dg

from melee_pipeline.dag.assets.models import training_set
from melee_pipeline.dag.automation.settings import SENSOR_SECONDS
from melee_pipeline.dag.automation.tries import (
    PARTITION_TAG,
    known_version,
    request,
    touches,
    unfinished_runs,
)
from melee_pipeline.dag.jobs import SOURCE_ASSETS, add_source, update_training_set
from melee_pipeline.dag.resources import DataRoot
from melee_pipeline.store import SHARDS, TRAINING_SET


@dg.sensor(
    job=update_training_set,
    minimum_interval_seconds=SENSOR_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Joins the training set again when the shards of a source are others than those it was "
        "joined from, and no run of a source is queued or in progress: several tournaments that "
        "arrive together are joined once."
    ),
)
def training_set_follows(
    context: dg.SensorEvaluationContext, data_root: DataRoot
) -> dg.RunRequest | dg.SkipReason:
    """Asks for the run that joins today's shards."""
    from melee_pipeline.tensors.join import inputs_now
    from melee_pipeline.tensors.training_set import NAME

    store, instance = data_root.store(), context.instance
    upstream = {asset.key for asset in SOURCE_ASSETS}
    runs = unfinished_runs(instance)
    if any(touches(run, update_training_set.name, {training_set.key}) for run in runs):
        return dg.SkipReason("the training set is being joined")
    if busy := [run for run in runs if touches(run, add_source.name, upstream)]:
        names = sorted({run.tags.get(PARTITION_TAG, "several sources") for run in busy})
        return dg.SkipReason(f"waits for the runs of {', '.join(names)}")
    if not store.names(SHARDS):
        return dg.SkipReason("no source has been encoded yet")
    wanted, found = inputs_now(store), store.stamp(TRAINING_SET, NAME)
    known = known_version(instance, training_set.key)
    if found and dict(found.inputs) == wanted and known == found.version:
        return dg.SkipReason("the training set is made from the shards as they are")
    work = {"training_set": wanted, "over": found.made_at if found else ""}
    answer = request(instance, work, None, made=found is not None)
    return answer if isinstance(answer, dg.RunRequest) else dg.SkipReason(answer)
