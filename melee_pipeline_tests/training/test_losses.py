"""Losses against torch's own reductions, and against loops where fields are not recorded."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from melee_pipeline.models.prediction import PredictedSlots, Prediction
from melee_pipeline.schema.encoding import encoding
from melee_pipeline.schema.field import Predict
from melee_pipeline.tensors.decode import Decoded
from melee_pipeline.training.config import loss_weights
from melee_pipeline.training.losses import Objective, Targets, masked_sum, targets_of
from melee_pipeline_tests.training.predictions import STEPS, random_pair

WEIGHTS = {"continuous": 1.0, "binary": 0.5, "action_state": 2.0, "jumps_left": 0.5}
DELTAS = ("percent", "x", "y", "shield_strength")
VALUES = ("facing", "invulnerable", "on_ground")
CLASSES = ("action_state", "jumps_left")

both = pytest.mark.parametrize("version", ["v1", "v2"])


def parts_by_loop(prediction: Prediction, targets: Targets) -> tuple[list[float], list[int]]:
    """Sums and counts of the four parts, number by number."""
    sums, counts = [0.0] * 4, [0] * 4
    batch, steps, players, _ = prediction.delta.shape
    delta = prediction.delta.detach()
    for b in range(batch):
        there = {name: bool(mask[b]) for name, mask in targets.recorded.items()}
        for t in range(steps):
            for p in range(players):
                at = (b, t, p)
                for k, name in enumerate(DELTAS):
                    error = float(delta[at][k] - targets.delta[at][k])
                    sums[0] += error**2 * there[name]
                    counts[0] += there[name]
                for k, name in enumerate(VALUES):
                    likely = torch.sigmoid(prediction.value[at][k].detach().double())
                    right = likely if targets.value[at][k] == 1 else 1 - likely
                    sums[1] += -float(torch.log(right)) * there[name]
                    counts[1] += there[name]
                for i, name in enumerate(CLASSES, 2):
                    shares = torch.softmax(prediction.classes[name][at].detach().double(), 0)
                    true = int(targets.classes[name][at])
                    sums[i] += -float(torch.log(shares[true])) * there[name]
                    counts[i] += there[name]
    return sums, counts


@both
def test_targets_are_the_last_frames_and_their_changes(version: str) -> None:
    scheme = encoding(version)
    frames, _, targets = random_pair(scheme)
    continuous = [slot.name for slot in scheme.continuous]
    for t in range(STEPS):
        at = frames.continuous.shape[1] - STEPS + t
        for k, name in enumerate(DELTAS):
            place = continuous.index(name)
            now, before = frames.continuous[:, at, :, place], frames.continuous[:, at - 1, :, place]
            assert torch.equal(targets.delta[:, t, :, k], now - before), name
        assert torch.equal(targets.value[:, t], frames.binary[:, at])
        for name in CLASSES:
            assert torch.equal(targets.classes[name][:, t], frames.category[name][:, at])
            assert torch.equal(targets.previous[name][:, t], frames.category[name][:, at - 1])


@both
def test_where_all_is_recorded_torch_says_the_same(version: str) -> None:
    _, prediction, targets = random_pair(encoding(version))
    objective = Objective(encoding(version), WEIGHTS)
    sums, counts = objective(prediction, targets)
    means = [
        functional.mse_loss(prediction.delta, targets.delta),
        functional.binary_cross_entropy_with_logits(prediction.value, targets.value),
        *(
            functional.cross_entropy(
                prediction.classes[name].flatten(0, 2), targets.classes[name].flatten()
            )
            for name in CLASSES
        ),
    ]
    torch.testing.assert_close(sums / counts, torch.stack(means))
    wanted = means[0] + 0.5 * means[1] + 2.0 * means[2] + 0.5 * means[3]
    torch.testing.assert_close(objective.total(sums, counts), wanted)


@both
@pytest.mark.parametrize("seed", range(3))
def test_means_run_over_what_is_recorded(version: str, seed: int) -> None:
    _, prediction, targets = random_pair(encoding(version), seed=seed, recorded=0.5)
    sums, counts = Objective(encoding(version), WEIGHTS)(prediction, targets)
    wanted_sums, wanted_counts = parts_by_loop(prediction, targets)
    torch.testing.assert_close(sums, torch.tensor(wanted_sums), rtol=1e-5, atol=1e-5)
    assert counts.tolist() == wanted_counts
    assert 0 < counts[0] < prediction.delta.numel(), "something must be masked and something not"


def gradients(prediction: Prediction, targets: Targets) -> list[Tensor]:
    objective = Objective(encoding("v1"), WEIGHTS)
    leaves = [prediction.delta, prediction.value, *prediction.classes.values()]
    return list(torch.autograd.grad(objective.total(*objective(prediction, targets)), leaves))


def test_what_is_not_recorded_teaches_nothing() -> None:
    """Neither its truth nor its prediction matters."""
    _, prediction, targets = random_pair(encoding("v1"))
    missing = ("shield_strength", "invulnerable", "jumps_left")
    hidden = {name: torch.zeros(5, dtype=torch.bool) for name in missing}
    targets = replace(targets, recorded={**targets.recorded, **hidden})
    delta, value, action, jumps = gradients(prediction, targets)
    assert not delta[..., 3].any()
    assert not value[..., 1].any()
    assert not jumps.any()
    for kept in (delta[..., :3], value[..., [0, 2]], action):
        assert kept.abs().amin(dim=tuple(range(kept.dim() - 1))).gt(0).all()
    other = targets.delta.clone()
    other[..., 3] += 7
    objective = Objective(encoding("v1"), WEIGHTS)
    before, after = (objective(prediction, t)[0] for t in (targets, replace(targets, delta=other)))
    assert torch.equal(before, after)


def test_where_nothing_is_recorded_the_loss_is_zero() -> None:
    _, prediction, targets = random_pair(encoding("v1"), recorded=0.0)
    objective = Objective(encoding("v1"), WEIGHTS)
    sums, counts = objective(prediction, targets)
    assert counts.tolist() == sums.tolist() == [0, 0, 0, 0]
    assert objective.total(sums, counts).item() == 0


def test_each_weight_weighs_its_own_part() -> None:
    _, prediction, targets = random_pair(encoding("v1"))
    for i, part in enumerate(WEIGHTS):
        objective = Objective(encoding("v1"), {name: float(name == part) for name in WEIGHTS})
        sums, counts = objective(prediction, targets)
        torch.testing.assert_close(objective.total(sums, counts), sums[i] / counts[i])


def test_a_mask_is_broadcast() -> None:
    values, mask = torch.arange(24.0).view(2, 3, 4), torch.tensor([1.0, 0.0])[:, None, None]
    total, count = masked_sum(values, mask)
    assert (total.item(), count.item()) == (sum(range(12)), 12)


def test_errors_of_changes_in_steps_count_linearly() -> None:
    """Beyond a tenth of a step, within which there is a slope that ends at 0."""
    scheme = encoding("v3")
    _, prediction, targets = random_pair(scheme, recorded=0.5)
    prediction = replace(prediction, delta=targets.delta + 0.1 * prediction.delta.detach())
    sums, counts = Objective(scheme, loss_weights("v3"))(prediction, targets)
    names = [slot.name for slot in scheme.predicted(Predict.DELTA)]
    wanted, count = 0.0, 0
    small = large = 0
    for index in product(*(range(size) for size in prediction.delta.shape)):
        if not targets.recorded[names[index[-1]]][index[0]]:
            continue
        error = abs(float(prediction.delta[index].detach()) - float(targets.delta[index]))
        wanted += error**2 * 5 if error < 0.1 else error - 0.05
        count += 1
        small, large = small + (error < 0.1), large + (error >= 0.1)
    assert small > 5
    assert large > 10
    assert float(sums[0].detach()) == pytest.approx(wanted, rel=1e-4)
    assert int(counts[0]) == count


@pytest.mark.parametrize("version", ["v1", "v3"])
def test_frames_that_another_window_predicts_do_not_count(version: str) -> None:
    """As if those frames were not there."""
    scheme = encoding(version)
    frames, prediction, _ = random_pair(scheme)
    slots = PredictedSlots(scheme)
    objective = Objective(scheme, loss_weights(version))
    new = torch.tensor([1, STEPS, 2, 1, STEPS])
    found = objective(prediction, targets_of(slots, frames, STEPS, new))
    wanted = torch.zeros(2, len(objective.parts))
    for b, count in enumerate(new.tolist()):
        one = Decoded(*(pick(getattr(frames, f.name), b) for f in fields(frames)))
        part = Prediction(
            prediction.delta[b : b + 1, -count:],
            prediction.value[b : b + 1, -count:],
            {name: logits[b : b + 1, -count:] for name, logits in prediction.classes.items()},
        )
        wanted += torch.stack(objective(part, targets_of(slots, one, count)))
    torch.testing.assert_close(found[0], wanted[0])
    assert torch.equal(found[1], wanted[1])


def pick(part: Any, b: int) -> Any:  # noqa: ANN401 - a tensor, or tensors by name
    """One window of a batch."""
    if isinstance(part, dict):
        return {name: values[b : b + 1] for name, values in part.items()}
    return part[b : b + 1]
