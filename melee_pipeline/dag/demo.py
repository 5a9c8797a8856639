"""The whole chain on sample games, from download to lineage, with nothing from outside.

    python -m melee_pipeline.dag.demo            everything, as `make demo` does
    python -m melee_pipeline.dag.demo --prepare  only the sample source, as `make dev` does

The games are simulated, written as real `.slp` files, packed into an archive and served by a
local HTTP server to the project's own downloader. The chain runs as Dagster assets, so that
`make dev` afterwards shows what was made.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import typer

from melee_pipeline import tables
from melee_pipeline.dag.partitions import register_partitions
from melee_pipeline.dag.resources import DataRoot, Trainer, default_data_root
from melee_pipeline.lineage import read_lineage
from melee_pipeline.sources.catalog import add_source, load_catalog
from melee_pipeline.store import CHECKPOINT, EVALUATION, Stamp, Store, atomic_file

SOURCE, GAMES = "sample", 24
EXPERIMENT = "demo"


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the progress bars are on the same terminal."""


@contextmanager
def served(folder: Path, port: int = 0) -> Iterator[str]:
    """A local HTTP server over a folder; gives its URL."""
    handler = partial(_QuietHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def prepare(store: Store) -> None:
    """Simulate the games, pack them, register them as a source and download the archive.

    Once that is done it is not done again: the archive in the data root is enough from then on.
    """
    from melee_pipeline.progress import RichProgress
    from melee_pipeline.replays.simulate import sample_archive
    from melee_pipeline.sources.download import fetch_archive

    sources = load_catalog(store)
    if SOURCE in sources and store.stamp("archive", SOURCE):
        return
    archive = store.root / "demo" / "sample-games.7z"
    if not archive.exists():
        typer.echo(f"Simulating {GAMES} games as .slp files …")
        with atomic_file(archive) as temporary:
            made = sample_archive(temporary.with_suffix(".7z"), GAMES)
            made.replace(temporary)
    port = int(sources[SOURCE].location.split(":")[2].split("/")[0]) if SOURCE in sources else 0
    with served(archive.parent, port) as url:
        if SOURCE not in sources:
            add_source(store, SOURCE, f"{url}/{archive.name}")
        fetch_archive(store, load_catalog(store)[SOURCE], RichProgress())


def materialize_chain(
    instance: dg.DagsterInstance, store: Store, source: str, experiment: str
) -> None:
    """Materialize one source, the training set and one experiment, in this process."""
    from melee_pipeline.dag.assets.models import training_set
    from melee_pipeline.dag.definitions import MODEL_ASSETS, SOURCE_ASSETS

    resources = {"data_root": DataRoot(path=str(store.root)), "trainer": Trainer(wandb="off")}
    quiet = {"loggers": {"console": {"config": {"log_level": "WARNING"}}}}
    everything = [*SOURCE_ASSETS, training_set, *MODEL_ASSETS]
    for assets, partition in (
        (SOURCE_ASSETS, source),
        ([training_set], None),
        (MODEL_ASSETS, experiment),
    ):
        typer.echo(f"Materializing {', '.join(a.key.to_user_string() for a in assets)} …")
        dg.materialize(
            everything,
            selection=assets,
            partition_key=partition,
            instance=instance,
            resources=resources,
            run_config=quiet,
        )


def main(prepare_only: bool = typer.Option(False, "--prepare")) -> None:
    """Run the demo on MELEE_DATA (by default ./data) and the instance of DAGSTER_HOME."""
    started = time.monotonic()
    store = Store(default_data_root())
    prepare(store)
    with dg.DagsterInstance.get() as instance:
        register_partitions(instance, store)
        if prepare_only:
            return
        materialize_chain(instance, store, SOURCE, EXPERIMENT)
    trained = store.need(CHECKPOINT, EXPERIMENT, f"--experiment {EXPERIMENT}")
    measured = store.need(EVALUATION, EXPERIMENT, f"--experiment {EXPERIMENT}")
    _show(store, trained, measured)
    typer.echo(f"The chain took {time.monotonic() - started:.0f} s. `make dev` shows it all.")


def _show(store: Store, trained: Stamp, measured: Stamp) -> None:
    run = store.root / str(trained.facts["run"])
    tables.print_epochs(store, trained)
    tables.print_evaluation(measured)
    tables.print_lineage(read_lineage(run))
    typer.echo("Pictures:")
    for picture in sorted(run.rglob("*.png")):
        typer.echo(f"  {picture}")
    typer.echo(f"Checkpoint: {run / 'best.pt'}")


if __name__ == "__main__":
    typer.run(main)
