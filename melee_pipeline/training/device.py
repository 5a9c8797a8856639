"""Where a model runs."""

from __future__ import annotations

import torch

from melee_pipeline.errors import ConfigError


def pick_device(name: str) -> torch.device:
    """The device called `name`; `auto` takes CUDA, else MPS, else the CPU.

    Raises ConfigError when this machine or this build of torch does not have it.
    """
    has = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, there in has.items() if there))
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device {name!r} is unknown; expected auto, cpu, cuda or mps") from error
    if not has.get(device.type, False):
        there = ", ".join(kind for kind, found in has.items() if found)
        raise ConfigError(f"device {name!r} is not to be had here; there is {there}")
    return device
