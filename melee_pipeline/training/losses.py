"""Losses: of changes, BCE on flags, cross-entropy on each predicted category.

Changes in the unit of the input are squared (MSE, v1 and v2). Errors of changes in steps count
linearly: a respawn must not outweigh a thousand frames, and where most likely nothing changes, the
best answer is nothing at all, not a little of everything.

A game that does not record a field adds nothing to that field's loss: means run over what is
recorded, and where nothing is, the loss is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from melee_pipeline.models.prediction import PredictedSlots, Prediction
from melee_pipeline.schema.encoding import Encoding
from melee_pipeline.schema.field import Predict
from melee_pipeline.tensors.decode import Decoded
from melee_pipeline.training.config import loss_parts


@dataclass(frozen=True, slots=True)
class Targets:
    """The truth that a prediction of a window's last S frames is held against."""

    delta: Tensor  # (B, S, P, D) in Use.unit
    value: Tensor  # (B, S, P, N) 0 or 1
    classes: dict[str, Tensor]  # name -> (B, S, P) ids
    previous: dict[str, Tensor]  # name -> (B, S, P) ids one frame earlier
    recorded: dict[str, Tensor]  # slot name -> (B,) bool
    counted: Tensor | None  # (B, S) bool, the frames that count; None: all


def targets_of(
    slots: PredictedSlots, frames: Decoded, steps: int, new: Tensor | None = None
) -> Targets:
    """The truth for the last `steps` frames of windows (B, T, …).

    `new`: (B,) how many of them count, from the end; None: all.
    """
    truth, before = frames.frames(-steps), frames.frames(-steps - 1, -1)
    return Targets(
        truth.change,
        truth.binary.index_select(-1, slots.value),
        {name: truth.category[name] for name in slots.classes},
        {name: before.category[name] for name in slots.classes},
        frames.available,
        None if new is None else torch.arange(steps, 0, -1, device=new.device) <= new[:, None],
    )


class Objective(nn.Module):
    """The loss of an encoding: its parts as sums and counts, and their weighted total."""

    weights: Tensor

    def __init__(self, encoding: Encoding, weights: Mapping[str, float]) -> None:
        """`weights`: one for each of training.config.loss_parts."""
        super().__init__()
        self.parts = loss_parts(encoding.version)
        in_steps = any(slot.use.step for slot in encoding.predicted(Predict.DELTA))
        self.change_loss = _in_steps if in_steps else functional.mse_loss
        self.delta_names = [slot.name for slot in encoding.predicted(Predict.DELTA)]
        self.value_names = [slot.name for slot in encoding.predicted(Predict.VALUE)]
        ordered = torch.tensor([weights[part] for part in self.parts])
        self.register_buffer("weights", ordered, persistent=False)

    def forward(self, prediction: Prediction, targets: Targets) -> tuple[Tensor, Tensor]:
        """Sums and counts of each part over what is recorded, both (parts,) float32."""
        pairs = [
            masked_sum(
                self.change_loss(prediction.delta, targets.delta, reduction="none"),
                recorded(targets, self.delta_names),
            ),
            masked_sum(
                functional.binary_cross_entropy_with_logits(
                    prediction.value, targets.value, reduction="none"
                ),
                recorded(targets, self.value_names),
            ),
        ]
        for name, logits in prediction.classes.items():
            entropy = functional.cross_entropy(
                logits.flatten(0, -2), targets.classes[name].flatten(), reduction="none"
            )
            per_slot = entropy.view(*logits.shape[:-1], 1)
            pairs.append(masked_sum(per_slot, recorded(targets, [name])))
        sums, counts = zip(*pairs, strict=True)
        return torch.stack(sums), torch.stack(counts)

    def total(self, sums: Tensor, counts: Tensor) -> Tensor:
        """The weighted sum of the parts' means, a scalar."""
        return (self.weights * sums / counts.clamp(min=1)).sum()


SMALL = 0.1  # steps: errors up to it are squared, so that there is a slope at 0


def _in_steps(prediction: Tensor, truth: Tensor, reduction: str) -> Tensor:
    return functional.smooth_l1_loss(prediction, truth, reduction=reduction, beta=SMALL)


def recorded(targets: Targets, names: list[str]) -> Tensor:
    """What of these slots is recorded and counts: (B, S or 1, 1, len(names)) float32."""
    mask = torch.stack([targets.recorded[name] for name in names], -1)[:, None, None, :]
    return (mask if targets.counted is None else mask & targets.counted[..., None, None]).float()


def masked_sum(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the values that the mask keeps, and their number; the mask is broadcast."""
    return (values * mask).sum(), mask.expand_as(values).sum()
