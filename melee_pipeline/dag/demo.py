"""The whole chain on sample games, from download to lineage, with nothing from outside.

    python -m melee_pipeline.dag.demo, or make demo

The games are simulated, written as real `.slp` files, packed into an archive and served by a
local HTTP server to the project's own downloader. The chain runs as Dagster assets, so that
`make dev` afterwards shows what was made.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg

from melee_pipeline import tables
from melee_pipeline.dag.assets.models import training_set
from melee_pipeline.dag.instance import instance_lock
from melee_pipeline.dag.jobs import ASSETS, MODEL_ASSETS, SOURCE_ASSETS
from melee_pipeline.dag.partitions import SAMPLE, register_partitions
from melee_pipeline.dag.resources import DataRoot, default_data_root
from melee_pipeline.errors import DownloadError, MeleePipelineError
from melee_pipeline.lineage import read_lineage
from melee_pipeline.progress import RichProgress
from melee_pipeline.replays.simulate import sample_archive
from melee_pipeline.sources.catalog import add_source
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.store import ARCHIVE, CHECKPOINT, EVALUATION, Stamp, Store

GAMES = 24
EXPERIMENT = "demo"
PORT = 48127


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the progress bars are on the same terminal."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A local HTTP server over a folder; gives its URL, which is the same every time.

    Raises DownloadError when the port is taken.
    """
    handler = partial(_QuietHandler, directory=str(folder))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", PORT), handler)
    except OSError as error:
        raise DownloadError(
            f"the demo serves its archive on port {PORT} of this machine, which is taken: {error}"
        ) from error
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{PORT}"
    finally:
        server.shutdown()
        server.server_close()


def prepare(store: Store) -> None:
    """Simulate the games, pack them, register them as a source and download the archive.

    Once that is done it is not done again: the archive in the data root is enough from then on.
    """
    if store.stamp(ARCHIVE, SAMPLE):
        return
    archive = store.root / "demo" / "sample-games.7z"
    if not archive.exists():
        print(f"Simulating {GAMES} games as .slp files …")
        sample_archive(archive, GAMES)
    with served(archive.parent) as url:
        source = add_source(store, SAMPLE, f"{url}/{archive.name}")
        fetch_archive(store, source, RichProgress())


def materialize_chain(
    instance: dg.DagsterInstance, store: Store, source: str, experiment: str
) -> None:
    """Materialize one source, the training set and one experiment, in this process."""
    quiet = {"loggers": {"console": {"config": {"log_level": "WARNING"}}}}
    told_nobody = {"ops": {"checkpoint": {"config": {"wandb": "off"}}}}
    for assets, partition, config in (
        (SOURCE_ASSETS, source, quiet),
        ([training_set], None, quiet),
        (MODEL_ASSETS, experiment, {**quiet, **told_nobody}),
    ):
        print(f"Materializing {', '.join(a.key.to_user_string() for a in assets)} …")
        dg.materialize(
            ASSETS,
            selection=assets,
            partition_key=partition,
            instance=instance,
            resources={"data_root": DataRoot(path=str(store.root), bars=True)},
            run_config=config,
        )


def main() -> None:
    """Run the demo on MELEE_DATA (by default ./data) and the instance of DAGSTER_HOME."""
    started = time.monotonic()
    store = Store(default_data_root())
    with instance_lock(), dg.DagsterInstance.get() as instance:
        prepare(store)
        register_partitions(instance, store)
        materialize_chain(instance, store, SAMPLE, EXPERIMENT)
    trained = store.need(CHECKPOINT, EXPERIMENT, f"--experiment {EXPERIMENT}")
    measured = store.need(EVALUATION, EXPERIMENT, f"--experiment {EXPERIMENT}")
    _show(store, trained, measured)
    print(f"The chain took {time.monotonic() - started:.0f} s. `make dev` shows it all.")


def _show(store: Store, trained: Stamp, measured: Stamp) -> None:
    run = store.root / str(trained.facts["run"])
    tables.print_epochs(store, trained)
    tables.print_evaluation(measured)
    tables.print_lineage(read_lineage(run))
    print("Pictures:")
    for picture in sorted(run.rglob("*.png")):
        print(f"  {picture}")
    print(f"Checkpoint: {run / 'best.pt'}")


if __name__ == "__main__":
    try:
        main()
    except MeleePipelineError as error:
        sys.exit(f"error: {error}")
