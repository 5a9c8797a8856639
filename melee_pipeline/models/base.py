"""What a world model is, and how its prediction becomes the next frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import torch
from torch import Tensor, nn

from melee_pipeline.models.prediction import PredictedSlots, Prediction
from melee_pipeline.schema.encoding import Encoding
from melee_pipeline.tensors.decode import Decoded, Decoder


class WorldModel(nn.Module, ABC):
    """Predicts the last frames of a window, each from what came before it.

    `forward` is given the whole window, targets included, as its controllers may be read: row t's
    controller makes row t's state, so an input-conditioned encoding feeds it. The *state* of a
    frame must never reach that frame's prediction.
    """

    supervised = 1  # S, the frames of a training window that are predicted

    def __init__(self, encoding: Encoding, context: int) -> None:
        super().__init__()
        self.encoding = encoding
        self.context = context
        self.decoder = Decoder(encoding)
        self.slots = PredictedSlots(encoding)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.parameters()).device

    @property
    @abstractmethod
    def input_width(self) -> int:
        """Numbers that enter the first layer for one prediction."""

    @abstractmethod
    def forward(self, frames: Decoded) -> Prediction:
        """`frames`: context + 1 of them. Predicts the last S; each model has its own S ≥ 1."""


@torch.no_grad()
def advance(
    slots: PredictedSlots, last: Decoded, prediction: Prediction, control: Tensor
) -> Decoded:
    """The frame that follows `last`, as predicted.

    `last`: one frame, (B, 1, …); `prediction`: of a window whose last frame is the one after it,
    any S; `control`: that frame's controllers, (B, 1, P, 13). Flags and classes take their
    likeliest value. State slots that the encoding does not predict (v2's velocities, state_age,
    hitlag, stocks, character) keep their last value, and so do what the frame shares and what the
    game's replay does not record: a model has only ever seen zeros there.
    """
    prediction = prediction.last()
    change = prediction.delta * _recorded(last, slots.delta_names)
    continuous = last.continuous.index_add(-1, slots.delta, change * slots.unit)
    flags = (prediction.value > 0) * _recorded(last, slots.value_names)
    binary = last.binary.index_copy(-1, slots.value, flags)
    likeliest = {
        name: torch.where(
            last.available[name][:, None, None],
            prediction.classes[name].argmax(-1),
            last.category[name],
        )
        for name in slots.classes
    }
    category = last.category | likeliest
    return replace(
        last,
        continuous=continuous,
        change=change,
        binary=binary,
        control=control,
        category=category,
    )


def _recorded(frames: Decoded, names: tuple[str, ...]) -> Tensor:
    """(B, 1, 1, len(names)) float32, 1 where the game records the slot."""
    return torch.stack([frames.available[name] for name in names], -1)[:, None, None].float()


def append(frames: Decoded, frame: Decoded) -> Decoded:
    """Windows with one more frame at their end: (B, T, …) and (B, 1, …) -> (B, T + 1, …)."""
    return Decoded(
        torch.cat([frames.continuous, frame.continuous], 1),
        torch.cat([frames.change, frame.change], 1),
        torch.cat([frames.binary, frame.binary], 1),
        torch.cat([frames.control, frame.control], 1),
        {name: torch.cat([ids, frame.category[name]], 1) for name, ids in frames.category.items()},
        {name: torch.cat([ids, frame.shared[name]], 1) for name, ids in frames.shared.items()},
        frames.available,
        frames.masks,
    )
