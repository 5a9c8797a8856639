"""State-space duality: the scan of Mamba-2, over a sequence in chunks and one frame at a time.

Both compute one recurrence, head by head (Dao and Gu 2024, "Transformers are SSMs"):

    state[t] = exp(decay[t]) · state[t−1] + x[t] ⊗ b[t]      (P, N)
    y[t]     = state[t] · c[t]                               (P,)

Written out, y is a lower triangular matrix times x. The chunked form takes the blocks on that
matrix's diagonal as matrix products and lets a state carry all that lies left of them.

B is the batch, T frames, H heads, P numbers a head, N numbers of state for each of those; K chunks
of L frames. All heads share b and c (one group).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def ssd(
    x: Tensor, decay: Tensor, b: Tensor, c: Tensor, chunk: int, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The outputs y (B, T, H, P) and the state after the last frame (B, H, P, N).

    `x`: (B, T, H, P), already times the step dt; `decay`: (B, T, H), dt·A, at most 0; `b`, `c`:
    (B, T, N); `chunk`: L, which need not divide T; `state`: (B, H, P, N) before the first frame,
    zeros when None. The result is the same for every `chunk`.
    """
    time, size = x.shape[1], min(chunk, x.shape[1])

    # 1. Cut into chunks: (B, T, …) -> (B, K, L, …).
    x, decay, b, c = (_chunks(sequence, size) for sequence in (x, decay, b, c))

    # 2. Decay from a chunk's start up to and with each frame: (B, K, L, H).
    total = decay.cumsum(2)

    # 3. Inside chunks: frame s reaches frame l ≥ s with weight c[l]·b[s] · exp(decay over s+1…l).
    scores = c @ b.mT  # (B, K, L, L)
    weights = scores.unsqueeze(2) * _decay_between(total.movedim(-1, 2))  # (B, K, H, L, L)
    y = (weights @ x.transpose(2, 3)).transpose(2, 3)  # (B, K, L, H, P)

    # 4. What each chunk's frames add to the state at its end: (B, K, H, P, N).
    to_end = (total[:, :, -1:] - total).exp().unsqueeze(-1)  # (B, K, L, H, 1)
    added = torch.einsum("bklhp,bkln->bkhpn", x * to_end, b)

    # 5. From chunk to chunk: the state before each, and after the last.
    through = total[:, :, -1].exp()[..., None, None]  # (B, K, H, 1, 1)
    starts_empty = state is None
    states = [torch.zeros_like(added[:, 0]) if state is None else state]
    for k in range(added.shape[1]):
        states.append(through[:, k] * states[-1] + added[:, k])

    # 6. What the state before a chunk adds to its outputs.
    if len(states) > 2 or not starts_empty:
        before = torch.stack(states[:-1], 1)  # (B, K, H, P, N)
        y = y + torch.einsum("bkln,bkhpn->bklhp", c, before) * total.exp().unsqueeze(-1)

    return y.flatten(1, 2)[:, :time], states[-1]


def ssd_step(
    x: Tensor, decay: Tensor, b: Tensor, c: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """One frame: y (B, H, P) and the state after it (B, H, P, N).

    `x`: (B, H, P), already times dt; `decay`: (B, H); `b`, `c`: (B, N); `state`: (B, H, P, N).
    """
    # 1. The old state fades, the frame comes in.
    after = decay.exp()[..., None, None] * state + x.unsqueeze(-1) * b[:, None, None, :]
    # 2. Read it out.
    return torch.einsum("bhpn,bn->bhp", after, c), after


def _chunks(sequence: Tensor, size: int) -> Tensor:
    """(B, T, …) -> (B, K, size, …). Zeros at the end neither fade the state nor add to it."""
    missing = -sequence.shape[1] % size
    if missing:
        sequence = functional.pad(sequence, (0, 0) * (sequence.dim() - 2) + (0, missing))
    return sequence.reshape(len(sequence), -1, size, *sequence.shape[2:])


def _decay_between(total: Tensor) -> Tensor:
    """(…, L) sums -> (…, L, L): exp(total[l] − total[s]) for l ≥ s, and 0 above the diagonal.

    The mask comes before exp: above the diagonal exp could overflow, and spoil gradients.
    """
    difference = total.unsqueeze(-1) - total.unsqueeze(-2)
    later = torch.ones(difference.shape[-2:], dtype=torch.bool, device=total.device).triu(1)
    return difference.masked_fill(later, -torch.inf).exp()
