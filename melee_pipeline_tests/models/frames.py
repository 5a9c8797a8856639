"""Frames of random numbers, of the shapes that a decoder gives."""

from __future__ import annotations

import torch
from torch import Tensor

from melee_pipeline.schema.encoding import PLAYERS, Encoding
from melee_pipeline.tensors.decode import Decoded


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

    return Decoded(
        numbers(len(encoding.continuous)),
        flags(len(encoding.binary)),
        numbers(len(encoding.control)),
        {s.name: ids(s.vocabulary.size, PLAYERS) for s in encoding.category},
        {s.name: ids(s.vocabulary.size) for s in encoding.shared},
        {s.name: torch.rand(batch, generator=generator) < recorded for s in encoding.slots},
    )
