"""The code location: assets, checks, resources, sensor."""

import dagster as dg

from melee_pipeline.dag.assets import data, models
from melee_pipeline.dag.automation import register_partitions_sensor
from melee_pipeline.dag.resources import DataRoot, Trainer, default_data_root

SOURCE_ASSETS = [
    data.replay_archive,
    data.extracted_replays,
    data.parsed_games,
    data.encoded_shards,
]
MODEL_ASSETS = [models.checkpoint, models.evaluation]
ASSETS = [*SOURCE_ASSETS, models.training_set, *MODEL_ASSETS]

# Steps are forked from a server that has imported this module, not started as bare interpreters.
EXECUTOR = dg.multiprocess_executor.configured({"start_method": {"forkserver": {}}})


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that Dagster loads."""
    return dg.Definitions(
        assets=ASSETS,
        jobs=[
            dg.define_asset_job(
                "add_source",
                selection=dg.AssetSelection.assets(*SOURCE_ASSETS),
                description="Download, extract, parse and encode one source.",
            ),
            dg.define_asset_job(
                "train_experiment",
                selection=dg.AssetSelection.assets(*MODEL_ASSETS),
                description="Train and evaluate one experiment on the training set as it is.",
            ),
        ],
        sensors=[register_partitions_sensor],
        executor=EXECUTOR,
        resources={"data_root": DataRoot(path=default_data_root()), "trainer": Trainer()},
    )
