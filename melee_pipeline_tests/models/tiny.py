"""A Mamba-2 that is small enough for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from melee_pipeline.models.config import Mamba2Config
from melee_pipeline.models.mamba2 import Mamba2World
from melee_pipeline.models.world import build_model

TINY = Mamba2Config(
    encoding="v2", context=9, width=16, layers=2, state=8, head=8, expand=2, conv=4, chunk=4
)


def tiny(**changes: Any) -> Mamba2World:  # noqa: ANN401 - a config's values
    """With fresh weights, the same every time, in eval mode."""
    torch.manual_seed(0)
    model = build_model(replace(TINY, **changes)).eval()
    assert isinstance(model, Mamba2World)
    return model
