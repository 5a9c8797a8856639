"""The command line: thin over the library, for people without Dagster at hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from melee_pipeline.cli_lineage import JsonOption, checkpoints, lineage
from melee_pipeline.cli_replays import (
    DATA,
    DataOption,
    WorkersOption,
    export,
    parse,
    sources_app,
)
from melee_pipeline.errors import ConfigError, MeleePipelineError
from melee_pipeline.hints import runnable, say
from melee_pipeline.progress import RichProgress
from melee_pipeline.store import Store

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Slippi replays to trained world models.\n\n"
    "Start with **sources list**, then **run --source NAME**: it downloads, extracts, parses "
    "and encodes that source and joins the training set; with **--experiment NAME** it trains "
    "and evaluates, too. What is already done is not done again. "
    "The same steps are Dagster assets: **make dev** opens them in the browser.",
)
app.add_typer(sources_app, name="sources")

DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
WandbOption = Annotated[
    str,
    typer.Option(help="Weights & Biases: auto (online if there is a key), off, offline, online."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A knob of the experiment, as name=value; repeat for several. The run then counts as "
        "an experiment of its own, with a name that ends in a hash of the settings.",
    ),
]
INTERRUPTED = 130  # exit code


@app.command()
def run(
    source: Annotated[
        list[str] | None, typer.Option(help="A source's name; repeat for several.")
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="What to train and evaluate, such as mlp_v1.")
    ] = None,
    set_: SetOption = None,
    data: DataOption = DATA,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    wandb: WandbOption = "auto",
) -> None:
    """Run the chain for these sources: download, extract, parse, encode, join.

    With --experiment, train and evaluate, too. What is already done is not done again. Without
    --source the training set is joined from the sources that are encoded.
    """
    from melee_pipeline import tables
    from melee_pipeline.pipeline import experiment_config, run_chain
    from melee_pipeline.tensors.join import not_joined

    store = Store(data)
    if set_ and experiment is None:
        raise ConfigError("--set changes a knob of an experiment: name it with --experiment")
    config = experiment_config(store, experiment, _knobs(set_)) if experiment else None
    result = run_chain(
        store,
        source or [],
        config,
        RichProgress(),
        workers=workers,
        device=device,
        wandb=wandb,
    )
    tables.print_stamps(result.stamps)
    for name, why in not_joined(store).items():
        say(f"{name} is not in the training set: {why}. Next: melee-pipeline run --source {name}")
    if not result.anything_new:
        say("Nothing to do: everything was up to date.")


app.command()(parse)
app.command()(export)


@app.command()
def train(
    experiment: Annotated[
        str | None, typer.Argument(help="What to train, such as mlp_v1; without it all are listed.")
    ] = None,
    set_: SetOption = None,
    data: DataOption = DATA,
    device: DeviceOption = "auto",
    wandb: WandbOption = "auto",
) -> None:
    """Train a recipe, or an experiment of your own, on the training set as it is.

    A run that was cut off goes on where it was saved. Without a name the experiments are listed:
    the package's recipes, and those in experiments.yaml in the data root.
    """
    from melee_pipeline import tables
    from melee_pipeline.pipeline import experiment_config
    from melee_pipeline.training.experiments import load_experiments
    from melee_pipeline.training.loop import train as train_model

    store = Store(data)
    if experiment is None:
        tables.print_experiments(load_experiments(store))
        say(f"Your own go into {store.user_experiments}. Next: melee-pipeline train NAME")
        return
    config = experiment_config(store, experiment, _knobs(set_))
    stamp = train_model(store, config, device=device, wandb=wandb, progress=RichProgress())
    tables.print_epochs(store, stamp)
    say(f"Checkpoint: {store.root / stamp.facts['run'] / 'best.pt'}")
    if not stamp.fresh:
        say("Nothing to do: this very run was trained before.")


def _knobs(settings: list[str] | None) -> dict[str, str]:
    pairs = [setting.partition("=") for setting in settings or []]
    if bad := [name for name, equals, _ in pairs if not equals]:
        raise ConfigError(f"--set {bad[0]}: write it as name=value, such as --set lr=3e-4")
    return {name: value for name, _, value in pairs}


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="best.pt, or the folder of its run.")],
    data: DataOption = DATA,
    device: DeviceOption = "auto",
) -> None:
    """Measure a checkpoint on the validation games, against trivial baselines."""
    from melee_pipeline import tables
    from melee_pipeline.evaluation.report import evaluate as evaluate_model

    stamp = evaluate_model(Store(data), checkpoint, device=device, progress=RichProgress())
    tables.print_evaluation(stamp)
    if not stamp.fresh:
        say("Nothing to do: this very checkpoint was measured before.")


app.command()(checkpoints)
app.command()(lineage)


@app.command()
def describe(
    experiment: Annotated[str, typer.Argument(help="An experiment's name, such as mlp_v1.")],
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Show what an experiment's model sees and predicts, and its size."""
    from melee_pipeline import tables
    from melee_pipeline.models.world import describe as describe_model
    from melee_pipeline.training.experiments import find_experiment

    facts = describe_model(find_experiment(Store(data), experiment).model)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        tables.print_description(experiment, facts)


def main() -> None:
    """Run the command line; a foreseen failure is one message on stderr and exit code 1."""
    try:
        app()
    except (MeleePipelineError, OSError) as error:
        typer.echo(f"error: {runnable(_told(error))}", err=True)
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # all that typer says when somebody presses Ctrl-C
            typer.echo("stopped; run the same command again to go on", err=True)
        raise


def _told(error: MeleePipelineError | OSError) -> str:
    """An error in words: the system's own begin with a number that helps nobody."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
