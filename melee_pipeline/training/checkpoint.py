"""Checkpoints: weights and a plain header in one file; loading runs no code of the file's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from melee_pipeline.errors import ArtefactError, SchemaMismatchError
from melee_pipeline.models.base import WorldModel
from melee_pipeline.models.world import build_model
from melee_pipeline.schema.encoding import encoding
from melee_pipeline.store import atomic_file
from melee_pipeline.training.config import TrainConfig


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was read: the model, in eval mode, and what the file says of it."""

    model: WorldModel
    config: TrainConfig
    header: Mapping[str, Any]


def save_checkpoint(
    path: Path, weights: Mapping[str, Tensor], config: TrainConfig, facts: Mapping[str, Any]
) -> None:
    """Write weights and header. `facts` are JSON: epoch, data_fingerprint, versions."""
    header = {
        "kind": "checkpoint",
        "schema": encoding(config.model.encoding).schema_hash,
        "config": config.to_dict(),
        **facts,
    }
    with atomic_file(path) as temporary:
        torch.save({"header": json.dumps(header), "weights": dict(weights)}, temporary)


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint.

    Raises ArtefactError when the file is missing or damaged, SchemaMismatchError when it was
    trained on another form of its encoding, ConfigError when its config is not known here.
    """
    content = read_torch(path)
    try:
        header, weights = json.loads(content["header"]), content["weights"]
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{path} is not a checkpoint of this project: no header") from error
    if header.get("kind") != "checkpoint":
        raise ArtefactError(f"{path} is not a checkpoint of this project: no kind in its header")
    config = TrainConfig.from_dict(header["config"])
    expected = {"kind": "checkpoint", "schema": encoding(config.model.encoding).schema_hash}
    found = {key: header.get(key) for key in expected}
    if found != expected:
        raise SchemaMismatchError(f"checkpoint {path}", expected, found)
    model = build_model(config.model)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ArtefactError(f"{path} does not fit the model of its own config: {error}") from error
    return Checkpoint(model.to(device).eval(), config, header)


def read_torch(path: Path) -> dict[str, Any]:
    """A file of torch.save with tensors and plain data only. Raises ArtefactError naming it."""
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ArtefactError(
            f"{path} does not exist; checkpoints lie in <data root>/runs/<experiment>/<version>/"
        ) from error
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArtefactError(
            f"{path} cannot be read as a checkpoint: {reason}; delete it and train again"
        ) from error
    return content
