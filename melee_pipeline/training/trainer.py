"""A run in progress: model, optimizer and numbers, one epoch at a time, saved as it goes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.optim import AdamW
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from melee_pipeline.errors import SchemaMismatchError
from melee_pipeline.models.base import WorldModel
from melee_pipeline.models.world import build_model
from melee_pipeline.progress import Progress
from melee_pipeline.store import atomic_file
from melee_pipeline.tensors.windows import Batch, OpenGames, Windows
from melee_pipeline.training.checkpoint import read_torch
from melee_pipeline.training.config import MOST_SEED, TrainConfig
from melee_pipeline.training.device import precise, random_state, set_random_state
from melee_pipeline.training.interrupt import Interrupt
from melee_pipeline.training.losses import Objective, targets_of
from melee_pipeline.training.measure import measure, measured_windows, training_windows
from melee_pipeline.training.metrics import Measures, Tally
from melee_pipeline.training.run import Epoch, RunFolder
from melee_pipeline.training.schedule import learning_rate

_LOG = logging.getLogger(__name__)
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
        games: OpenGames,
        validation: OpenGames | None,
        device: torch.device,
        data_version: str,
        batch_size: int,
        sitting: Mapping[str, Any],
        interrupt: Interrupt | None = None,
    ) -> None:
        """`sitting` says where and with which code the run goes on now."""
        self.config, self.folder, self.device = config, folder, device
        self.games, self.batch_size = games, batch_size
        self.interrupt = interrupt or Interrupt()
        self.sittings: list[Mapping[str, Any]] = []
        self.epochs: list[Epoch] = []
        self.steps = 0  # of all epochs
        self._begun: dict[str, Any] | None = None  # an epoch that was cut off
        self._saved_at = time.monotonic()
        self._made_for = {"config": config.hash, "training_set": data_version}
        torch.manual_seed(config.seed)
        self.model = build_model(config.model).to(device)
        self._forward = torch.compile(self.model) if config.compile else self.model
        self._average = _average_of(self.model, config.ema)
        self.objective = Objective(self.model.encoding, config.loss_weights).to(device)
        self.measures = Measures(self.model.encoding).to(device)
        self.optimizer = AdamW(
            self.model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
        self.validation = measured_windows(self.model, validation) if validation else None
        if folder.resume.exists():
            self._restore()
        self.sittings.append({"from_epoch": len(self.epochs) + 1, **sitting})

    @property
    def best_model(self) -> WorldModel:
        """What is measured and kept: the averaged weights where there are some."""
        averaged = self._average and self._average.module
        return averaged if isinstance(averaged, WorldModel) else self.model

    def epoch_windows(self, order: int) -> Windows:
        """The windows of an epoch. Those that predict many frames begin elsewhere each time."""
        spare = int(self.games.lengths.max()) - self.model.context
        generator = torch.Generator().manual_seed(order)
        most = max(1, min(self.model.supervised, spare))
        offset = int(torch.randint(most, (1,), generator=generator))
        return training_windows(self.model, self.games, offset)

    def one_epoch(self, progress: Progress) -> Epoch:
        """Train over all windows once, then measure on the validation games.

        `seconds` of the row are those of training alone, over all sittings.
        """
        number, started = len(self.epochs) + 1, time.monotonic()
        tally = self._tally(f"epoch {number}")
        step, spent = 0, 0.0
        seconds: float | None = None  # of training, once it has ended
        if self._begun is not None:
            tally.restore(self._begun["tally"])
            step, spent = self._begun["step"], self._begun["seconds"]
            self._begun = None

        def pause() -> None:
            """Save where a run may be cut off, and end it where that was asked for."""
            late = time.monotonic() - self._saved_at > SECONDS_BETWEEN_SAVES
            if late or self.interrupt.requested:
                so_far = spent + time.monotonic() - started if seconds is None else seconds
                self.save({"step": step, "tally": tally.state(), "seconds": so_far})
            if self.interrupt.requested:
                _LOG.warning("%s: saved; the same command goes on from here", self.folder.path.name)
                self.interrupt.let_go()

        order = (self.config.seed * 1_000_003 + number) % (MOST_SEED + 1)
        windows = self.epoch_windows(order)
        label = f"{self.config.experiment}: epoch {number} of {self.config.epochs}"
        if len(self.sittings) > 1 and self.sittings[-1]["from_epoch"] == number:
            label += ", going on where the run was cut off"
        with progress.task(label, len(windows), "windows") as advance:
            advance(step * self.batch_size)
            for batch in windows.batches(self.batch_size, order, step):
                self._step(batch, tally)
                step += 1
                rate = (step * self.batch_size * windows.count) / (
                    spent + time.monotonic() - started
                )
                advance(len(batch.available), f"{tally.note}, {rate:,.0f} frames/s")
                pause()
        seconds = spent + time.monotonic() - started
        row: Epoch = {"epoch": number, **tally.means()}
        row |= self._validate(progress, pause)
        row |= {
            "lr": learning_rate(self.config, number - 1, self.steps),
            "seconds": round(seconds, 3),
            "samples_per_second": round(windows.frames / seconds, 1),
        }
        self.epochs.append(row)
        return row

    def _step(self, batch: Batch, tally: Tally) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, len(self.epochs), self.steps)
        self.model.train()
        on_device = batch.to(self.device)
        frames = self.model.decoder(on_device.frames, on_device.available)
        with precise(self.config.precision, self.device):
            prediction = self._forward(frames).float()
        loss = tally.add(prediction, targets_of(self.model.slots, frames, prediction.steps))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.grad_clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip)
        self.optimizer.step()
        self.steps += 1
        if self._average:
            self._average.update_parameters(self.model)

    def _tally(self, where: str) -> Tally:
        return Tally(self.objective, self.measures, where)

    def _validate(self, progress: Progress, pause: Callable[[], None]) -> Epoch:
        if self.validation is None:
            return {}
        label = f"{self.config.experiment}: validate"
        with progress.task(label, len(self.validation), "windows") as advance:

            def go_on(count: int) -> None:
                advance(count)
                pause()

            means = measure(
                self.best_model, self._tally(label), self.validation, self.batch_size, go_on
            )
        return {f"validation_{name}": value for name, value in means.items()}

    def save(self, begun: dict[str, Any] | None = None) -> None:
        """Save all that going on needs; `begun` describes an epoch that is under way."""
        state = {
            "made_for": self._made_for,
            "model": self.model.state_dict(),
            "average": self._average.state_dict() if self._average else None,
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps,
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
        if self._average:
            self._average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps = state["steps"]
        self.epochs, self._begun = state["epochs"], state["begun"]
        self.sittings = state["sittings"]
        set_random_state(state["random"], self.device)


def _average_of(model: WorldModel, decay: float | None) -> AveragedModel | None:
    if decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
