"""A model's loss and measures over frames that it does not learn from."""

from __future__ import annotations

from collections.abc import Callable

import torch

from melee_pipeline.models.base import WorldModel
from melee_pipeline.tensors.windows import OpenGames, Windows
from melee_pipeline.training.losses import targets_of
from melee_pipeline.training.metrics import Tally

FIRST = 120  # frame of a game, in its countdown: whatever their contexts, up to this, all models
# are measured on the same frames


def training_windows(model: WorldModel, games: OpenGames, offset: int = 0) -> Windows:
    """The windows of one epoch: `context` + 1 frames, of which the model predicts its last ones.

    `offset` moves them, so that a window of many predicted frames starts elsewhere each epoch.
    """
    read = model.context + 1 - model.supervised
    return Windows(games, read, model.supervised, read + offset)


def measured_windows(model: WorldModel, games: OpenGames) -> Windows:
    """Windows that predict every frame once, each with at least the model's context before it."""
    return Windows(games, model.context, model.supervised, FIRST)


@torch.no_grad()
def measure(
    model: WorldModel,
    tally: Tally,
    windows: Windows,
    batch_size: int,
    advance: Callable[[int], None],
) -> dict[str, float | None]:
    """Means over all frames that `windows` predict, on the model's device, in eval mode."""
    model.eval()
    for batch in windows.batches(batch_size, None):
        on_device = batch.to(model.device)
        frames = model.decoder(on_device.frames, on_device.available)
        truth = targets_of(model.slots, frames, windows.count, on_device.new)
        tally.add(model(frames).last(windows.count), truth)
        advance(len(batch.available))
    return tally.means()
