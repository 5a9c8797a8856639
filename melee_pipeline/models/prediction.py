"""What models foretell: predictions, and which of a player's slots they are about."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from melee_pipeline.schema.encoding import Encoding
from melee_pipeline.schema.field import Predict
from melee_pipeline.tensors.decode import places


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of the last S frames of a window, each from what came before it."""

    delta: Tensor  # (B, S, P, D) change since the frame before, in Use.unit; predicted(DELTA)
    value: Tensor  # (B, S, P, N) logits of being 1; predicted(Predict.VALUE)
    classes: dict[str, Tensor]  # name -> (B, S, P, V) logits; predicted(Predict.CLASS)

    @property
    def steps(self) -> int:
        """S, the number of frames predicted."""
        return self.delta.shape[1]

    def float(self) -> Prediction:
        """The same as float32, in which losses are computed."""
        classes = {name: logits.float() for name, logits in self.classes.items()}
        return Prediction(self.delta.float(), self.value.float(), classes)

    def last(self, count: int = 1) -> Prediction:
        """The prediction of the window's last frames alone, S = count."""
        classes = {name: logits[:, -count:] for name, logits in self.classes.items()}
        return Prediction(self.delta[:, -count:], self.value[:, -count:], classes)


class PredictedSlots(nn.Module):
    """Which of a player's slots an encoding predicts, as places in `Decoded`'s last axes."""

    delta: Tensor  # (D,) int64, in Encoding.continuous
    unit: Tensor  # (D,) a predicted change of 1, as the model is fed it
    value: Tensor  # (N,) int64, in Encoding.binary

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        deltas = encoding.predicted(Predict.DELTA)
        values = encoding.predicted(Predict.VALUE)
        self.register_buffer("delta", places(deltas, encoding.continuous), persistent=False)
        units = torch.tensor([slot.use.fed_unit for slot in deltas])
        self.register_buffer("unit", units, persistent=False)
        self.register_buffer("value", places(values, encoding.binary), persistent=False)
        self.delta_names = tuple(slot.name for slot in deltas)
        self.value_names = tuple(slot.name for slot in values)
        self.classes = tuple(slot.name for slot in encoding.predicted(Predict.CLASS))
