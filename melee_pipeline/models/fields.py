"""Embeddings and heads, built from an encoding: the same for every architecture.

P = 2 players; B is the batch, T frames of a window, S target frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from melee_pipeline.schema.encoding import PLAYERS, Encoding, Slot
from melee_pipeline.schema.field import Predict
from melee_pipeline.tensors.decode import Decoded


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


class FrameInput(nn.Module):
    """What predictions are told, one vector a frame, in the layout that schema.encoding states.

    Row i is the state of frame i, for the prediction of frame i + 1. Beside it stand the
    controllers of frame i, or of frame i + 1 where the encoding is conditioned on them: row after
    row a model then has seen them all. Both players share the embedding of a category.
    """

    FARTHEST = 16.0  # steps: beyond it a change is a jump from place to place, however far

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        self.width, self.scheme = encoding.per_frame, encoding.scheme
        self.category = nn.ModuleDict({s.name: _embedding(s) for s in encoding.category})
        self.shared = nn.ModuleDict({s.name: _embedding(s) for s in encoding.shared})

    def forward(self, frames: Decoded) -> Tensor:
        """(B, T + 1, …) frames, the last one to be predicted -> (B, T, per_frame) float32."""
        known = frames.frames(0, -1)
        control = frames.control[:, 1:] if self.scheme.conditioned else known.control
        change = [known.change.clamp(-self.FARTHEST, self.FARTHEST)] if self.scheme.changes else []
        embedded = [embed(known.category[name]) for name, embed in self.category.items()]
        player = [known.continuous, *change, known.binary, control, *embedded]
        both = torch.cat(player, dim=-1).flatten(-2)  # (B, T, P × per_player)
        once = [embed(known.shared[name]) for name, embed in self.shared.items()]
        if self.scheme.masks:
            once.append(known.masks[:, None].expand(-1, both.shape[1], -1))
        return torch.cat([both, *once], dim=-1) if once else both


def _embedding(slot: Slot) -> nn.Embedding:
    return nn.Embedding(slot.vocabulary.size, slot.use.width)


class Heads(nn.Module):
    """Features to a prediction: one linear layer a kind, over both players at once."""

    def __init__(self, encoding: Encoding, width: int) -> None:
        super().__init__()
        self.delta = nn.Linear(width, PLAYERS * len(encoding.predicted(Predict.DELTA)))
        self.value = nn.Linear(width, PLAYERS * len(encoding.predicted(Predict.VALUE)))
        self.classes = nn.ModuleDict(
            {
                slot.name: nn.Linear(width, PLAYERS * slot.vocabulary.size)
                for slot in encoding.predicted(Predict.CLASS)
            }
        )

    def forward(self, features: Tensor) -> Prediction:
        """`features`: (B, S, width)."""
        return Prediction(
            self.delta(features).unflatten(-1, (PLAYERS, -1)),
            self.value(features).unflatten(-1, (PLAYERS, -1)),
            {
                name: head(features).unflatten(-1, (PLAYERS, -1))
                for name, head in self.classes.items()
            },
        )
