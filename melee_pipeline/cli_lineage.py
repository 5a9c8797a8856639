"""The commands about checkpoints: which there are, and what each was made from."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from melee_pipeline.cli_replays import DATA, DataOption
from melee_pipeline.errors import ArtefactError, ConfigError
from melee_pipeline.hints import say
from melee_pipeline.progress import RichProgress
from melee_pipeline.store import Store

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def checkpoints(data: DataOption = DATA, as_json: JsonOption = False) -> None:
    """List every checkpoint ever made in the data root, the latest last."""
    from melee_pipeline.checkpoints import list_checkpoints
    from melee_pipeline.tables_lineage import print_checkpoints

    store = Store(data)
    found = list_checkpoints(store)
    if as_json:
        typer.echo(json.dumps([asdict(run) for run in found], indent=2))
    elif found:
        print_checkpoints(found)
    else:
        say(f"No checkpoint in {store.root} yet. Next: melee-pipeline train")


def lineage(
    checkpoint: Annotated[Path, typer.Argument(help="best.pt, or the folder of its run.")],
    other: Annotated[
        Path | None, typer.Argument(help="Another checkpoint, to compare the two.")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Hash what lies in the data root again; exit code 1 where any of it differs or "
            "is gone.",
        ),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="The data root to verify; by default the one the checkpoint lies in.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Walk back from a checkpoint to its games, archives and URLs; compare two; verify one.

    With a second checkpoint: same data or not, which games differ by source and MD5, which
    settings, which code. Lineage lies beside each checkpoint: it says what was used then,
    whatever has been made again or deleted since.
    """
    if other is not None and verify:
        raise ConfigError("--verify takes one checkpoint; without it two are compared")
    if other is not None:
        _compare(checkpoint, other, as_json)
    elif verify:
        _verify(checkpoint, data, as_json)
    else:
        _show(checkpoint, as_json)


def _show(checkpoint: Path, as_json: bool) -> None:
    from melee_pipeline import tables
    from melee_pipeline.lineage import read_lineage

    found = read_lineage(checkpoint)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        tables.print_lineage(found)


def _compare(first: Path, second: Path, as_json: bool) -> None:
    from melee_pipeline.compare import compare
    from melee_pipeline.tables_lineage import print_comparison

    found = compare(first, second)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        print_comparison(found)


def _verify(checkpoint: Path, data: Path | None, as_json: bool) -> None:
    from melee_pipeline.tables_lineage import print_verification
    from melee_pipeline.verify import DIFFERS, GONE, data_root_of, verify

    store = data_root_of(checkpoint) if data is None else Store(data)
    if not (store.root / "stamps").is_dir():
        raise ArtefactError(
            f"{store.root} is no data root; --data names the one to hold {checkpoint} against"
        )
    checks = verify(store, checkpoint, RichProgress())
    wrong = [check for check in checks if check.state in (DIFFERS, GONE)]
    if as_json:
        told = {"data_root": str(store.root), "matches": not wrong}
        typer.echo(json.dumps({**told, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        print_verification(checks)
    if wrong:
        raise ArtefactError(f"{len(wrong)} of {len(checks)} checks found something else or nothing")
