"""The command line: thin over the library, for people without Dagster at hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from melee_pipeline.cli_replays import (
    DATA,
    DataOption,
    WorkersOption,
    export,
    parse,
    sources_app,
)
from melee_pipeline.errors import ConfigError, MeleePipelineError
from melee_pipeline.progress import RichProgress
from melee_pipeline.store import Store

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Slippi replays to trained world models.\n\n"
    "Start with **sources list**, then **run --source NAME**: it downloads, extracts, parses, "
    "encodes, trains and evaluates, and does nothing that is already done. "
    "The same steps are Dagster assets: **make dev** opens them in the browser.",
)
app.add_typer(sources_app, name="sources")

DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
WandbOption = Annotated[
    str,
    typer.Option(help="Weights & Biases: auto (online if there is a key), off, offline, online."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
INTERRUPTED = 130  # exit code


@app.command()
def run(
    source: Annotated[
        list[str] | None, typer.Option(help="A source's name; repeat for several.")
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="A recipe to train and evaluate, such as mlp_v1.")
    ] = None,
    data: DataOption = DATA,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    wandb: WandbOption = "auto",
) -> None:
    """Run the chain for these sources: download, extract, parse, encode, join, train, evaluate.

    What is already done is not done again. Without --source the training set is joined from the
    sources that are encoded; without --experiment nothing is trained.
    """
    from melee_pipeline import tables
    from melee_pipeline.pipeline import run_chain
    from melee_pipeline.tensors.training_set import not_joined

    store = Store(data)
    result = run_chain(
        store,
        source or [],
        experiment,
        RichProgress(),
        workers=workers,
        device=device,
        wandb=wandb,
    )
    tables.print_stamps(result.stamps)
    for name, why in not_joined(store).items():
        typer.echo(f"{name} is not in the training set: {why}. melee-pipeline run --source {name}")
    if not result.anything_new:
        typer.echo("Nothing to do: everything was up to date.")


app.command()(parse)
app.command()(export)


@app.command()
def train(
    experiment: Annotated[str, typer.Argument(help="A recipe's name, such as mlp_v1.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A knob, as name=value; repeat for several.")
    ] = None,
    data: DataOption = DATA,
    device: DeviceOption = "auto",
    wandb: WandbOption = "auto",
) -> None:
    """Train a recipe on the training set; goes on where a cut-off run stopped."""
    from melee_pipeline import tables
    from melee_pipeline.training.config import override
    from melee_pipeline.training.experiments import find_experiment
    from melee_pipeline.training.loop import train as train_model

    config = override(find_experiment(Store(data), experiment), _knobs(set_ or []))
    if set_ and config.experiment == experiment:
        # A variant must not take the recipe's place in the lists.
        config = override(config, {"experiment": f"{experiment}-{config.hash[:6]}"})
    store = Store(data)
    stamp = train_model(store, config, device=device, wandb=wandb, progress=RichProgress())
    tables.print_epochs(store, stamp)
    typer.echo(f"Checkpoint: {store.root / stamp.facts['run'] / 'best.pt'}")
    if not stamp.fresh:
        typer.echo("Nothing to do: this very run was trained before.")


def _knobs(settings: list[str]) -> dict[str, str]:
    pairs = [setting.partition("=") for setting in settings]
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
        typer.echo("Nothing to do: this very checkpoint was measured before.")


@app.command()
def lineage(
    checkpoint: Annotated[Path, typer.Argument(help="best.pt, or the folder of its run.")],
    as_json: JsonOption = False,
) -> None:
    """Walk back from a checkpoint to its games, archives and URLs."""
    from melee_pipeline import tables
    from melee_pipeline.lineage import read_lineage

    found = read_lineage(checkpoint)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        tables.print_lineage(found)


@app.command()
def describe(
    experiment: Annotated[str, typer.Argument(help="A recipe's name, such as mlp_v1.")],
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Show what a recipe's model sees and predicts, and its size."""
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
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # all that typer says when somebody presses Ctrl-C
            typer.echo("stopped; run the same command again to go on", err=True)
        raise
