"""What assets are given: the data root, and what the launchpad says."""

import logging
import os
from typing import Any

import dagster as dg
from pydantic import Field

from melee_pipeline.dag.progress import LogProgress
from melee_pipeline.errors import ConfigError
from melee_pipeline.progress import Progress, RichProgress
from melee_pipeline.store import Store
from melee_pipeline.training.config import TrainConfig, override


def default_data_root() -> str:
    """MELEE_DATA, else `data` beside this repository (or in the working directory)."""
    return os.environ.get("MELEE_DATA", "data")


class DataRoot(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The folder that holds everything the pipeline makes."""

    path: str
    bars: bool = False  # progress as bars on the terminal, not as lines in the run's log

    def progress(self, log: logging.Logger) -> Progress:
        """Who is told how long work goes."""
        return RichProgress() if self.bars else LogProgress(log)

    def store(self) -> Store:
        """The data root's paths and stamps."""
        return Store(self.path)


class Evaluating(dg.Config):
    """Where to measure."""

    device: str = Field(default="auto", description="auto, cpu, cuda or mps")


class Training(Evaluating):
    """What the launchpad can change for one run of an experiment."""

    knobs: dict[str, Any] = Field(
        default={},
        description=(
            "Settings other than the experiment's, such as {epochs: 40, lr: 3e-4}. "
            "`melee-pipeline describe` and the checkpoint's `config` name them all."
        ),
    )
    wandb: str = Field(default="auto", description="Weights & Biases: auto, off, offline or online")

    def changed(self, experiment: TrainConfig) -> TrainConfig:
        """The experiment with these knobs. Raises ConfigError naming one that there is not."""
        if "experiment" in self.knobs:
            raise ConfigError(
                "knob 'experiment' is the partition: choose another one, or add an experiment of "
                "your own to experiments.yaml in the data root"
            )
        return override(experiment, self.knobs)
