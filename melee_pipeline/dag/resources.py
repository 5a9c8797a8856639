"""What assets are given: the data root, and how to train."""

import logging
import os

import dagster as dg

from melee_pipeline.dag.progress import LogProgress
from melee_pipeline.progress import Progress, RichProgress
from melee_pipeline.store import Store


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


class Trainer(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where to train, and whether Weights & Biases hears of it."""

    device: str = "auto"
    wandb: str = "auto"
