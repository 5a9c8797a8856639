"""Opening a large training set, gathering windows, and the loader's share of training.

    python -m benchmarks.loader [--replays PATH] [--games 100 --games 2000 …] [--steps 300]

The training sets are those of benchmarks.many_games: all figures are of a warm page cache, unless
`--cold` copies the shards and asks the system to drop their pages first.

Each size is measured in a process of its own. Training is the real `Trainer` on a recipe, an MLP at
batch 512; after every 20 of its steps the bare model takes 20 on one ready, decoded batch, so that
both see the same machine. Ratios are medians over such pairs, by the clock and by processor time
(which other programs on the machine disturb less).
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.many_games import drop_pages, make_games, make_training_set
from melee_pipeline.models.world import build_model
from melee_pipeline.progress import Advance
from melee_pipeline.store import Store
from melee_pipeline.tensors.training_set import load_training_set, open_games
from melee_pipeline.tensors.windows import Batch, Windows
from melee_pipeline.training.device import precise, settle
from melee_pipeline.training.losses import Objective, targets_of
from melee_pipeline.training.recipes import RECIPES
from melee_pipeline.training.run import RunFolder
from melee_pipeline.training.trainer import Trainer

BATCH, BLOCK, WARM_UP = 512, 20, 40  # windows a step; steps of each side in turn; steps unmeasured
SIZES = (100, 2_000, 22_000)


def memory(key: str) -> float:
    """A figure of this process from /proc, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(f"{key}:"))


class TimedWindows(Windows):
    """Windows that note how long each batch took to make."""

    def batches(self, *args: Any, **more: Any) -> Iterator[Batch]:  # noqa: ANN401
        self.waited: list[float] = []
        batches = super().batches(*args, **more)
        while True:
            started = time.perf_counter()
            batch = next(batches, None)
            self.waited.append(time.perf_counter() - started)
            if batch is None:
                return
            yield batch


class TimedTrainer(Trainer):
    """A trainer that is told its windows."""

    windows: TimedWindows | None = None

    def epoch_windows(self, order: int) -> Windows:
        return self.windows or super().epoch_windows(order)


Times = tuple[float, float]  # by the clock and of the processor


class EnoughError(Exception):
    """Ends an epoch that would take days."""


class Alternating:
    """Progress that times blocks of steps and lets the bare model take its own after each."""

    def __init__(self, bare: Callable[[], None], steps: int, device: torch.device) -> None:
        self.bare, self.steps, self.device = bare, steps, device
        self.real: list[Times] = []  # of BLOCK steps each
        self.ready: list[Times] = []
        self.anonymous: list[float] = []
        self._done, self._started = -1, (0.0, 0.0)  # the first call only says that an epoch begins

    @contextmanager
    def task(self, label: str, total: int | None, unit: str) -> Iterator[Advance]:
        yield self._advance

    def _now(self) -> Times:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()

    def _advance(self, count: int, note: str = "") -> None:
        self._done += 1
        if self._done % BLOCK:
            return
        now = self._now()
        for _ in range(BLOCK):
            self.bare()
        then = self._now()
        if self._done > WARM_UP:
            self.real.append((now[0] - self._started[0], now[1] - self._started[1]))
            self.ready.append((then[0] - now[0], then[1] - now[1]))
            self.anonymous.append(memory("RssAnon"))
        if self._done >= WARM_UP + self.steps:
            raise EnoughError
        self._started = self._now()

    def of_bare(self, clock: int) -> float:
        """The bare model's time in percent of real training's, in the middle pair."""
        pairs = zip(self.real, self.ready, strict=True)
        return 100 * statistics.median(bare[clock] / real[clock] for real, bare in pairs)


def bare_step(trainer: Trainer, batch: Batch) -> Callable[[], None]:
    """A training step of a second model and nothing else, on a batch that is decoded already."""
    model = build_model(trainer.config.model).to(trainer.device).train()
    objective = Objective(model.encoding, trainer.config.loss_weights).to(trainer.device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=trainer.config.lr, weight_decay=1e-5, fused=True
    )
    on_device = batch.to(trainer.device)
    frames = model.decoder(on_device.frames, on_device.available)
    targets = targets_of(model.slots, frames, model.supervised)

    def step() -> None:
        with precise(trainer.config.precision, trainer.device):
            prediction = model(frames).float()
        loss = objective.total(*objective(prediction, targets))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def measure_one(root: Path, steps: int, device: str, recipe: str) -> dict[str, float]:
    """All figures of one training set."""
    store = Store(root)
    config = RECIPES[recipe]()
    size = config.batch_size or BATCH
    before = memory("RssAnon")
    started = time.perf_counter()
    games = load_training_set(store).split("train")
    where = torch.device(device)
    opened = settle(open_games(store, games), where)
    seconds = time.perf_counter() - started
    folder = RunFolder(root / "run")
    trainer = TimedTrainer(config, folder, opened, None, where, "benchmark", size, {})
    plain = trainer.epoch_windows(0)
    started = time.perf_counter()
    windows = TimedWindows(opened, plain.context, plain.count)
    seconds += time.perf_counter() - started
    some = torch.randint(len(windows), (200, size), generator=torch.Generator().manual_seed(0))
    windows.batch(some[0])
    first = time.perf_counter()
    for samples in some:
        windows.batch(samples)
    gather = time.perf_counter() - first
    trainer.windows = windows
    clock = Alternating(bare_step(trainer, windows.batch(some[0])), steps, trainer.device)
    with suppress(EnoughError):
        trainer.one_epoch(clock)
    real, bare = (statistics.median(t[0] for t in times) for times in (clock.real, clock.ready))
    loading = statistics.mean(windows.waited[WARM_UP + 1 :])
    return {
        "games": len(games),
        "shards": games["shard"].n_unique(),
        "million frames": int(games["frames"].sum()) / 1e6,
        "open s": seconds,
        "first batch s": windows.waited[0],
        "windows/s": some.numel() / gather,
        "step ms": real / BLOCK * 1e3,
        "loader ms": loading * 1e3,
        "loader %": 100 * loading / (real / BLOCK),
        "frames/s": size * windows.count * BLOCK / real,
        "bare frames/s": size * windows.count * BLOCK / bare,
        "of bare %": clock.of_bare(0),
        "of bare %, processor": clock.of_bare(1),
        "peak RSS MB": memory("VmHWM"),
        "of it mapped files MB": memory("RssFile"),
        "its own memory MB": max(clock.anonymous),
        "since opening MB": max(clock.anonymous) - before,
        "device MB": torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else 0.0,
    }


def measure_all(
    replays: Annotated[
        list[Path] | None, typer.Option(help="An archive or folder; repeat for several.")
    ] = None,
    games: Annotated[list[int] | None, typer.Option(help="A size; repeat for several.")] = None,
    steps: Annotated[int, typer.Option(help="Steps of each side, 512 windows each.")] = 300,
    device: str = "cpu",
    recipe: Annotated[str, typer.Option(help=f"One of {', '.join(RECIPES)}.")] = "mlp_v2",
    cold: Annotated[bool, typer.Option(help="Copy the shards, and drop their pages.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where the data goes for the while.")] = None,
) -> None:
    """Measure each size in a process of its own, and print one column for each."""
    rows: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(dir=folder) as name:
        root = Path(name)
        shard = make_games(root, replays or [])
        for size in games or SIZES:
            store = make_training_set(root, shard, size, cold)
            if cold:
                drop_pages(store)
            command = [sys.executable, "-m", "benchmarks.loader", "--one", str(store.root)]
            command += ["--steps", str(steps), "--device", device, "--recipe", recipe]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            for key, value in json.loads(out).items():
                rows.setdefault(key, []).append(f"{value:,.{0 if value >= 1000 else 3}f}")
            shutil.rmtree(store.root)
    table = Table("", *(f"{size:,} games" for size in games or SIZES))
    for key, values in rows.items():
        table.add_row(key, *values)
    Console().print(table)
    print(
        f"{recipe}, torch {torch.__version__}, {torch.get_num_threads()} threads, {device}, {cold=}"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        _, _, folder, _, steps, _, device, _, recipe = sys.argv
        print(json.dumps(measure_one(Path(folder), int(steps), device, recipe)))
    else:
        typer.run(measure_all)
