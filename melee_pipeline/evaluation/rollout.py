"""Rollouts: a model runs on its own outputs, given only the controllers that were recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from melee_pipeline.errors import ArtefactError
from melee_pipeline.models.base import WorldModel, advance, append
from melee_pipeline.tensors.decode import Decoded, places
from melee_pipeline.tensors.windows import OpenGames, Windows
from melee_pipeline.training.measure import FIRST
from melee_pipeline.training.metrics import ACTION, POSITION

HORIZON = 20  # frames, a third of a second
STARTS = 300


@dataclass(frozen=True, slots=True)
class Rollout:
    """Where a model went, and where the players really were. H = horizon."""

    positions: Tensor  # (B, H, P, 2) game units, as foretold
    truth: Tensor  # (B, H, P, 2)
    actions: Tensor  # (B, H, P) bool: the action state is right

    @property
    def position_error(self) -> Tensor:
        """Mean distance between foretold and true position at each horizon: (H,) game units."""
        distance: Tensor = (self.positions - self.truth).norm(dim=-1)
        return distance.mean((0, 2))

    @property
    def action_accuracy(self) -> Tensor:
        """Share of right action states at each horizon: (H,)."""
        return self.actions.float().mean((0, 2))

    @property
    def error(self) -> float:
        """Mean position error over all horizons, the one number that runs are compared by."""
        return float(self.position_error.mean())


def rollout_windows(games: OpenGames, context: int, horizon: int = HORIZON) -> Windows:
    """Windows of `context` frames and the `horizon` frames that follow them.

    The first of those is frame FIRST or later, whatever the context: all models start alike.
    """
    return Windows(games, context + horizon - 1, first=FIRST + horizon - 1)


def pick_starts(windows: Windows, starts: int = STARTS, seed: int = 0) -> Tensor:
    """Sample numbers to start from, spread evenly at random, the same for every model."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(len(windows), (min(starts, len(windows)),), generator=generator)


@torch.no_grad()
def roll_out(
    model: WorldModel,
    windows: Windows,
    starts: Tensor,
    advance_by: Callable[[int], None],
    horizon: int = HORIZON,
) -> Rollout:
    """Let a model in eval mode play `horizon` frames on from each start.

    `windows`: those of `rollout_windows` for a context of at least the model's. Raises
    ArtefactError when the windows are too short for the model.
    """
    if windows.context + 1 - horizon < model.context:
        raise ArtefactError(
            f"windows of {windows.context + 1} frames leave {windows.context + 1 - horizon} for a "
            f"context of {model.context}"
        )
    batch = windows.batch(starts).to(model.device)
    frames = model.decoder(batch.frames, batch.available)
    truth = frames.frames(-horizon)
    past = frames.frames(-horizon - model.context, -horizon).as_window()
    foretold = []
    for step in range(horizon):
        control = truth.control[:, step : step + 1]
        # The frame to foretell: its controllers are known; its state is the last one's until then.
        last = past.frames(-1)
        prediction = model(append(past, replace(last, control=control)))
        frame = advance(model.slots, last, prediction, control)
        past = append(past.frames(1).as_window(), frame)
        foretold.append(frame)
        advance_by(1)
    positions = torch.cat([_positions(model, frame) for frame in foretold], 1)
    actions = torch.cat([frame.category[ACTION] for frame in foretold], 1)
    return Rollout(positions, _positions(model, truth), actions == truth.category[ACTION])


def _positions(model: WorldModel, frames: Decoded) -> Tensor:
    """(B, T, P, 2) game units."""
    slots = model.encoding.continuous
    xy = tuple(slot for name in POSITION for slot in slots if slot.name == name)
    columns = places(xy, slots).to(frames.continuous.device)
    scales = torch.tensor([slot.use.scale for slot in xy], device=frames.continuous.device)
    return frames.continuous.index_select(-1, columns) / scales
