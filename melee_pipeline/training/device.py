"""Where a model runs, and where the games that it learns from are kept."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from melee_pipeline.errors import ConfigError
from melee_pipeline.tensors.windows import OpenGames

SPARE = 0.25  # of a card's free memory, left to the model, its gradients and the batches


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
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device {name!r} is not to be had here; the cards are cuda:0 to "
            f"cuda:{torch.cuda.device_count() - 1}"
        )
    return device


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The state of every generator that a run on `device` draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_random_state(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Set the generators; of a device that the state was not taken on, nothing is known."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    if device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])


def precise(precision: str, device: torch.device) -> torch.autocast:
    """Layers inside this context multiply in `precision`; what they add to stays float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def fits(needed: int, free: int) -> bool:
    """Whether games of `needed` bytes may live in a memory that has `free` bytes left."""
    return needed <= (1 - SPARE) * free


def settle(games: OpenGames, device: torch.device) -> OpenGames:
    """The games in the memory of a CUDA card where they fit, else memory-mapped as they are.

    On the card nothing but the model is on the clock. Anywhere else a copy would gain nothing:
    the system's page cache is the machine's own memory already.
    """
    if device.type != "cuda":
        return games
    free, _ = torch.cuda.mem_get_info(device)
    return games.to(device) if fits(games.nbytes, free) else games
