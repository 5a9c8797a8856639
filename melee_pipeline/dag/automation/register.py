"""Sources and experiments become partitions."""

import dagster as dg

from melee_pipeline.dag.automation.settings import SENSOR_SECONDS
from melee_pipeline.dag.partitions import missing_partitions
from melee_pipeline.dag.resources import DataRoot
from melee_pipeline.errors import CatalogError, ConfigError


@dg.sensor(
    minimum_interval_seconds=SENSOR_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Makes every source of the catalogues and every experiment a partition.",
)
def register_partitions(
    context: dg.SensorEvaluationContext, data_root: DataRoot
) -> dg.SensorResult | dg.SkipReason:
    """Adds the partitions that are missing; starts no run."""
    try:
        missing = missing_partitions(context.instance, data_root.store())
    except (CatalogError, ConfigError) as error:
        return dg.SkipReason(f"no partition can be added before this is put right: {error}")
    if not missing:
        return dg.SkipReason("all sources and experiments are partitions already")
    return dg.SensorResult(
        dynamic_partitions_requests=[
            partitions.build_add_request(names) for partitions, names in missing
        ]
    )
