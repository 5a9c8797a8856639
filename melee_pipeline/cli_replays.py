"""The commands about replays: where they come from, parsing and exporting them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from melee_pipeline.errors import MeleePipelineError
from melee_pipeline.hints import say
from melee_pipeline.progress import RichProgress
from melee_pipeline.store import Store

sources_app = typer.Typer(no_args_is_help=True, help="Where replays come from.")

DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="MELEE_DATA",
        file_okay=False,
        help="The data root: the folder for everything made.",
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Processes for parsing; by default one a core.")
]
DATA = Path("data")


@sources_app.command("list")
def sources_list(data: DataOption = DATA) -> None:
    """List every source of the catalogues, and how far each has come."""
    from melee_pipeline import tables
    from melee_pipeline.sources.catalog import load_catalog

    store = Store(data)
    tables.print_sources(store, load_catalog(store))


@sources_app.command("add")
def sources_add(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and dashes.")],
    location: Annotated[
        str, typer.Argument(help="A URL of an archive, a Dropbox link, or a file or folder here.")
    ],
    data: DataOption = DATA,
) -> None:
    """Add a source of your own to the data root's sources.yaml."""
    from melee_pipeline.sources.catalog import add_source

    store = Store(data)
    added = add_source(store, name, location)
    say(f"{added.name} ({added.kind}) is in {store.user_catalog}")
    say(f"Next: melee-pipeline run --source {added.name}")


@sources_app.command("remove")
def sources_remove(
    name: Annotated[str, typer.Argument(help="A source's name.")], data: DataOption = DATA
) -> None:
    """Take a source out of sources.yaml and of the next training set; its files stay.

    One of the package's own sources stays in the list: only its games leave the training set.
    """
    from melee_pipeline.sources.catalog import remove_source
    from melee_pipeline.store import SHARDS

    store = Store(data)
    folders = remove_source(store, name)
    say(f"{name} is out.")
    if folders:
        say("Its files stay. Nothing else needs them, and deleting them frees the disk:")
        for folder in folders:
            say(f"  {folder}")
    if store.names(SHARDS):
        say("Next: melee-pipeline run, which joins the training set from what is left")


def parse(
    paths: Annotated[list[Path], typer.Argument(help="Replays, folders or archives.")],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for the games (MD5.parquet) and index.parquet; what earlier runs put "
            "there stays."
        ),
    ],
    workers: WorkersOption = None,
    cpus: Annotated[bool, typer.Option("--cpus", help="Keep games against CPUs.")] = False,
    doubles: Annotated[bool, typer.Option("--doubles", help="Keep team games.")] = False,
    climbers: Annotated[bool, typer.Option("--ice-climbers", help="Keep Ice Climbers.")] = False,
    items: Annotated[bool, typer.Option("--items", help="Keep games with items on.")] = False,
    whole: Annotated[bool, typer.Option("--whole", help="Refuse files cut short.")] = False,
    stage: Annotated[
        list[int] | None,
        typer.Option(
            help="A stage's external id, 0 for any; repeat for several. [default: the legal six: "
            "2, 3, 8, 28, 31, 32]"
        ),
    ] = None,
    min_frames: Annotated[int, typer.Option(help="Shorter games are refused.")] = 1800,
    min_version: Annotated[str, typer.Option(help="The oldest Slippi version.")] = "0.1.0",
    max_version: Annotated[str | None, typer.Option(help="The newest Slippi version.")] = None,
) -> None:
    """Parse replays to one Parquet per game and an index of every file met; nothing else needed.

    Games are added to those that the folder holds: each game once, also over several runs. Files
    that were parsed before, with the same filters, are not parsed again.
    """
    from melee_pipeline import tables
    from melee_pipeline.replays.collect import parse_paths
    from melee_pipeline.replays.filters import LEGAL_STAGES, Filters, Reason, version_of

    filters = Filters(
        cpus=cpus,
        doubles=doubles,
        ice_climbers=climbers,
        items=items,
        truncated=not whole,
        stages=frozenset() if 0 in (stage or ()) else frozenset(stage or LEGAL_STAGES),
        min_frames=min_frames,
        min_version=version_of(min_version),
        max_version=version_of(max_version) if max_version else None,
    )
    parsed = parse_paths(paths, out, RichProgress(), filters=filters, workers=workers)
    tables.print_verdicts(row.reason or row.verdict for row in parsed.met)
    say(f"{len(parsed.kept)} games in {out}, index in {out / 'index.parquet'}")
    if not parsed.parsed_now:
        say("Nothing to do: all of these files were parsed before.")
    if all(row.reason not in (None, Reason.DUPLICATE) for row in parsed.met):
        raise MeleePipelineError(
            "no game of these files was kept: the table above says why; of each file, index.parquet"
        )


def export(
    paths: Annotated[list[Path], typer.Argument(help="Replays, folders or archives.")],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for games/, meta.json (their list) and left_out.json; earlier games stay."
        ),
    ],
) -> None:
    """Export replays to the layout that slippi-ai trains from."""
    from melee_pipeline import tables
    from melee_pipeline.replays.collect import export_paths

    exported = export_paths(paths, out, RichProgress())
    tables.print_verdicts(why.reason if why else "exported" for _, why in exported.files)
    say(f"{len(exported.games)} games in {out / 'games'}, list in {out / 'meta.json'}")
    if exported.refused:
        say(f"Which files were left out, and why: {out / 'left_out.json'}")
    if all(why for _, why in exported.files):
        raise MeleePipelineError("no game of these files was exported: the table above says why")
