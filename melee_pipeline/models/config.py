"""What a model is built from, as plain data that needs no torch to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from melee_pipeline.errors import ConfigError


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba2Config(ModelConfig):
    """Mamba2World: a recurrent scan over the context, supervised on every frame of it."""

    kind: ClassVar[str] = "mamba2"

    context: int = 60  # a second
    width: int = 128  # between layers
    layers: int = 4
    state: int = 64  # numbers of state for each inner one
    head: int = 64  # inner numbers that share a decay
    expand: int = 2  # inner numbers for each of the width
    conv: int = 4  # frames that the convolution sees
    chunk: int = 64  # frames of the scan at a time: speed and memory, not results
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.head < 1 or self.inner % self.head:
            raise ConfigError(
                f"head is {self.head}; it must divide expand × width, which is {self.inner}"
            )

    @property
    def inner(self) -> int:
        """Width inside a layer, all heads together."""
        return self.expand * self.width

    @property
    def heads(self) -> int:
        """Number of heads."""
        return self.inner // self.head


MODEL_CONFIGS: Mapping[str, type[ModelConfig]] = {
    config.kind: config for config in (MLPConfig, Mamba2Config)
}
