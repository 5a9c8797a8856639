"""Embeddings and heads, built from an encoding: the same for every architecture.

P = 2 players; B is the batch, T frames of a window, S target frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from melee_pipeline.models.prediction import PredictedSlots, Prediction
from melee_pipeline.schema.encoding import PLAYERS, Encoding, Slot
from melee_pipeline.schema.field import Predict
from melee_pipeline.tensors.decode import Decoded

FARTHEST = 16.0  # steps: beyond it a change is a jump from place to place, however far


class FrameInput(nn.Module):
    """What predictions are told, one vector a frame, in the layout that schema.encoding states.

    Row i is the state of frame i, for the prediction of frame i + 1. Beside it stand the
    controllers of frame i, or of frame i + 1 where the encoding is conditioned on them: row after
    row a model then has seen them all. Both players share the embedding of a category.
    """

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        self.width, self.scheme = encoding.per_frame, encoding.scheme
        self.category = nn.ModuleDict({s.name: _embedding(s) for s in encoding.category})
        self.shared = nn.ModuleDict({s.name: _embedding(s) for s in encoding.shared})

    def forward(self, frames: Decoded) -> Tensor:
        """(B, T + 1, …) frames, the last one to be predicted -> (B, T, per_frame) float32.

        Told from each player's side it is (P·B, T, per_frame), the first player's B before the
        second's.
        """
        known = frames.frames(0, -1)
        control = frames.control[:, 1:] if self.scheme.conditioned else known.control
        change = [known.change.clamp(-FARTHEST, FARTHEST)] if self.scheme.changes else []
        embedded = [embed(known.category[name]) for name, embed in self.category.items()]
        player = torch.cat([known.continuous, *change, known.binary, control, *embedded], dim=-1)
        once = [embed(known.shared[name]) for name, embed in self.shared.items()]
        if self.scheme.masks:
            once.append(known.masks[:, None].expand(-1, player.shape[1], -1))
        sides = [player.flatten(-2)]  # (B, T, P × per_player)
        if self.scheme.ego:
            sides.append(player.flip(-2).flatten(-2))
        return torch.cat([torch.cat([side, *once], dim=-1) for side in sides])


def _embedding(slot: Slot) -> nn.Embedding:
    return nn.Embedding(slot.vocabulary.size, slot.use.width)


class Persistence(nn.Module):
    """What goes on by itself, so that layers need only learn what makes a difference.

    A class begins with a learned row of logits for what it was (a table of transitions), a flag
    with a learned trust in what it was, a change with a learned share of the change before.
    """

    SURE, LIKELY = 8.0, 3.0  # logits, to begin with, that a class or a flag stays as it is

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        self.slots = PredictedSlots(encoding)
        self.inertia = nn.Parameter(torch.zeros(len(self.slots.delta_names)))
        self.trust = nn.Parameter(torch.full((len(self.slots.value_names),), self.LIKELY))
        self.classes = nn.ModuleDict(
            {
                slot.name: nn.Embedding(
                    slot.vocabulary.size,
                    slot.vocabulary.size,
                    _weight=self.SURE * torch.eye(slot.vocabulary.size),
                )
                for slot in encoding.predicted(Predict.CLASS)
            }
        )

    def forward(self, prediction: Prediction, known: Decoded) -> Prediction:
        """`prediction` and what `known` adds to it, the frames one before those predicted."""
        was = known.binary.index_select(-1, self.slots.value) * 2 - 1
        return Prediction(
            prediction.delta + self.inertia * known.change.clamp(-FARTHEST, FARTHEST),
            prediction.value + self.trust * was,
            {
                name: logits + self.classes[name](known.category[name])
                for name, logits in prediction.classes.items()
            },
        )


class Heads(nn.Module):
    """Features to a prediction: one linear layer a kind, over both players at once.

    Where an encoding tells each player's side, the layers are those of one player.
    """

    def __init__(self, encoding: Encoding, width: int) -> None:
        super().__init__()
        self.ego = encoding.scheme.ego
        players = 1 if self.ego else PLAYERS
        self.delta = nn.Linear(width, players * len(encoding.predicted(Predict.DELTA)))
        self.value = nn.Linear(width, players * len(encoding.predicted(Predict.VALUE)))
        self.classes = nn.ModuleDict(
            {
                slot.name: nn.Linear(width, players * slot.vocabulary.size)
                for slot in encoding.predicted(Predict.CLASS)
            }
        )
        self.persistence = Persistence(encoding) if encoding.scheme.persistent else None

    def forward(self, features: Tensor, frames: Decoded) -> Prediction:
        """`features`: (B, S, width), or (P·B, S, width); `frames`: (B, at least S + 1, …)."""
        steps = features.shape[1]
        prediction = Prediction(
            self._by_player(self.delta(features)),
            self._by_player(self.value(features)),
            {name: self._by_player(head(features)) for name, head in self.classes.items()},
        )
        if self.persistence is None:
            return prediction
        told: Prediction = self.persistence(prediction, frames.frames(-steps - 1, -1))
        return told

    def _by_player(self, out: Tensor) -> Tensor:
        """(B, S, P·N), or (P·B, S, N), to (B, S, P, N)."""
        if self.ego:
            return torch.unflatten(out, 0, (PLAYERS, -1)).movedim(0, 2)
        return torch.unflatten(out, -1, (PLAYERS, -1))
