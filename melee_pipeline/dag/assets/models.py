"""The training set of all sources, and one checkpoint and evaluation for each experiment."""

import dagster as dg

from melee_pipeline.dag import metadata as show
from melee_pipeline.dag.assets.data import OWNERS, encoded_shards
from melee_pipeline.dag.checks import check
from melee_pipeline.dag.partitions import EXPERIMENTS
from melee_pipeline.dag.resources import DataRoot, Evaluating, Training
from melee_pipeline.store import CHECKPOINT
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
def training_set(context: dg.AssetExecutionContext, data_root: DataRoot) -> show.Result:
    """The list of games to train on, joined over every encoded source, and their split.

    It waits for no source: those that are begun but not in it are named under `missing_sources`,
    with the reason. The `data_fingerprint` is a short hash of the set of games.
    """
    from melee_pipeline.tensors.training_set import build_training_set

    store = data_root.store()
    return show.training_set(store, build_training_set(store, data_root.progress(context.log)))


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
def checkpoint(
    context: dg.AssetExecutionContext, config: Training, data_root: DataRoot
) -> show.Result:
    """A trained world model: `best.pt` and `final.pt`, with manifest and lineage beside them.

    A run of the same training set, settings and seed is not trained again; one that was cut off
    goes on where it stopped. *Show Markdown* opens the curves; `lineage` names the archives that
    the games came from.
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
) -> show.Result:
    """The checkpoint on games it never saw, against trivial baselines, one step and rolled out.

    *Show Markdown* opens the pictures of roll-outs.
    """
    from melee_pipeline.evaluation.report import evaluate

    store = data_root.store()
    name = context.partition_key
    trained = store.need(CHECKPOINT, name, f"--experiment {name}")
    run = store.root / trained.facts["run"]
    stamp = evaluate(store, run, device=config.device, progress=data_root.progress(context.log))
    return show.evaluation(store, stamp)
