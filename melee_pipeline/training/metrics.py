"""What people read off a run: accuracies and errors in game units, beside the loss.

action_accuracy         share of players' frames whose action state is predicted
action_change_accuracy  the same, only where the action differs from the frame before
position_mae            mean |error| over x and y of both players, game units
damage_mae              mean |error| of percent
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from melee_pipeline.errors import TrainingError
from melee_pipeline.models.prediction import Prediction
from melee_pipeline.schema.encoding import Encoding
from melee_pipeline.schema.field import Predict
from melee_pipeline.training.losses import Objective, Targets, masked_sum, recorded

ACTION, DAMAGE, POSITION = "action_state", "percent", ("x", "y")
MEASURES = ("action_accuracy", "action_change_accuracy", "position_mae", "damage_mae")


class Measures(nn.Module):
    """The measures of one encoding, as sums and counts that add up over batches."""

    units: Tensor

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        deltas = encoding.predicted(Predict.DELTA)
        self.names = [slot.name for slot in deltas]
        self.position = [self.names.index(name) for name in POSITION]
        self.damage = [self.names.index(DAMAGE)]
        units = torch.tensor([slot.use.unit for slot in deltas])
        self.register_buffer("units", units, persistent=False)

    @torch.no_grad()
    def forward(self, prediction: Prediction, targets: Targets) -> tuple[Tensor, Tensor]:
        """Sums and counts of MEASURES, both (4,) float32."""
        action = targets.classes[ACTION]
        hit = (prediction.classes[ACTION].argmax(-1) == action).float()
        known = recorded(targets, [ACTION]).squeeze(-1).expand_as(hit)
        changed = known * (action != targets.previous[ACTION])
        error = (prediction.delta - targets.delta).abs() * self.units
        pairs = [
            masked_sum(hit, known),
            masked_sum(hit, changed),
            self._error(error, self.position, targets),
            self._error(error, self.damage, targets),
        ]
        sums, counts = zip(*pairs, strict=True)
        return torch.stack(sums), torch.stack(counts)

    def _error(self, error: Tensor, which: list[int], targets: Targets) -> tuple[Tensor, Tensor]:
        names = [self.names[i] for i in which]
        return masked_sum(error[..., which], recorded(targets, names))


class Tally:
    """Adds up the loss and the measures of many batches.

    Numbers stay on the device and are fetched once in a while, so that a step waits for nothing.
    """

    EVERY = 50  # batches between two fetches: how late a loss that is not finite is noticed

    def __init__(self, objective: Objective, measures: Measures, where: str) -> None:
        self.objective, self.measures, self.where = objective, measures, where
        self.names = [*(f"loss_{part}" for part in objective.parts), *MEASURES]
        self.sums = torch.zeros(len(self.names), dtype=torch.float64)
        self.counts = torch.zeros(len(self.names), dtype=torch.float64)
        self.steps = 0
        self._pending: list[Tensor] = []  # each (2, names), float32

    def add(self, prediction: Prediction, targets: Targets) -> Tensor:
        """Count a batch; returns its loss, a scalar that can be differentiated."""
        sums, counts = self.objective(prediction, targets)
        more_sums, more_counts = self.measures(prediction, targets)
        loss: Tensor = self.objective.total(sums, counts)
        numbers = [torch.cat([sums.detach(), more_sums]), torch.cat([counts, more_counts])]
        self._pending.append(torch.stack(numbers))
        if len(self._pending) >= self.EVERY:
            self._fetch()
        return loss

    def _fetch(self) -> None:
        if not self._pending:
            return
        numbers = torch.stack(self._pending).cpu().double()  # (batches, 2, names)
        self._pending.clear()
        if not numbers.isfinite().all():
            step, _, column = (~numbers.isfinite()).nonzero()[0].tolist()
            raise TrainingError(
                f"{self.where}, step {self.steps + step + 1}: {self.names[column]} is not finite; "
                "lower lr, or set grad_clip"
            )
        self.steps += len(numbers)
        self.sums += numbers[:, 0].sum(0)
        self.counts += numbers[:, 1].sum(0)

    @property
    def note(self) -> str:
        """The loss so far, for a progress bar; empty until numbers were fetched."""
        return f"loss {self._loss():.3f}" if self.steps else ""

    def _loss(self) -> float:
        parts = len(self.objective.parts)
        weights = self.objective.weights.cpu().double()
        return float((weights * self.sums[:parts] / self.counts[:parts].clamp(min=1)).sum())

    def means(self) -> dict[str, float | None]:
        """`loss` (the weighted total), its parts and the measures; None where nothing counted."""
        self._fetch()
        means = {
            name: (total / count if count else None)
            for name, total, count in zip(
                self.names, self.sums.tolist(), self.counts.tolist(), strict=True
            )
        }
        return {"loss": self._loss(), **means}

    def state(self) -> dict[str, Any]:
        """What a tally that goes on later needs: the numbers so far."""
        self._fetch()
        return {"sums": self.sums, "counts": self.counts, "steps": self.steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.sums, self.counts = state["sums"].clone(), state["counts"].clone()
        self.steps = state["steps"]
