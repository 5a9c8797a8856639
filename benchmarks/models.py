"""How fast models learn from batches that are ready: forward, loss and backward, nothing else.

    python -m benchmarks.models
    python -m benchmarks.models --device cuda --batch 512 --bf16 --compile

A window is what a training step takes a batch of; an MLP learns from one frame of it, Mamba-2 from
every one but the first. The windows hold random numbers: speed does not hang on them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from melee_pipeline.models.config import ModelConfig
from melee_pipeline.models.world import build_model
from melee_pipeline.schema.rows import blocks, packed_fields
from melee_pipeline.tensors.records import shard_layout
from melee_pipeline.tensors.windows import Batch
from melee_pipeline.training.config import loss_weights
from melee_pipeline.training.device import pick_device, precise
from melee_pipeline.training.losses import Objective, targets_of
from melee_pipeline.training.recipes import RECIPES

MODELS: dict[str, ModelConfig] = {name: make().model for name, make in RECIPES.items()}


@dataclass(frozen=True, slots=True)
class Task:
    """A step to repeat."""

    step: Callable[[], None]
    frames: int  # that a window supervises
    parameters: int


def random_batch(batch: int, time: int) -> Batch:
    """Packed windows as the loader gives them, (batch, time, …), all fields recorded."""
    rows = {
        block.name: np.random.default_rng(0)
        .integers(0, 100, (batch * time, *block.row_shape))
        .astype(block.dtype)
        for block in blocks()
    }
    records = torch.from_numpy(shard_layout().join(rows)).view(batch, time, -1)
    recorded = torch.ones(batch, len(packed_fields()), dtype=torch.bool)
    return Batch(records, recorded, torch.ones(batch, dtype=torch.int64), shard_layout())


def task_of(config: ModelConfig, batch: int, device: torch.device, bf16: bool, fuse: bool) -> Task:
    """A model's forward, loss and backward on one batch; `fuse` compiles the forward."""
    torch.manual_seed(0)
    model = build_model(config).to(device).train()
    objective = Objective(model.encoding, loss_weights(config.encoding)).to(device)
    packed = random_batch(batch, config.context + 1).to(device)
    frames = model.decoder(packed.frames, packed.available)
    forward = torch.compile(model) if fuse else model
    with torch.no_grad():
        supervised = model(frames).steps

    def step() -> None:
        model.zero_grad(set_to_none=True)
        with precise("bfloat16" if bf16 else "float32", device):
            prediction = forward(frames).float()
        loss = objective.total(*objective(prediction, targets_of(model.slots, frames, supervised)))
        loss.backward()  # type: ignore[no-untyped-call]

    return Task(step, supervised, sum(parameter.numel() for parameter in model.parameters()))


def seconds_a_step(task: Task, device: torch.device, at_least: float) -> float:
    """Over at least so many seconds of steps, and three of them, after two that do not count."""
    finish = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(device.type)
    for _ in range(2):  # compile, fill caches
        task.step()
    if finish:
        finish()
    started, steps = time.perf_counter(), 0
    while steps < 3 or time.perf_counter() - started < at_least:
        task.step()
        steps += 1
        if finish:
            finish()
    return (time.perf_counter() - started) / steps


def main() -> None:
    """Measure all models one after another."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--batch", type=int, default=64, help="windows a step")
    parser.add_argument("--only", nargs="*", help="recipes; all when left out")
    parser.add_argument("--seconds", type=float, default=5.0, help="of measuring, a model")
    parser.add_argument("--bf16", action="store_true", help="mixed precision")
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    options = parser.parse_args()
    device = pick_device(options.device)
    table = Table(
        title=f"batch {options.batch} on {device}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}"
    )
    columns = ["parameters", "ms/step", "windows/s", "frames/s"]
    if device.type == "cuda":
        columns.append("peak MiB")
    table.add_column("model")
    for column in columns:
        table.add_column(column, justify="right")
    for name in options.only or MODELS:
        config = MODELS[name]
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        task = task_of(config, options.batch, device, options.bf16, options.compile)
        seconds = seconds_a_step(task, device, options.seconds)
        rate = options.batch / seconds
        row = [f"{task.parameters:,}", f"{seconds * 1e3:,.1f}", f"{rate:,.0f}"]
        row.append(f"{rate * task.frames:,.0f}")
        if device.type == "cuda":
            row.append(f"{torch.cuda.max_memory_allocated() / 2**20:,.0f}")
        table.add_row(name, *row)
    Console().print(table)


if __name__ == "__main__":
    main()
