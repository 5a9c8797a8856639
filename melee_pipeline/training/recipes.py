"""Recipes: functions that return a complete config. A variant is `replace(…)` or `override(…)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from melee_pipeline.models.config import Mamba2Config, MLPConfig
from melee_pipeline.training.config import CONTINUOUS, TrainConfig, loss_weights


def mlp_v1() -> TrainConfig:
    """The smallest encoding: positions, damage, shield, three flags, action, jumps, controller."""
    return TrainConfig(experiment="mlp_v1", model=MLPConfig(encoding="v1"))


def mlp_v2() -> TrainConfig:
    """v1 with velocities, animation time, hitlag, stocks, character and stage as inputs."""
    return TrainConfig(experiment="mlp_v2", model=MLPConfig(encoding="v2"))


def mlp_v3() -> TrainConfig:
    """Everything that is recorded, and the controllers of the frame to be predicted."""
    return TrainConfig(
        experiment="mlp_v3",
        model=MLPConfig(encoding="v3", context=4, hidden=(512, 256), dropout=0.0),
        batch_size=128,
        loss_weights=loss_weights("v3") | {CONTINUOUS: 2.0},
        grad_clip=1.0,
        warmup=500,
        ema=0.999,
    )


def mamba2_v3() -> TrainConfig:
    """As mlp_v3, with a memory instead of a stack of frames: small enough for two cores."""
    return TrainConfig(
        experiment="mamba2_v3",
        model=Mamba2Config(encoding="v3", width=128, layers=2, state=32),
        batch_size=8,
        lr=2e-3,
        loss_weights=loss_weights("v3") | {CONTINUOUS: 2.0},
        grad_clip=1.0,
        warmup=200,
    )


def mamba2_v3_base() -> TrainConfig:
    """mamba2_v3 for a GPU: wider, deeper, and with a memory of two seconds."""
    small = mamba2_v3()
    return replace(
        small,
        experiment="mamba2_v3_base",
        model=Mamba2Config(encoding="v3", context=120, width=512, layers=8, state=128),
        batch_size=64,
        lr=5e-4,
        precision="bfloat16",
    )


def demo() -> TrainConfig:
    """mamba2_v3 for the few sample games: it learns something within minutes on two cores."""
    return replace(mamba2_v3(), experiment="demo", epochs=4)


RECIPES: Mapping[str, Callable[[], TrainConfig]] = {
    recipe.__name__: recipe for recipe in (mlp_v1, mlp_v2, mlp_v3, mamba2_v3, mamba2_v3_base, demo)
}
