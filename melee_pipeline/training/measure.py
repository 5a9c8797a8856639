"""A model's loss and measures over windows that it does not learn from."""

from __future__ import annotations

from collections.abc import Callable

import torch

from melee_pipeline.models.base import WorldModel
from melee_pipeline.tensors.windows import Windows
from melee_pipeline.training.losses import targets_of
from melee_pipeline.training.metrics import Tally


@torch.no_grad()
def measure(
    model: WorldModel,
    tally: Tally,
    windows: Windows,
    batch_size: int,
    advance: Callable[[int], None],
) -> dict[str, float | None]:
    """Means over all `windows`, on the device that the model is on; leaves it in eval mode.

    Only the last frame of each window counts, whatever a model predicts: so every model is held
    against the same frames, each of them once and with a full context before it.
    """
    model.eval()
    device = model.device
    for batch in windows.batches(batch_size, None):
        on_device = batch.to(device)
        frames = model.decoder(on_device.frames, on_device.available)
        tally.add(model(frames).last(), targets_of(model.slots, frames, 1))
        advance(len(batch.available))
    return tally.means()
