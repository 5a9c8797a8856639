"""The scan against the recurrence and against the matrix that it multiplies with."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from melee_pipeline.models.ssd import ssd, ssd_step

Sequences = tuple[Tensor, Tensor, Tensor, Tensor]  # x, decay, b, c

shapes = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 2),
        "time": st.integers(1, 13),
        "heads": st.integers(1, 3),
        "head": st.integers(1, 3),
        "state": st.integers(1, 4),
        "seed": st.integers(0, 10_000),
        "fade": st.sampled_from([0.0, 0.1, 2.0, 40.0]),  # from no decay to all of it at once
    }
)
chunks = st.integers(1, 16)  # also longer than any sequence


def sequences(
    batch: int, time: int, heads: int, head: int, state: int, seed: int, fade: float
) -> tuple[Sequences, Tensor]:
    """What the scan takes, and a state before it: random, in double precision."""
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    decay = -fade * numbers(batch, time, heads).abs()
    b, c = numbers(batch, time, state), numbers(batch, time, state)
    return (numbers(batch, time, heads, head), decay, b, c), numbers(batch, heads, head, state)


def frame_by_frame(inputs: Sequences, state: Tensor) -> tuple[Tensor, Tensor]:
    """`ssd_step` over a sequence."""
    x, decay, b, c = inputs
    outputs = []
    for t in range(x.shape[1]):
        y, state = ssd_step(x[:, t], decay[:, t], b[:, t], c[:, t], state)
        outputs.append(y)
    return torch.stack(outputs, 1), state


def by_definition(inputs: Sequences, state: Tensor) -> tuple[Tensor, Tensor]:
    """Every pair of frames for itself: y[t] = Σ over s ≤ t of (product of fades) (c[t]·b[s]) x[s].

    No sum of decays, no state but the one before the first frame, one number at a time.
    """
    x, decay, b, c = inputs
    batch, time, heads, _ = x.shape
    y, last = torch.zeros_like(x), torch.zeros_like(state)
    for i in range(batch):
        for h in range(heads):
            fades = [float(decay[i, t, h].exp()) for t in range(time)]
            for t in range(time):
                passed = 1.0
                for s in range(t, -1, -1):
                    y[i, t, h] += passed * float(c[i, t] @ b[i, s]) * x[i, s, h]
                    if t == time - 1:
                        last[i, h] += passed * torch.outer(x[i, s, h], b[i, s])
                    passed *= fades[s]
                y[i, t, h] += passed * (state[i, h] @ c[i, t])
                if t == time - 1:
                    last[i, h] += passed * state[i, h]
    return y, last


@settings(deadline=None)
@given(shapes, chunks)
def test_scan_recurrence_and_definition_agree(shape: dict[str, int], chunk: int) -> None:
    inputs, state = sequences(**shape)
    wanted = by_definition(inputs, state)
    torch.testing.assert_close(frame_by_frame(inputs, state), wanted)
    torch.testing.assert_close(ssd(*inputs, chunk, state), wanted)


@settings(deadline=None)
@given(shapes, chunks)
def test_no_state_is_a_state_of_zeros(shape: dict[str, int], chunk: int) -> None:
    inputs, state = sequences(**shape)
    wanted = by_definition(inputs, torch.zeros_like(state))
    torch.testing.assert_close(ssd(*inputs, chunk), wanted)


@settings(deadline=None)
@given(shapes, chunks, chunks, st.data())
def test_a_scan_can_be_cut_anywhere(
    shape: dict[str, int], one: int, other: int, data: st.DataObject
) -> None:
    inputs, state = sequences(**(shape | {"time": shape["time"] + 1}))
    cut = data.draw(st.integers(1, shape["time"]))
    whole, last = ssd(*inputs, one, state)
    x, decay, b, c = (sequence[:, :cut] for sequence in inputs)
    first, between = ssd(x, decay, b, c, one, state)
    x, decay, b, c = (sequence[:, cut:] for sequence in inputs)
    second, end = ssd(x, decay, b, c, other, between)
    torch.testing.assert_close((torch.cat([first, second], 1), end), (whole, last))


@settings(deadline=None)
@given(shapes, chunks)
def test_gradients_of_the_scan_are_those_of_the_recurrence(
    shape: dict[str, int], chunk: int
) -> None:
    inputs, state = sequences(**shape)
    leaves = [leaf.requires_grad_() for leaf in (*inputs, state)]
    weight = torch.randn(inputs[0].shape, generator=torch.Generator().manual_seed(1))
    found, wanted = (
        torch.autograd.grad((y * weight).sum() + last.square().sum(), leaves)
        for y, last in (ssd(*inputs, chunk, state), frame_by_frame(inputs, state))
    )
    torch.testing.assert_close(found, wanted)


def test_strong_decay_leaves_no_infinity_behind() -> None:
    """Above the diagonal exp would overflow: nothing of it may reach outputs or gradients."""
    inputs, state = sequences(1, 50, 2, 2, 3, seed=0, fade=200.0)
    x, decay, b, c = (leaf.float().requires_grad_() for leaf in inputs)
    y, last = ssd(x, decay, b, c, 50, state.float())
    (y.sum() + last.sum()).backward()  # type: ignore[no-untyped-call]
    for number in (y, last, *(leaf.grad for leaf in (x, decay, b, c))):
        assert number is not None
        assert number.isfinite().all()
    # Decays add up to 8,000 here, where float32 resolves 5e-4: so far the exponents may be off.
    wanted, _ = frame_by_frame(inputs, state)
    torch.testing.assert_close(y.double(), wanted, rtol=1e-3, atol=1e-6)
