"""The jobs: what a person launches with one click, and what sensors and schedules launch."""

import dagster as dg

from melee_pipeline.dag.assets import data, models

SOURCE_ASSETS = [
    data.replay_archive,
    data.extracted_replays,
    data.parsed_games,
    data.encoded_shards,
]
MODEL_ASSETS = [models.checkpoint, models.evaluation]
ASSETS = [*SOURCE_ASSETS, models.training_set, *MODEL_ASSETS]

add_source = dg.define_asset_job(
    "add_source",
    selection=dg.AssetSelection.assets(*SOURCE_ASSETS),
    description="Download, extract, parse and encode one source.",
)
update_training_set = dg.define_asset_job(
    "update_training_set",
    selection=dg.AssetSelection.assets(models.training_set),
    description="Join all encoded sources into the training set.",
)
train_experiment = dg.define_asset_job(
    "train_experiment",
    selection=dg.AssetSelection.assets(*MODEL_ASSETS),
    description="Train and evaluate one experiment on the training set as it is.",
)
JOBS = [add_source, update_training_set, train_experiment]
