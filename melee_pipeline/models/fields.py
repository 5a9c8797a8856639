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

    delta: Tensor  # (B, S, P, D) change since the frame before, scaled; predicted(Predict.DELTA)
    value: Tensor  # (B, S, P, N) logits of being 1; predicted(Predict.VALUE)
    classes: dict[str, Tensor]  # name -> (B, S, P, V) logits; predicted(Predict.CLASS)

    @property
    def steps(self) -> int:
        """S, the number of frames predicted."""
        return self.delta.shape[1]

    def last(self) -> Prediction:
        """The prediction of the window's last frame alone, S = 1."""
        classes = {name: logits[:, -1:] for name, logits in self.classes.items()}
        return Prediction(self.delta[:, -1:], self.value[:, -1:], classes)


class FrameInput(nn.Module):
    """Decoded frames to input vectors, in the layout that schema.encoding states.

    Both players share the embedding of a category.
    """

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        self.width = encoding.per_frame
        self.category = nn.ModuleDict({s.name: _embedding(s) for s in encoding.category})
        self.shared = nn.ModuleDict({s.name: _embedding(s) for s in encoding.shared})

    def forward(self, frames: Decoded) -> Tensor:
        """(B, T, per_frame) float32."""
        embedded = [embed(frames.category[name]) for name, embed in self.category.items()]
        player = [frames.continuous, frames.binary, frames.control, *embedded]
        both = torch.cat(player, dim=-1).flatten(-2)  # (B, T, P × per_player)
        shared = [embed(frames.shared[name]) for name, embed in self.shared.items()]
        return torch.cat([both, *shared], dim=-1) if shared else both


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
