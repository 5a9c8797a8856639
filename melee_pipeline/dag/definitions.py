"""The code location: assets, checks, jobs, resources, and what happens by itself."""

import dagster as dg

from melee_pipeline.dag.automation.join import training_set_follows
from melee_pipeline.dag.automation.register import register_partitions
from melee_pipeline.dag.automation.retrain import retrain
from melee_pipeline.dag.automation.sources import new_sources
from melee_pipeline.dag.jobs import ASSETS, JOBS
from melee_pipeline.dag.resources import DataRoot, default_data_root

# Steps are forked from a server that has imported this module, not started as bare interpreters.
EXECUTOR = dg.multiprocess_executor.configured({"start_method": {"forkserver": {}}})


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that Dagster loads."""
    return dg.Definitions(
        assets=ASSETS,
        jobs=JOBS,
        sensors=[register_partitions, new_sources, training_set_follows],
        schedules=[retrain],
        executor=EXECUTOR,
        resources={"data_root": DataRoot(path=default_data_root())},
    )
