"""FrameStackMLP: the frames of the context side by side, through a few layers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from melee_pipeline.models.base import WorldModel
from melee_pipeline.models.fields import FrameInput, Heads
from melee_pipeline.models.prediction import Prediction
from melee_pipeline.schema.encoding import Encoding
from melee_pipeline.tensors.decode import Decoded


class FrameStackMLP(WorldModel):
    """Predicts the last frame of a window (S = 1) from the `context` frames before it."""

    def __init__(
        self,
        encoding: Encoding,
        context: int,
        hidden: Sequence[int] = (512, 256),
        dropout: float = 0.1,
    ) -> None:
        super().__init__(encoding, context)
        self.frame_input = FrameInput(encoding)
        layers: list[nn.Module] = []
        width = self.input_width
        for wider in hidden:
            layers += [nn.Linear(width, wider), nn.ReLU(), nn.Dropout(dropout)]
            width = wider
        self.trunk = nn.Sequential(*layers)
        self.heads = Heads(encoding, width)

    @property
    def input_width(self) -> int:
        """All frames of the context side by side."""
        return self.context * self.encoding.per_frame

    def forward(self, frames: Decoded) -> Prediction:
        """`frames`: (B, context + 1, …)."""
        stacked = self.frame_input(frames).flatten(1)  # (B, input)
        prediction: Prediction = self.heads(self.trunk(stacked).unsqueeze(1), frames)
        return prediction
