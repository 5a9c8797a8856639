"""World models: exact sizes, what they may read, and how a prediction becomes a frame."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from itertools import product

import pytest
import torch
from torch import Tensor

from melee_pipeline.errors import ConfigError
from melee_pipeline.models.base import WorldModel, advance, append
from melee_pipeline.models.config import MODEL_CONFIGS, MLPConfig, ModelConfig
from melee_pipeline.models.fields import FrameInput
from melee_pipeline.models.prediction import Prediction
from melee_pipeline.models.world import build_model, describe
from melee_pipeline.schema.encoding import encoding
from melee_pipeline.schema.field import Predict, Role, Scope
from melee_pipeline.tensors.decode import Decoded
from melee_pipeline.training.recipes import RECIPES
from melee_pipeline_tests.models.frames import changed_states, outputs, random_frames
from melee_pipeline_tests.models.tiny import TINY

LARGE = {"mamba2_v3_base"}  # the same code as mamba2_v3, for a GPU
MODELS = {name: make().model for name, make in RECIPES.items() if name not in LARGE}
MODELS["mamba2"] = TINY


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> WorldModel:
    """A fresh model of each recipe, and of each kind that no recipe has yet."""
    torch.manual_seed(0)
    return build_model(MODELS[request.param]).eval()


def windows(model: WorldModel, batch: int = 3, seed: int = 0) -> Decoded:
    return random_frames(model.encoding, batch, model.context + 1, seed)


def same(one: Prediction, other: Prediction) -> bool:
    return all(torch.equal(a, b) for a, b in zip(outputs(one), outputs(other), strict=True))


def test_every_kind_is_among_them() -> None:
    assert {config.kind for config in MODELS.values()} == set(MODEL_CONFIGS)


@pytest.mark.parametrize(
    ("version", "width", "parameters"), [("v1", 1_120, 931_422), ("v2", 1_480, 1_116_138)]
)
def test_sizes_are_those_of_the_reference(version: str, width: int, parameters: int) -> None:
    model = build_model(MLPConfig(encoding=version))
    assert model.input_width == width
    assert sum(p.numel() for p in model.parameters()) == parameters
    facts = describe(MLPConfig(encoding=version))
    assert (facts["input"], facts["parameters"]) == (width, parameters)
    assert sum(layer["parameters"] for layer in facts["layers"]) == parameters


def test_layers_of_v1_one_by_one() -> None:
    layers = {x["name"]: x["shape"] for x in describe(MLPConfig(encoding="v1"))["layers"]}
    assert {name: shape for name, shape in layers.items() if name.endswith("weight")} == {
        "frame_input.category.action_state.weight": [400, 32],
        "frame_input.category.jumps_left.weight": [8, 4],
        "trunk.0.weight": [512, 1120],
        "trunk.3.weight": [256, 512],
        "heads.delta.weight": [2 * 4, 256],
        "heads.value.weight": [2 * 3, 256],
        "heads.classes.action_state.weight": [2 * 400, 256],
        "heads.classes.jumps_left.weight": [2 * 8, 256],
    }


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_prediction_has_the_shapes_of_its_heads(version: str) -> None:
    model = build_model(MLPConfig(encoding=version))
    prediction = model(windows(model))
    assert prediction.steps == 1
    assert prediction.delta.shape == (3, 1, 2, 4)
    assert prediction.value.shape == (3, 1, 2, 3)
    assert {name: tuple(logits.shape) for name, logits in prediction.classes.items()} == {
        "action_state": (3, 1, 2, 400),
        "jumps_left": (3, 1, 2, 8),
    }


def test_the_state_of_the_target_never_reaches_its_prediction(model: WorldModel) -> None:
    frames = windows(model)
    before = model(frames)
    for name, changed in changed_states(frames, at=model.context):
        assert same(model(changed), before), name


def test_the_state_before_the_target_does(model: WorldModel) -> None:
    """Else the test above could not fail."""
    frames = windows(model)
    before = model(frames)
    for at in (0, model.context - 1):
        for name, changed in changed_states(frames, at):
            assert not same(model(changed), before), (name, at)


def test_every_parameter_gets_a_gradient(model: WorldModel) -> None:
    loss = sum((out**2).mean() for out in outputs(model(windows(model, batch=16))))
    assert isinstance(loss, Tensor)
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_checkpoint_holds_the_parameters_and_nothing_else(model: WorldModel) -> None:
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_input_vectors_have_the_stated_layout(version: str) -> None:
    """For each player continuous, changes, binary, control, embeddings; then what is shared."""
    scheme = encoding(version)
    embed, frames = FrameInput(scheme), random_frames(scheme, 2, 4, recorded=0.5)
    found = embed(frames)
    v3 = version == "v3"
    sides = [(0, 1), (1, 0)] if v3 else [(0, 1)]  # who comes first
    assert found.shape == (2 * len(sides), 3, scheme.per_frame)
    for side, b, t in product(range(len(sides)), (0, 1), (0, 2)):
        wanted: list[float] = []
        for p in sides[side]:
            wanted += frames.continuous[b, t, p].tolist()
            wanted += frames.change[b, t, p].clamp(-16, 16).tolist() if v3 else []
            wanted += frames.binary[b, t, p].tolist()
            # The controllers that act next, or those that acted last.
            wanted += frames.control[b, t + v3, p].tolist()
            for slot in scheme.category:
                row = int(frames.category[slot.name][b, t, p])
                wanted += embed.category[slot.name].weight[row].tolist()  # type: ignore[index]
        for slot in scheme.shared:
            wanted += embed.shared[slot.name].weight[int(frames.shared[slot.name][b, t])].tolist()  # type: ignore[index]
        wanted += frames.masks[b].tolist()
        assert found[2 * side + b, t].tolist() == wanted


@pytest.mark.parametrize("recorded", [1.0, 0.5])
@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_advance_is_the_plain_computation(version: str, recorded: float) -> None:
    model = build_model(MLPConfig(encoding=version)).eval()
    frames = random_frames(model.encoding, 3, model.context + 1, recorded=recorded)
    new = random_frames(model.encoding, 3, 1, seed=1)
    last = frames.frames(-1)
    prediction = model(frames)
    found = advance(model.slots, last, prediction, new.control)

    def known(name: str) -> torch.Tensor:
        return last.available[name][:, None, None]

    names = [slot.name for slot in model.encoding.continuous]
    moving = names if version == "v3" else ["percent", "x", "y", "shield_strength"]
    for k, (name, slot) in enumerate(zip(names, model.encoding.continuous, strict=True)):
        wanted = last.continuous[..., k]
        if name in moving:
            told = prediction.delta[..., moving.index(name)] * known(name)
            unit = slot.use.step * slot.use.scale if version == "v3" else 1.0
            wanted = wanted + told * unit
            assert torch.equal(found.change[..., moving.index(name)], told), name
        torch.testing.assert_close(found.continuous[..., k], wanted)
    for k, slot in enumerate(model.encoding.binary):
        likely = torch.sigmoid(prediction.value[..., k]) > 0.5
        assert torch.equal(found.binary[..., k], (likely & known(slot.name)).float()), slot.name
    for name, ids in found.category.items():
        classes = prediction.classes.get(name)
        wanted = last.category[name]
        if classes is not None:
            wanted = torch.where(known(name), classes.max(-1).indices, wanted)
        assert torch.equal(ids, wanted), name
    assert torch.equal(found.control, new.control)
    assert all(torch.equal(found.shared[name], ids) for name, ids in last.shared.items())
    assert found.available is last.available


def test_the_next_frame_is_the_last_one_predicted(model: WorldModel) -> None:
    """Of a prediction of many frames, only the last follows the last one known."""
    frames = windows(model)
    last, prediction = frames.frames(-2, -1), model(frames)
    found = advance(model.slots, last, prediction, last.control)
    names = [slot.name for slot in model.encoding.continuous]
    moved = (found.continuous - last.continuous)[..., names.index("x")]
    slot = model.encoding.continuous[names.index("x")]
    place = [s.name for s in model.encoding.predicted(Predict.DELTA)].index("x")
    told = prediction.delta[:, -1:, :, place]
    torch.testing.assert_close(moved, told * slot.use.unit * slot.use.scale)
    assert torch.equal(found.change[..., place], told)
    assert torch.equal(found.binary, (prediction.value[:, -1:] > 0).float())
    likeliest = prediction.classes["action_state"][:, -1:].argmax(-1)
    assert torch.equal(found.category["action_state"], likeliest)


def test_a_step_of_v3_is_a_whole_next_input() -> None:
    """Nothing that can change in a game is left as it was, but for what the frame shares."""
    scheme = encoding("v3")
    foretold = {slot.name for slot in scheme.slots if slot.use.predict is not Predict.NO}
    states = {
        slot.name
        for slot in scheme.slots
        if slot.field.role is Role.STATE and slot.field.scope is Scope.PLAYER
    }
    assert foretold == states
    assert {slot.name for slot in scheme.shared} == {"stage"}, "constant over a game"


def test_players_of_v3_may_change_places() -> None:
    """Told from each player's side, by the same weights: only the stage has no side."""
    model = build_model(RECIPES["mlp_v3"]().model).eval()
    frames = windows(model)
    turned = replace(
        frames,
        **{
            name: getattr(frames, name).flip(2)
            for name in ("continuous", "change", "binary", "control")
        },
        category={name: ids.flip(2) for name, ids in frames.category.items()},
    )
    for one, other in zip(outputs(model(frames)), outputs(model(turned)), strict=True):
        torch.testing.assert_close(one.flip(2), other)


def test_v3_reads_the_controllers_of_the_target_and_v2_does_not() -> None:
    for name, reads in (("mlp_v2", False), ("mlp_v3", True), ("mamba2_v3", True)):
        model = build_model(RECIPES[name]().model).eval()
        frames = windows(model)
        control = frames.control.clone()
        control[:, -1] += 1
        moved = not same(model(frames).last(), model(replace(frames, control=control)).last())
        assert moved is reads, name


def test_append_puts_a_frame_at_the_end(model: WorldModel) -> None:
    frames, frame = windows(model), random_frames(model.encoding, 3, 1, seed=1)
    longer = append(frames, frame)
    for part, wanted in ((longer.frames(0, -1), frames), (longer.frames(-1), frame)):
        for name in ("continuous", "change", "binary", "control"):
            assert torch.equal(getattr(part, name), getattr(wanted, name)), name
        for group in ("category", "shared"):
            assert getattr(part, group).keys() == getattr(wanted, group).keys()
            for name, ids in getattr(wanted, group).items():
                assert torch.equal(getattr(part, group)[name], ids), name
    assert longer.available is frames.available
    assert {f.name for f in fields(Decoded)} == {
        "continuous", "change", "binary", "control", "category", "shared", "available", "masks",
    }, "append must carry a new part too"  # fmt: skip


def test_what_cannot_be_built_is_named() -> None:
    with pytest.raises(ConfigError, match="encoding 'v9' is unknown; there are v1, v2, v3"):
        build_model(MLPConfig(encoding="v9"))
    with pytest.raises(ConfigError, match="no model is built from a ModelConfig"):
        build_model(ModelConfig(encoding="v1"))


def test_models_and_training_need_no_dagster() -> None:
    code = (
        "import sys, melee_pipeline.models.world, melee_pipeline.training.loop;"
        "print([name for name in sys.modules if name.partition('.')[0] == 'dagster'])"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"
