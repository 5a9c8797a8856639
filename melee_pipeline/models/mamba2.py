"""Mamba-2 (Dao and Gu 2024) over the frames of a window, supervised on every one of them.

B is the batch, T frames, W the model's width, H heads of P numbers, N numbers of state for each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from melee_pipeline.models.base import WorldModel
from melee_pipeline.models.config import Mamba2Config
from melee_pipeline.models.fields import FrameInput, Heads
from melee_pipeline.models.prediction import Prediction
from melee_pipeline.models.ssd import ssd, ssd_step
from melee_pipeline.schema.encoding import Encoding
from melee_pipeline.tensors.decode import Decoded

_EPSILON = 1e-5  # of every RMSNorm
_STEP = (1e-3, 1e-1)  # dt at the start of training
_FADE = (1.0, 16.0)  # −A at the start of training


@dataclass(frozen=True, slots=True)
class LayerState:
    """All that a layer remembers of the frames so far."""

    conv: Tensor  # (B, conv − 1, channels): what the convolution was last given
    ssm: Tensor  # (B, H, P, N)


Memory = tuple[LayerState, ...]  # of each layer


class Mamba2(nn.Module):
    """One mixer: project, convolve over the last frames, scan, gate, normalise, project back."""

    def __init__(self, config: Mamba2Config) -> None:
        super().__init__()
        inner, state = config.inner, config.state
        self.heads, self.head, self.chunk = config.heads, config.head, config.chunk
        self.convolved = [inner, state, state]  # x, b, c
        channels = sum(self.convolved)
        self.projected = [inner, channels, config.heads]  # gate, what is convolved, dt
        self.in_proj = nn.Linear(config.width, sum(self.projected), bias=False)
        self.conv1d = nn.Conv1d(channels, channels, config.conv, groups=channels)
        self.dt_bias = nn.Parameter(_first_dt_bias(config.heads))
        self.A_log = nn.Parameter(torch.empty(config.heads).uniform_(*_FADE).log())
        self.D = nn.Parameter(torch.ones(config.heads))
        self.norm = nn.RMSNorm(inner, eps=_EPSILON)
        self.out_proj = nn.Linear(inner, config.width, bias=False)
        with torch.no_grad():  # all layers together then start with the variance of one
            self.out_proj.weight /= math.sqrt(config.layers)

    def forward(
        self, u: Tensor, before: LayerState | None, recurrent: bool = False
    ) -> tuple[Tensor, LayerState]:
        """(B, T, W) -> (B, T, W), and the state after the last frame.

        `before`: the state before the first, None for an empty one. `recurrent` computes the
        same numbers of a single frame (T = 1) by the recurrence instead of the chunked scan.
        """
        # 1. Project: gate (B, T, H·P), what is convolved (B, T, H·P + 2N), dt (B, T, H).
        gate, xbc, dt = torch.split(self.in_proj(u), self.projected, -1)

        # 2. Convolve each channel over its last frames, this one among them.
        xbc, conv = self._convolve(xbc, before)
        x, b, c = torch.split(functional.silu(xbc), self.convolved, -1)
        x = x.reshape(*x.shape[:2], self.heads, self.head)  # (B, T, H, P)

        # 3. How far each frame steps, and how much of the state it lets fade: (B, T, H).
        dt = functional.softplus(dt + self.dt_bias)
        decay = -dt * self.A_log.exp()

        # 4. Scan, and let x pass by it.
        state = before.ssm if before else None
        stepped = x * dt.unsqueeze(-1)
        if recurrent:
            if state is None:
                state = stepped.new_zeros(len(u), self.heads, self.head, b.shape[-1])
            y, ssm = ssd_step(stepped[:, 0], decay[:, 0], b[:, 0], c[:, 0], state)
            y = y.unsqueeze(1)
        else:
            y, ssm = ssd(stepped, decay, b, c, self.chunk, state)
        y = (y + self.D.unsqueeze(-1) * x).flatten(-2)  # (B, T, H·P)

        # 5. Gate, normalise, project back.
        return self.out_proj(self.norm(y * functional.silu(gate))), LayerState(conv, ssm)

    def _convolve(self, xbc: Tensor, before: LayerState | None) -> tuple[Tensor, Tensor]:
        """(B, T, channels) convolved, and what the frames to come must know of it."""
        kept = self.conv1d.kernel_size[0] - 1
        if before:
            longer = torch.cat([before.conv, xbc], 1)
        else:
            longer = functional.pad(xbc, (0, 0, kept, 0))
        convolved: Tensor = self.conv1d(longer.mT).mT
        return convolved, longer[:, longer.shape[1] - kept :]


def _first_dt_bias(heads: int) -> Tensor:
    """What softplus turns into steps spread evenly on a log scale: (heads,)."""
    low, high = (math.log(limit) for limit in _STEP)
    dt = torch.empty(heads).uniform_(low, high).exp()
    return dt + torch.log(-torch.expm1(-dt))  # the inverse of softplus


class Block(nn.Module):
    """A mixer on the normalised input, added to it."""

    def __init__(self, config: Mamba2Config) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(config.width, eps=_EPSILON)
        self.mixer = Mamba2(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, u: Tensor, before: LayerState | None, recurrent: bool = False
    ) -> tuple[Tensor, LayerState]:
        """As Mamba2."""
        mixed, after = self.mixer(self.norm(u), before, recurrent)
        return u + self.dropout(mixed), after


class Mamba2Stack(nn.Module):
    """Blocks one after another, and a norm."""

    def __init__(self, config: Mamba2Config) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, eps=_EPSILON)

    def forward(
        self, u: Tensor, memory: Memory | None = None, recurrent: bool = False
    ) -> tuple[Tensor, Memory]:
        """As Mamba2, with the state of every layer."""
        after = []
        for layer, block in enumerate(self.blocks):
            u, state = block(u, memory[layer] if memory else None, recurrent)
            after.append(state)
        return self.norm(u), tuple(after)


class Mamba2World(WorldModel):
    """Predicts frames 1 … context of a window (S = context), each from all frames before it."""

    def __init__(self, encoding: Encoding, config: Mamba2Config) -> None:
        super().__init__(encoding, config.context)
        self.supervised = config.context
        self.frame_input = FrameInput(encoding)
        self.embed = nn.Linear(self.input_width, config.width)
        self.stack = Mamba2Stack(config)
        self.heads = Heads(encoding, config.width)

    @property
    def input_width(self) -> int:
        """One frame; the others are in the state."""
        return self.encoding.per_frame

    def forward(self, frames: Decoded) -> Prediction:
        """`frames`: (B, S + 1, …) for any S ≥ 1; S = context in training and rollouts."""
        return self.predict(frames)[0]

    def predict(self, frames: Decoded, memory: Memory | None = None) -> tuple[Prediction, Memory]:
        """All of frames 1 … S at once, and the memory of frames 0 … S − 1.

        `frames`: (B, S + 1, …); `memory`: of the frames before them, None where there are none.
        """
        features, memory = self.stack(self._inputs(frames), memory)
        return self.heads(features, frames), memory

    def step(self, frames: Decoded, memory: Memory | None = None) -> tuple[Prediction, Memory]:
        """The same for one frame, S = 1, by the recurrence: its cost does not grow with the past.

        `frames`: (B, 2, …), the last one known and the one to predict.
        """
        assert frames.continuous.shape[1] == 2, "one frame at a time"
        features, memory = self.stack(self._inputs(frames), memory, recurrent=True)
        return self.heads(features, frames), memory

    def _inputs(self, frames: Decoded) -> Tensor:
        """(B, S + 1, …) -> (B, S, W)."""
        # Whatever the precision of the layers, what they are added to stays float32.
        embedded: Tensor = self.embed(self.frame_input(frames))
        return embedded.float()
