"""What a world model is, and how its prediction becomes the next frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from melee_pipeline.models.fields import Prediction
from melee_pipeline.schema.encoding import Encoding, Slot
from melee_pipeline.schema.field import Predict
from melee_pipeline.tensors.decode import Decoded, Decoder


class WorldModel(nn.Module, ABC):
    """Predicts the last frames of a window, each from what came before it.

    `forward` is given the whole window, targets included, as its controllers may be read: row t's
    controller makes row t's state, so an input-conditioned model knows it. A model must never let
    the *state* of a frame reach that frame's prediction.
    """

    def __init__(self, encoding: Encoding, context: int) -> None:
        super().__init__()
        self.encoding = encoding
        self.context = context
        self.decoder = Decoder(encoding)

    @property
    @abstractmethod
    def input_width(self) -> int:
        """Numbers that enter the first layer for one prediction."""

    @abstractmethod
    def forward(self, frames: Decoded) -> Prediction:
        """`frames`: context + 1 of them. Predicts the last S; each model has its own S ≥ 1."""


@dataclass(frozen=True, slots=True)
class PredictedSlots:
    """Which of a player's slots an encoding predicts, as places in `Decoded`'s last axes."""

    delta: tuple[int, ...]  # in Encoding.continuous
    value: tuple[int, ...]  # in Encoding.binary
    classes: tuple[str, ...]

    @classmethod
    def of(cls, encoding: Encoding) -> PredictedSlots:
        """Read off the encoding."""
        deltas = encoding.predicted(Predict.DELTA)
        values = encoding.predicted(Predict.VALUE)
        return cls(
            places(deltas, encoding.continuous),
            places(values, encoding.binary),
            tuple(slot.name for slot in encoding.predicted(Predict.CLASS)),
        )


def places(some: tuple[Slot, ...], among: tuple[Slot, ...]) -> tuple[int, ...]:
    """Where slots stand among others."""
    names = [slot.name for slot in among]
    return tuple(names.index(slot.name) for slot in some)


@torch.no_grad()
def advance(encoding: Encoding, last: Decoded, prediction: Prediction, control: Tensor) -> Decoded:
    """The frame that follows `last`, as predicted.

    `last`: one frame, (B, 1, …); `prediction`: of the frame after it, S = 1; `control`: that
    frame's controllers, (B, 1, P, 13). Flags and classes take their likeliest value. State slots
    that the encoding does not predict (v2's velocities, state_age, hitlag, stocks, character) keep
    their last value, and so does what the frame shares.
    """
    slots = PredictedSlots.of(encoding)
    continuous, binary, category = last.continuous.clone(), last.binary.clone(), dict(last.category)
    continuous[..., list(slots.delta)] += prediction.delta
    binary[..., list(slots.value)] = (prediction.value > 0).float()
    for name in slots.classes:
        category[name] = prediction.classes[name].argmax(-1)
    return Decoded(continuous, binary, control, category, last.shared, last.available)


def append(frames: Decoded, frame: Decoded) -> Decoded:
    """Windows with one more frame at their end: (B, T, …) and (B, 1, …) -> (B, T + 1, …)."""
    return Decoded(
        torch.cat([frames.continuous, frame.continuous], 1),
        torch.cat([frames.binary, frame.binary], 1),
        torch.cat([frames.control, frame.control], 1),
        {name: torch.cat([ids, frame.category[name]], 1) for name, ids in frames.category.items()},
        {name: torch.cat([ids, frame.shared[name]], 1) for name, ids in frames.shared.items()},
        frames.available,
    )
