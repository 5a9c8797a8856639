"""What a model is built from, as plain data that needs no torch to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """What every model has. `kind` names the model in a config's JSON."""

    kind: ClassVar[str] = ""

    encoding: str  # a version of schema.encoding
    context: int = 10  # frames before the target that the model reads


@dataclass(frozen=True, slots=True, kw_only=True)
class MLPConfig(ModelConfig):
    """FrameStackMLP: the context's frames side by side through a few layers."""

    kind: ClassVar[str] = "mlp"

    hidden: tuple[int, ...] = (512, 256)
    dropout: float = 0.1


MODEL_CONFIGS: Mapping[str, type[ModelConfig]] = {config.kind: config for config in (MLPConfig,)}
