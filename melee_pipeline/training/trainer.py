"""A run in progress: model, optimizer and schedule, one epoch at a time, saved as it goes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from melee_pipeline.errors import SchemaMismatchError
from melee_pipeline.models.world import build_model
from melee_pipeline.progress import Progress
from melee_pipeline.store import atomic_file
from melee_pipeline.tensors.windows import Batch, Windows
from melee_pipeline.training.checkpoint import read_torch
from melee_pipeline.training.config import TrainConfig
from melee_pipeline.training.device import random_state, set_random_state
from melee_pipeline.training.losses import Objective, targets_of
from melee_pipeline.training.measure import measure
from melee_pipeline.training.metrics import Measures, Tally
from melee_pipeline.training.run import Epoch, RunFolder

SECONDS_BETWEEN_SAVES = 300.0


class Trainer:
    """Everything that changes while a run trains.

    The order of an epoch's windows follows from the seed and the epoch's number, so that a run
    which was cut off sees the rest of the very same order.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: RunFolder,
        windows: Windows,
        validation: Windows | None,
        device: torch.device,
        data_version: str,
        batch_size: int,
        sitting: Mapping[str, Any],
    ) -> None:
        """`sitting` says where and with which code the run goes on now."""
        self.config, self.folder, self.device = config, folder, device
        self.windows, self.validation = windows, validation
        self.batch_size = batch_size
        self.sittings: list[Mapping[str, Any]] = []
        self.epochs: list[Epoch] = []
        self._begun: dict[str, Any] | None = None  # an epoch that was cut off
        self._saved_at = time.monotonic()
        self._made_for = {"config": config.hash, "training_set": data_version}
        torch.manual_seed(config.seed)
        self.model = build_model(config.model).to(device)
        self.objective = Objective(self.model.encoding, config.loss_weights).to(device)
        self.measures = Measures(self.model.encoding).to(device)
        self.optimizer = AdamW(
            self.model.parameters(), lr=config.lr, weight_decay=config.weight_decay
        )
        self.schedule = CosineAnnealingLR(self.optimizer, T_max=config.epochs)
        if folder.resume.exists():
            self._restore()
        self.sittings.append({"from_epoch": len(self.epochs) + 1, **sitting})

    def one_epoch(self, progress: Progress) -> Epoch:
        """Train over all windows once, then measure on the validation games."""
        number, started = len(self.epochs) + 1, time.monotonic()
        tally = self._tally(f"epoch {number}")
        skip, spent = 0, 0.0
        if self._begun is not None:
            tally.restore(self._begun["tally"])
            skip, spent = self._begun["step"], self._begun["seconds"]
            self._begun = None
        order = self.config.seed * 1_000_003 + number
        label = f"{self.config.experiment}: epoch {number} of {self.config.epochs}"
        with progress.task(label, len(self.windows), "windows") as advance:
            advance(skip * self.batch_size)
            for step, batch in enumerate(
                self.windows.batches(self.batch_size, order, skip), skip + 1
            ):
                self._step(batch, tally)
                advance(len(batch.available))
                if time.monotonic() - self._saved_at > SECONDS_BETWEEN_SAVES:
                    seconds = spent + time.monotonic() - started
                    self.save({"step": step, "tally": tally.state(), "seconds": seconds})
        seconds = spent + time.monotonic() - started
        row: Epoch = {"epoch": number, **tally.means()}
        if self.validation is not None:
            means = self._validate(progress)
            row |= {f"validation_{name}": value for name, value in means.items()}
        row |= {
            "lr": float(self.schedule.get_last_lr()[0]),
            "seconds": round(seconds, 3),
            "samples_per_second": round(len(self.windows) / seconds, 1),
        }
        self.schedule.step()
        self.epochs.append(row)
        return row

    def _step(self, batch: Batch, tally: Tally) -> None:
        self.model.train()
        on_device = batch.to(self.device)
        frames = self.model.decoder(on_device.frames, on_device.available)
        prediction = self.model(frames)
        loss = tally.add(prediction, targets_of(self.model.slots, frames, prediction.steps))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.grad_clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip)
        self.optimizer.step()

    def _tally(self, where: str) -> Tally:
        return Tally(self.objective, self.measures, where)

    def _validate(self, progress: Progress) -> dict[str, float | None]:
        assert self.validation is not None
        label = f"{self.config.experiment}: validate"
        with progress.task(label, len(self.validation), "windows") as advance:
            return measure(
                self.model, self._tally(label), self.validation, self.batch_size, advance
            )

    def save(self, begun: dict[str, Any] | None = None) -> None:
        """Save all that going on needs; `begun` describes an epoch that is under way."""
        state = {
            "made_for": self._made_for,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "epochs": self.epochs,
            "begun": begun,
            "sittings": self.sittings,
            "random": random_state(self.device),
        }
        with atomic_file(self.folder.resume) as temporary:
            torch.save(state, temporary)
        self._saved_at = time.monotonic()

    def _restore(self) -> None:
        state = read_torch(self.folder.resume, "a run that was cut off; delete it to start over")
        if state["made_for"] != self._made_for:
            raise SchemaMismatchError(
                f"{self.folder.resume} (delete it to start over)",
                self._made_for,
                dict(state["made_for"]),
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.epochs, self._begun = state["epochs"], state["begun"]
        self.sittings = state["sittings"]
        set_random_state(state["random"], self.device)
