"""A training run that goes on until somebody ends it: python -m … DATA_ROOT."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from melee_pipeline.models.config import MLPConfig
from melee_pipeline.progress import Advance
from melee_pipeline.store import Store
from melee_pipeline.training.config import TrainConfig
from melee_pipeline.training.loop import train


class Announcing:
    """Says on stdout when the first steps are done."""

    def __init__(self) -> None:
        self.steps = 0

    @contextmanager
    def task(self, label: str, total: int | None, unit: str) -> Iterator[Advance]:
        def advance(count: int, note: str = "") -> None:
            self.steps += 1
            if self.steps == 5:
                print("training", flush=True)

        yield advance


if __name__ == "__main__":
    # Whoever runs tests in the background has them ignore Ctrl-C, and with them this process.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config = TrainConfig(
        experiment="long",
        model=MLPConfig(encoding="v1", context=3, hidden=(16,)),
        epochs=1000,
        batch_size=8,
    )
    train(Store(sys.argv[1]), config, device="cpu", wandb="off", progress=Announcing())
