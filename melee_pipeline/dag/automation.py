"""What happens by itself: sources and experiments become partitions."""

import dagster as dg

from melee_pipeline.dag.partitions import missing_partitions
from melee_pipeline.dag.resources import DataRoot


@dg.sensor(
    name="register_partitions",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Makes every source of the catalogues and every recipe a partition.",
)
def register_partitions_sensor(
    context: dg.SensorEvaluationContext, data_root: DataRoot
) -> dg.SensorResult | dg.SkipReason:
    """Adds the partitions that are missing; starts no run."""
    missing = missing_partitions(context.instance, data_root.store())
    if not missing:
        return dg.SkipReason("all sources and experiments are partitions already")
    return dg.SensorResult(
        dynamic_partitions_requests=[
            partitions.build_add_request(names) for partitions, names in missing
        ]
    )
