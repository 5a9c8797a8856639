"""The learning rate: a warm-up in steps, then half a cosine, epoch by epoch."""

from __future__ import annotations

import math

from melee_pipeline.training.config import TrainConfig


def learning_rate(config: TrainConfig, epoch: int, step: int) -> float:
    """The rate of a step. `epoch` counts from 0 within the run, `step` from 0 over all epochs."""
    annealed = config.lr * (1 + math.cos(math.pi * epoch / config.epochs)) / 2
    return annealed * min(1.0, (step + 1) / config.warmup) if config.warmup else annealed
