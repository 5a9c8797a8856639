"""Recipes: functions that return a complete config. A variant is `replace(…)` or `override(…)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from melee_pipeline.models.config import MLPConfig
from melee_pipeline.training.config import TrainConfig


def mlp_v1() -> TrainConfig:
    """The smallest encoding: positions, damage, shield, three flags, action, jumps, controller."""
    return TrainConfig(experiment="mlp_v1", model=MLPConfig(encoding="v1"))


def mlp_v2() -> TrainConfig:
    """v1 with velocities, animation time, hitlag, stocks, character and stage as inputs."""
    return TrainConfig(experiment="mlp_v2", model=MLPConfig(encoding="v2"))


def demo() -> TrainConfig:
    """A narrow v2 that learns something within minutes on two cores."""
    return TrainConfig(
        experiment="demo", model=MLPConfig(encoding="v2", hidden=(256, 128)), epochs=4
    )


RECIPES: Mapping[str, Callable[[], TrainConfig]] = {
    recipe.__name__: recipe for recipe in (mlp_v1, mlp_v2, demo)
}
