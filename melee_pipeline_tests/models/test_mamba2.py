"""Mamba-2: all at once against frame by frame, how it is made, and in training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from melee_pipeline.errors import ConfigError
from melee_pipeline.evaluation.report import evaluate
from melee_pipeline.models.config import Mamba2Config
from melee_pipeline.models.mamba2 import Mamba2, Memory
from melee_pipeline.models.world import describe
from melee_pipeline.progress import Progress
from melee_pipeline.store import Store, read_json
from melee_pipeline.tensors.windows import Windows
from melee_pipeline.training.config import TrainConfig, override
from melee_pipeline.training.loop import train
from melee_pipeline.training.losses import Objective, targets_of
from melee_pipeline.training.measure import measure
from melee_pipeline.training.metrics import Measures, Tally
from melee_pipeline_tests.models.frames import changed_states, outputs, random_frames
from melee_pipeline_tests.models.tiny import TINY, tiny

# Against itself


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(["v2", "v3"]),
    st.integers(1, 14),
    st.integers(1, 20),
    st.integers(1, 5),
    st.integers(0, 1000),
)
def test_frame_by_frame_predicts_what_the_window_does(
    version: str, steps: int, chunk: int, conv: int, seed: int
) -> None:
    model = tiny(encoding=version, chunk=chunk, conv=conv)
    frames = random_frames(model.encoding, 2, steps + 1, seed)
    with torch.no_grad():
        whole, wanted = model.predict(frames)
        memory: Memory | None = None
        for t in range(steps):
            prediction, memory = model.step(frames.frames(t, t + 2), memory)
            for found, out in zip(outputs(prediction), outputs(whole), strict=True):
                torch.testing.assert_close(found, out[:, t : t + 1], rtol=1e-4, atol=1e-5)
    assert memory is not None
    for mine, state in zip(memory, wanted, strict=True):
        torch.testing.assert_close(mine.conv, state.conv, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mine.ssm, state.ssm, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize("cut", [1, 2, 5, 9])
def test_a_window_can_be_read_in_two_parts(cut: int, version: str) -> None:
    model = tiny(encoding=version)
    frames = random_frames(model.encoding, 2, 11)
    with torch.no_grad():
        first, memory = model.predict(frames.frames(0, cut + 1))
        second, _ = model.predict(frames.frames(cut), memory)
        for out, *parts in zip(*map(outputs, (model(frames), first, second)), strict=True):
            torch.testing.assert_close(torch.cat(parts, 1), out, rtol=1e-4, atol=1e-5)


def test_a_frame_changes_all_later_predictions_and_no_earlier_one() -> None:
    model = tiny()
    frames = random_frames(model.encoding, 3, TINY.context + 1)
    before = outputs(model(frames))
    for at in range(TINY.context + 1):
        for name, changed in changed_states(frames, at):
            for found, was in zip(outputs(model(changed)), before, strict=True):
                moved = (found != was).flatten(2).any(-1).any(0)  # (S,), of frames 1 … context
                assert moved.tolist() == [t >= at for t in range(TINY.context)], (at, name)


def test_only_frames_in_pairs_are_stepped() -> None:
    model = tiny()
    with pytest.raises(AssertionError, match="one frame at a time"):
        model.step(random_frames(model.encoding, 2, 3))


# How it is made


def test_weights_start_as_the_paper_has_them() -> None:
    torch.manual_seed(0)
    config = replace(TINY, width=256, head=1, layers=4)  # 512 heads: enough for a distribution
    mixer = Mamba2(config)
    log_dt = functional.softplus(mixer.dt_bias.detach()).log() / math.log(10)
    assert -3 <= float(log_dt.min()) < -2.95  # 1e-3
    assert -1.05 < float(log_dt.max()) <= -1 + 1e-5  # 1e-1
    assert float(log_dt.mean()) == pytest.approx(-2, abs=0.1)
    fade = mixer.A_log.detach().exp()
    assert 1 <= float(fade.min()) < 1.3
    assert 15.7 < float(fade.max()) <= 16 + 1e-4
    assert float(fade.mean()) == pytest.approx(8.5, abs=0.6)
    assert mixer.D.tolist() == [1.0] * 512
    # Uniform within 1/√inputs as any layer of torch, over √layers: four of them add up to one.
    largest = [float(p.weight.detach().abs().max()) for p in (mixer.out_proj, mixer.in_proj)]
    assert largest == pytest.approx([512**-0.5 / 2, 256**-0.5], rel=1e-3)


def test_sizes_are_reported_layer_by_layer() -> None:
    facts = describe(TINY)
    shapes = {layer["name"]: layer["shape"] for layer in facts["layers"]}
    mixer = {name: shape for name, shape in shapes.items() if name.startswith("stack.blocks.1.")}
    assert mixer == {
        "stack.blocks.1.norm.weight": [16],
        "stack.blocks.1.mixer.in_proj.weight": [32 + (32 + 8 + 8) + 4, 16],
        "stack.blocks.1.mixer.conv1d.weight": [48, 1, 4],
        "stack.blocks.1.mixer.conv1d.bias": [48],
        "stack.blocks.1.mixer.dt_bias": [4],
        "stack.blocks.1.mixer.A_log": [4],
        "stack.blocks.1.mixer.D": [4],
        "stack.blocks.1.mixer.norm.weight": [32],
        "stack.blocks.1.mixer.out_proj.weight": [16, 32],
    }
    layer = 16 + 84 * 16 + 48 * 4 + 48 + 4 + 4 + 4 + 32 + 16 * 32
    embeddings = 400 * 32 + 8 * 4 + 33 * 8 + 33 * 4
    heads = (16 + 1) * (2 * 4 + 2 * 3 + 2 * 400 + 2 * 8)
    assert facts["parameters"] == embeddings + (148 + 1) * 16 + 2 * layer + 16 + heads
    assert (facts["model"], facts["input"], facts["context"]) == ("mamba2", 148, 9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(TINY, head=5), "head is 5; it must divide expand × width, which is 32"),
        (lambda: replace(TINY, head=0), "head is 0"),
        (lambda: replace(TINY, width=0), "width is 0; at least 1"),
        (lambda: replace(TINY, layers=0), "layers is 0; at least 1"),
        (lambda: replace(TINY, state=0), "state is 0; at least 1"),
        (lambda: replace(TINY, conv=0), "conv is 0; at least 1"),
        (lambda: replace(TINY, chunk=0), "chunk is 0; at least 1"),
        (lambda: replace(TINY, expand=0), "expand is 0; at least 1"),
        (lambda: replace(TINY, dropout=1.0), "dropout must be at least 0 and below 1"),
    ],
)
def test_sizes_that_cannot_work_are_named(make: Callable[[], Mamba2Config], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(experiment="tiny", model=make())


def test_knobs_are_set_and_read_back() -> None:
    config = TrainConfig(experiment="tiny", model=TINY)
    changed = override(config, {"width": "32", "head": "16", "dropout": "0.5", "context": "30"})
    assert changed.model == replace(TINY, width=32, head=16, dropout=0.5, context=30)
    assert TrainConfig.from_dict(changed.to_dict()) == changed


def test_bfloat16_stays_near_float32() -> None:
    model = tiny()
    frames = random_frames(model.encoding, 4, TINY.context + 1)
    given: list[Tensor] = []
    model.stack.blocks[1].register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    with torch.no_grad():
        wanted = model(frames)
        with torch.autocast("cpu", torch.bfloat16):
            found, memory = model.predict(frames)
    for half, full in zip(outputs(found), outputs(wanted), strict=True):
        assert float((half.float() - full).norm() / full.norm()) < 0.02
    assert memory[0].ssm.dtype is torch.float32, "what adds up over frames keeps its precision"
    assert [u.dtype for u in given] == [torch.float32] * 2, "what adds up over layers does too"


# In training


def test_it_trains_and_is_measured_like_any_model(own_store: Store, quiet: Progress) -> None:
    """The same loop, checkpoint, measures and rollout as every model's."""
    config = TrainConfig(
        experiment="tiny", model=TINY, epochs=2, batch_size=64, lr=3e-3, max_games=3
    )
    stamp = train(own_store, config, device="cpu", wandb="off", progress=quiet)
    run = own_store.root / str(stamp.facts["run"])
    first, second = read_json(run / "manifest.json")["all_epochs"]
    for name in ("loss", "loss_continuous", "loss_binary", "loss_action_state", "loss_jumps_left"):
        assert second[name] < first[name], name
    report = evaluate(own_store, run, device="cpu", progress=quiet).report
    best = min(first["validation_loss"], second["validation_loss"])
    assert report["model"]["loss"] == pytest.approx(best, rel=1e-5)
    assert all(math.isfinite(error) for error in report["horizons"]["tiny"])


def test_measures_are_of_the_last_frame_alone(built_store: Store) -> None:
    """So that models which predict more frames are held against the same ones as those of one."""
    from melee_pipeline.tensors.training_set import load_training_set, open_games

    model = tiny()
    objective = Objective(model.encoding, TrainConfig(experiment="tiny", model=TINY).loss_weights)
    windows = Windows(
        open_games(built_store, load_training_set(built_store).games.head(1)), TINY.context
    )
    tallies = [Tally(objective, Measures(model.encoding), "test") for _ in range(2)]
    found = measure(model, tallies[0], windows, 512, lambda _: None)
    with torch.no_grad():
        for batch in windows.batches(512, None):
            frames = model.decoder(batch.frames, batch.available)
            memory: Memory | None = None
            for t in range(TINY.context):
                prediction, memory = model.step(frames.frames(t, t + 2), memory)
            tallies[1].add(prediction, targets_of(model.slots, frames, 1))
    assert found == pytest.approx(tallies[1].means(), rel=1e-4)
