"""Frames of random numbers, of the shapes that a decoder gives, and changes to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from melee_pipeline.models.prediction import Prediction
from melee_pipeline.schema.encoding import PLAYERS, Encoding
from melee_pipeline.tensors.decode import Decoded, Decoder


def random_frames(
    encoding: Encoding, batch: int, time: int, seed: int = 0, recorded: float = 1.0
) -> Decoded:
    """Windows (batch, time, …); a share `recorded` of the mask's entries is set."""
    generator = torch.Generator().manual_seed(seed)

    def ids(size: int, *shape: int) -> Tensor:
        return torch.randint(0, size, (batch, time, *shape), generator=generator)

    def numbers(count: int) -> Tensor:
        return torch.randn(batch, time, PLAYERS, count, generator=generator)

    def flags(count: int) -> Tensor:
        return (numbers(count) > 0).float()

    continuous = numbers(len(encoding.continuous))
    return Decoded(
        continuous,
        Decoder(encoding).change(continuous),
        flags(len(encoding.binary)),
        numbers(len(encoding.control)),
        {s.name: ids(s.vocabulary.size, PLAYERS) for s in encoding.category},
        {s.name: ids(s.vocabulary.size) for s in encoding.shared},
        {s.name: torch.rand(batch, generator=generator) < recorded for s in encoding.slots},
        (torch.rand(batch, len(encoding.masks), generator=generator) < recorded).float(),
    )


def changed_states(frames: Decoded, at: int) -> Iterator[tuple[str, Decoded]]:
    """The frames with one part of the state of frame `at` changed, part by part.

    Of the changes, only where a model is fed them.
    """
    fed = ("change",) if frames.masks.shape[1] else ()
    for name in ("continuous", "binary", *fed):
        part = getattr(frames, name).clone()
        part[:, at] = 1 - part[:, at]
        yield name, replace(frames, **{name: part})
    for name, ids in frames.category.items():
        yield name, replace(frames, category=frames.category | {name: moved(ids, at)})
    for name, ids in frames.shared.items():
        yield name, replace(frames, shared=frames.shared | {name: moved(ids, at)})


def moved(ids: Tensor, at: int) -> Tensor:
    """Other ids of the vocabulary on frame `at`."""
    changed = ids.clone()
    changed[:, at] = (changed[:, at] + 1) % 4
    return changed


def outputs(prediction: Prediction) -> list[Tensor]:
    """All tensors of a prediction, each (B, S, …)."""
    return [prediction.delta, prediction.value, *prediction.classes.values()]
