"""All world models by name: build one from its config, and say what it is."""

from __future__ import annotations

from typing import Any

from melee_pipeline.errors import ConfigError
from melee_pipeline.models.base import WorldModel
from melee_pipeline.models.config import Mamba2Config, MLPConfig, ModelConfig
from melee_pipeline.models.mamba2 import Mamba2World
from melee_pipeline.models.mlp import FrameStackMLP
from melee_pipeline.schema.encoding import encoding


def build_model(config: ModelConfig) -> WorldModel:
    """A model with fresh weights. Raises ConfigError for an encoding that does not exist."""
    scheme = encoding(config.encoding)
    match config:
        case MLPConfig():
            return FrameStackMLP(scheme, config.context, config.hidden, config.dropout)
        case Mamba2Config():
            return Mamba2World(scheme, config)
        case _:
            raise ConfigError(f"no model is built from a {type(config).__name__}")


def describe(config: ModelConfig) -> dict[str, Any]:
    """Dimensions and parameter counts, for people and for the CLI's `describe`."""
    model = build_model(config)
    layers = [
        {"name": name, "shape": list(parameter.shape), "parameters": parameter.numel()}
        for name, parameter in model.named_parameters()
    ]
    return {
        "model": config.kind,
        "encoding": config.encoding,
        "schema_hash": model.encoding.schema_hash,
        "context": config.context,
        "per_player": model.encoding.per_player,
        "per_frame": model.encoding.per_frame,
        "input": model.input_width,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "layers": layers,
    }
