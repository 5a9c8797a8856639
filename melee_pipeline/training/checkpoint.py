"""Checkpoints: weights and a plain header in one file; loading runs no code of the file's."""

from __future__ import annotations

import json
import warnings
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

CHECKPOINTS = "best.pt or final.pt of a run"


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
        raise ArtefactError(_not_ours(path, "it has no header", CHECKPOINTS)) from error
    if not isinstance(header, dict) or header.get("kind") != "checkpoint":
        raise ArtefactError(_not_ours(path, "its header is not a checkpoint's", CHECKPOINTS))
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


def read_torch(path: Path, expected: str = CHECKPOINTS) -> dict[str, Any]:
    """A file of torch.save with tensors and plain data only; no code of it runs.

    Raises ArtefactError naming the file and what was `expected` in its place.
    """
    if not path.exists():
        raise ArtefactError(
            f"{path} does not exist; checkpoints lie in <data root>/runs/<experiment>/<version>/"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other pickles than torch's own
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ArtefactError(_not_ours(path, error.strerror or str(error), expected)) from error
    except UnpicklingError as error:
        # torch advises here to switch its safety off.
        reason = "it is of another format, or holds more than weights and plain data"
        raise ArtefactError(_not_ours(path, reason, expected)) from error
    except Exception as error:  # bytes that are no pickle may lead to any
        reason = "it is damaged or of another format"
        raise ArtefactError(_not_ours(path, reason, expected)) from error
    if not isinstance(content, dict):
        raise ArtefactError(_not_ours(path, f"it holds a {type(content).__name__}", expected))
    return content


def _not_ours(path: Path, reason: str, expected: str) -> str:
    return f"{path} is not a checkpoint of this pipeline ({reason}): expected {expected}"
