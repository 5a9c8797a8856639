"""What needs no training: copying the last frame, and going on at constant velocity.

They are world models like any other, so that every measure and the rollout treat them alike.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from melee_pipeline.models.base import WorldModel
from melee_pipeline.models.prediction import Prediction
from melee_pipeline.schema.encoding import Encoding
from melee_pipeline.schema.field import Predict
from melee_pipeline.tensors.decode import Decoded
from melee_pipeline.training.metrics import POSITION

_SURE = 20.0  # a logit that stands for certainty


class CopyLast(WorldModel):
    """Everything stays as it was on the frame before."""

    def __init__(self, encoding: Encoding, context: int) -> None:
        super().__init__(encoding, context)
        self.sizes = {s.name: s.vocabulary.size for s in encoding.predicted(Predict.CLASS)}

    @property
    def input_width(self) -> int:
        """One frame."""
        return self.encoding.per_frame

    @property
    def device(self) -> torch.device:
        """Where the model is: it has buffers, but no parameters."""
        return next(self.buffers()).device

    def delta(self, frames: Decoded) -> Tensor:
        """The change that is foretold: (B, 1, P, D)."""
        return torch.zeros_like(frames.change[:, -1:])

    def forward(self, frames: Decoded) -> Prediction:
        """`frames`: (B, at least 2, …); of the last one nothing is read."""
        last = frames.frames(-2, -1)
        value = (last.binary.index_select(-1, self.slots.value) * 2 - 1) * _SURE
        classes = {
            name: functional.one_hot(last.category[name], size).float() * _SURE
            for name, size in self.sizes.items()
        }
        return Prediction(self.delta(frames), value, classes)


class ConstantVelocity(CopyLast):
    """Positions change by as much as on the frame before; all else stays."""

    moving: Tensor  # (D,) 1 for positions, else 0

    def __init__(self, encoding: Encoding, context: int) -> None:
        super().__init__(encoding, context)
        names = [slot.name for slot in encoding.predicted(Predict.DELTA)]
        moving = torch.tensor([float(name in POSITION) for name in names])
        self.register_buffer("moving", moving, persistent=False)

    def delta(self, frames: Decoded) -> Tensor:
        """The change over the context's last two frames, of positions only."""
        return frames.change[:, -2:-1] * self.moving


BASELINES = {"copy last frame": CopyLast, "constant velocity": ConstantVelocity}
