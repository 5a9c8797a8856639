"""Mamba-2 against the one of `transformers`, which others wrote."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from melee_pipeline.models.mamba2 import Mamba2Stack
from melee_pipeline_tests.models.tiny import TINY


@pytest.fixture(scope="module")
def other() -> tuple[Any, Mamba2Stack]:
    """The Mamba-2 of `transformers`, and ours with its weights."""
    theirs = pytest.importorskip(
        "transformers", reason="transformers is not installed: it comes with .[dev]"
    )
    torch.manual_seed(0)
    model = theirs.Mamba2Model(
        theirs.Mamba2Config(
            hidden_size=TINY.width,
            num_hidden_layers=TINY.layers,
            state_size=TINY.state,
            head_dim=TINY.head,
            num_heads=TINY.heads,
            expand=TINY.expand,
            conv_kernel=TINY.conv,
            chunk_size=6,
            n_groups=1,
            vocab_size=8,
        )
    ).eval()
    with torch.no_grad():  # no weight keeps a value that would hide a mistake, as ones do
        for parameter in model.parameters():
            parameter.add_(torch.rand_like(parameter), alpha=0.3)
    weights = {
        name.replace("layers.", "blocks.").replace("norm_f.", "norm."): weight
        for name, weight in model.state_dict().items()
        if not name.startswith("embeddings.")
    }
    ours = Mamba2Stack(TINY).eval()
    ours.load_state_dict(weights)
    return model, ours


@pytest.mark.parametrize("time", [1, 3, 6, 20])
def test_transformers_computes_the_same(other: tuple[Any, Mamba2Stack], time: int) -> None:
    theirs, ours = other
    u = torch.randn(3, time, TINY.width, generator=torch.Generator().manual_seed(time))
    with torch.no_grad():
        wanted = theirs(inputs_embeds=u).last_hidden_state
        torch.testing.assert_close(ours(u)[0], wanted, rtol=1e-4, atol=1e-5)


def test_transformers_goes_on_frame_by_frame_as_we_do(other: tuple[Any, Mamba2Stack]) -> None:
    theirs, ours = other
    u = torch.randn(3, 12, TINY.width, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        cache = theirs(inputs_embeds=u[:, :7], use_cache=True).cache
        _, memory = ours(u[:, :7])
        for t in range(7, 12):
            frame = u[:, t : t + 1]
            wanted = theirs(inputs_embeds=frame, cache=cache, use_cache=True).last_hidden_state
            found, memory = ours(frame, memory, recurrent=True)
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_transformers_has_the_same_gradients(other: tuple[Any, Mamba2Stack]) -> None:
    theirs, ours = other
    u = torch.randn(2, 11, TINY.width, generator=torch.Generator().manual_seed(2))
    for model, out in ((theirs, theirs(inputs_embeds=u).last_hidden_state), (ours, ours(u)[0])):
        model.zero_grad()
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    wanted = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        there = name.replace("blocks.", "layers.")
        there = "norm_f.weight" if name == "norm.weight" else there
        torch.testing.assert_close(parameter.grad, wanted[there].grad, rtol=1e-3, atol=1e-4)
