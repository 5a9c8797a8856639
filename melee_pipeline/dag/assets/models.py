"""The training set of all sources, and one checkpoint and evaluation for each experiment."""

from pathlib import Path

import dagster as dg

from melee_pipeline.dag.assets.data import OWNERS, encoded_shards
from melee_pipeline.dag.checks import check, only_what_passes
from melee_pipeline.dag.metadata import Result
from melee_pipeline.dag.metadata import models as show
from melee_pipeline.dag.partitions import EXPERIMENTS
from melee_pipeline.dag.resources import DataRoot, Evaluating, Training
from melee_pipeline.store import CHECKPOINT, Store
from melee_pipeline.versions import EVALUATOR_VERSION, JOIN_VERSION, TRAINER_VERSION


@dg.asset(
    deps=[encoded_shards],
    group_name="tensors",
    kinds={"parquet"},
    owners=OWNERS,
    code_version=JOIN_VERSION,
    pool="cpu",
    check_specs=[
        check("training_set", "no_game_twice", "No game is in the list twice."),
        check("training_set", "splits_are_apart", "No game is in two splits."),
    ],
)
def training_set(context: dg.AssetExecutionContext, data_root: DataRoot) -> Result:
    """The list of games to train on, joined over every encoded source, and their split.

    It waits for no source; while Dagster runs, the sensor `training_set_follows` joins it again
    when a source's shards have changed.

    - `data_fingerprint`: a short hash of the set of games
    - `by_source`: games in each split; `duplicates_left_out`: games that another source has too
    - `missing_sources`: those that were begun but are not in it, with the reason
    """
    from melee_pipeline.tensors.join import build_training_set

    store = data_root.store()
    stamp = build_training_set(store, data_root.progress(context.log))
    return only_what_passes(store, stamp, show.training_set(store, stamp))


@dg.asset(
    partitions_def=EXPERIMENTS,
    deps=[training_set],
    group_name="models",
    kinds={"pytorch"},
    owners=OWNERS,
    code_version=TRAINER_VERSION,
    pool="gpu",
    check_specs=[
        check("checkpoint", "loss_is_finite", "Every epoch's losses are finite."),
        check("checkpoint", "loads", "best.pt loads and has the parameters it should."),
    ],
)
def checkpoint(context: dg.AssetExecutionContext, config: Training, data_root: DataRoot) -> Result:
    """A trained world model: `best.pt` and `final.pt`, with manifest and lineage beside them.

    One partition for each experiment: the recipes, and your own in experiments.yaml in the data
    root. The launchpad overrides settings for one run. A run of the same training set, settings and
    seed is not trained again; one that was cut off goes on where it stopped. Earlier checkpoints
    stay in their own folders, and here as earlier materializations (the *Events* tab).

    - `loss_curve`, `position_curve`, and behind *Show Markdown* all `curves`; `epochs` in numbers
    - `version`, `config`, `overridden`: which run this is; `git_commit`: of which code
    - `lineage`: the archives that the games came from; `game_list` has every game's MD5
    - `training_set`, `data_fingerprint`: on which data
    """
    from melee_pipeline.training.experiments import find_experiment
    from melee_pipeline.training.loop import train

    store = data_root.store()
    stamp = train(
        store,
        config.changed(find_experiment(store, context.partition_key)),
        device=config.device,
        wandb=config.wandb,
        progress=data_root.progress(context.log),
    )
    return show.checkpoint(store, stamp, config.knobs)


@dg.asset(
    partitions_def=EXPERIMENTS,
    deps=[checkpoint],
    group_name="models",
    kinds={"pytorch"},
    owners=OWNERS,
    code_version=EVALUATOR_VERSION,
    pool="gpu",
    check_specs=[
        check(
            "evaluation",
            "beats_baselines",
            "Better than copying the last frame and than constant velocity (a warning).",
            blocking=False,
        ),
    ],
)
def evaluation(
    context: dg.AssetExecutionContext, config: Evaluating, data_root: DataRoot
) -> Result:
    """The checkpoint on games it never saw, against trivial baselines, one step and rolled out.

    - `checkpoint`: which one; `measured_on`: how many games, of which split
    - `against_baselines`: the model beside copying the last frame and constant velocity
    - `rollout_curve`: the position's error, frame by frame, of model and baselines; behind *Show
      Markdown* the roll-outs and paths
    """
    from melee_pipeline.evaluation.report import evaluate

    store = data_root.store()
    run = _trained_here(context) or _trained_last(store, context.partition_key)
    stamp = evaluate(store, run, device=config.device, progress=data_root.progress(context.log))
    return show.evaluation(store, stamp)


def _trained_here(context: dg.AssetExecutionContext) -> Path | None:
    """The folder that this very Dagster run trained into; another may have trained since."""
    made = dg.DagsterEventType.ASSET_MATERIALIZATION
    for record in context.instance.get_records_for_run(context.run.run_id, of_type=made).records:
        event = record.asset_materialization
        if event and event.asset_key == checkpoint.key:
            return Path(str(event.metadata["run_folder"].value))
    return None


def _trained_last(store: Store, experiment: str) -> Path:
    """The folder of an experiment's last checkpoint. Raises ArtefactError when it has none."""
    trained = store.need(CHECKPOINT, experiment, f"--experiment {experiment}")
    return store.root / str(trained.facts["run"])
