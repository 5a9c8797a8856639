"""Random predictions and the truth beside them, for losses and measures."""

from __future__ import annotations

import torch

from melee_pipeline.models.prediction import PredictedSlots, Prediction
from melee_pipeline.schema.encoding import Encoding
from melee_pipeline.schema.field import Predict
from melee_pipeline.tensors.decode import Decoded
from melee_pipeline.training.losses import Targets, targets_of
from melee_pipeline_tests.models.frames import random_frames

STEPS = 3


def random_prediction(encoding: Encoding, batch: int, seed: int = 0) -> Prediction:
    """Logits and changes for STEPS frames of `batch` windows; they can be differentiated."""
    generator = torch.Generator().manual_seed(seed + 500)

    def numbers(width: int) -> torch.Tensor:
        shape = (batch, STEPS, 2, width)
        return torch.randn(shape, generator=generator).requires_grad_()

    return Prediction(
        numbers(len(encoding.predicted(Predict.DELTA))),
        numbers(len(encoding.predicted(Predict.VALUE))),
        {s.name: numbers(s.vocabulary.size) for s in encoding.predicted(Predict.CLASS)},
    )


def random_pair(
    encoding: Encoding, batch: int = 5, seed: int = 0, recorded: float = 1.0
) -> tuple[Decoded, Prediction, Targets]:
    """Windows, a prediction of their last STEPS frames, and its truth.

    A share of the actions stay what they were, as in a game.
    """
    frames = random_frames(encoding, batch, STEPS + 2, seed, recorded)
    generator = torch.Generator().manual_seed(seed + 900)
    action = frames.category["action_state"]
    for t in range(1, action.shape[1]):
        stays = torch.rand(action[:, t].shape, generator=generator) < 0.5
        action[:, t] = torch.where(stays, action[:, t - 1], action[:, t])
    prediction = random_prediction(encoding, batch, seed)
    return frames, prediction, targets_of(PredictedSlots(encoding), frames, STEPS)
