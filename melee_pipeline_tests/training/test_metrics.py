"""Measures against loops over the numbers, in the units in which they are read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from melee_pipeline.errors import TrainingError
from melee_pipeline.models.prediction import Prediction
from melee_pipeline.schema.encoding import encoding
from melee_pipeline.training.losses import Objective, Targets
from melee_pipeline.training.metrics import MEASURES, Measures, Tally
from melee_pipeline.training.recipes import mlp_v1
from melee_pipeline_tests.training.predictions import random_pair

PERCENT, X, Y = 0, 1, 2  # places among the predicted changes
UNITS = {PERCENT: 100, X: 20, Y: 20}  # one over the scale: game units per number of the network


def tally(where: str = "epoch 3") -> Tally:
    scheme = encoding("v1")
    return Tally(Objective(scheme, mlp_v1().loss_weights), Measures(scheme), where)


def measures_by_loop(prediction: Prediction, targets: Targets) -> dict[str, tuple[float, int]]:
    """Sum and count of each measure, number by number."""
    delta, true = prediction.delta.detach().numpy(), targets.delta.numpy()
    logits = prediction.classes["action_state"].detach().numpy()
    now, before = targets.classes["action_state"].numpy(), targets.previous["action_state"].numpy()
    out = dict.fromkeys(MEASURES, (0.0, 0))

    def add(name: str, value: float) -> None:
        out[name] = (out[name][0] + value, out[name][1] + 1)

    for b, t, p in np.ndindex(*delta.shape[:3]):
        if targets.recorded["action_state"][b]:
            hit = float(np.argmax(logits[b, t, p]) == now[b, t, p])
            add("action_accuracy", hit)
            if now[b, t, p] != before[b, t, p]:
                add("action_change_accuracy", hit)
        for name, place in (("x", X), ("y", Y)):
            if targets.recorded[name][b]:
                error = abs(delta[b, t, p, place] - true[b, t, p, place])
                add("position_mae", error * UNITS[place])
        if targets.recorded["percent"][b]:
            error = abs(delta[b, t, p, PERCENT] - true[b, t, p, PERCENT])
            add("damage_mae", error * UNITS[PERCENT])
    return out


def guided(prediction: Prediction, targets: Targets) -> Prediction:
    """The prediction with about half of the actions right, changed ones among them."""
    logits = prediction.classes["action_state"].detach().clone()
    right = torch.rand(logits.shape[:-1], generator=torch.Generator().manual_seed(3)) < 0.5
    bonus = 50 * right[..., None].float()
    logits.scatter_add_(-1, targets.classes["action_state"][..., None], bonus)
    return replace(prediction, classes={**prediction.classes, "action_state": logits})


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("recorded", [1.0, 0.6])
def test_measures_are_what_loops_give(version: str, recorded: float) -> None:
    _, prediction, targets = random_pair(encoding(version), batch=6, recorded=recorded)
    prediction = guided(prediction, targets)
    sums, counts = Measures(encoding(version))(prediction, targets)
    wanted = measures_by_loop(prediction, targets)
    assert counts.tolist() == [wanted[name][1] for name in MEASURES]
    np.testing.assert_allclose(sums.numpy(), [wanted[name][0] for name in MEASURES], rtol=1e-5)
    assert 0 < sums[1] < counts[1] < counts[0], "some actions change, and some of them are hit"


def test_copying_the_last_frame_never_predicts_a_change() -> None:
    """All of its action accuracy comes from frames on which nothing changes."""
    _, prediction, targets = random_pair(encoding("v1"), batch=20)
    previous = targets.previous["action_state"]
    copied = torch.nn.functional.one_hot(previous, 400).float()
    copy = Prediction(
        torch.zeros_like(prediction.delta),
        prediction.value,
        {**prediction.classes, "action_state": copied},
    )
    counter = tally()
    counter.add(copy, targets)
    means = counter.means()
    stays = (previous == targets.classes["action_state"]).double().mean().item()
    assert means["action_accuracy"] == pytest.approx(stays)
    assert means["action_change_accuracy"] == 0
    moved = targets.delta[..., [X, Y]].abs().double().mean().item() * 20
    assert means["position_mae"] == pytest.approx(moved)


def test_a_tally_over_batches_is_the_mean_over_all_of_them() -> None:
    """Batches of different sizes and masks: numbers are weighed by how many they are."""
    counter, pairs = tally(), []
    for seed in range(60):  # more than Tally.EVERY, so that some are fetched on the way
        _, prediction, targets = random_pair(encoding("v1"), 1 + seed % 4, seed, recorded=0.7)
        counter.add(prediction, targets)
        pairs.append((prediction, targets))
    found = counter.means()
    totals = [Measures(encoding("v1"))(*pair) for pair in pairs]
    for i, name in enumerate(MEASURES):
        total = sum(sums[i].item() for sums, _ in totals)
        assert found[name] == pytest.approx(total / sum(c[i].item() for _, c in totals))
    loss = found["loss"]
    weighted = [w * (found[f"loss_{p}"] or 0) for p, w in mlp_v1().loss_weights.items()]
    assert loss == pytest.approx(sum(weighted))
    assert counter.steps == 60


def test_a_tally_goes_on_from_its_state() -> None:
    one, first = tally(), tally()
    pairs = [random_pair(encoding("v1"), seed=seed)[1:] for seed in range(6)]
    for pair in pairs:
        one.add(*pair)
    for pair in pairs[:4]:
        first.add(*pair)
    second = tally()
    second.restore(first.state())
    for pair in pairs[4:]:
        second.add(*pair)
    assert second.means() == one.means()
    assert second.steps == 6


def test_the_loss_of_a_batch_can_be_differentiated() -> None:
    _, prediction, targets = random_pair(encoding("v1"))
    tally().add(prediction, targets).backward()  # type: ignore[no-untyped-call]
    assert prediction.delta.grad is not None
    assert prediction.delta.grad.any()


def test_what_was_never_recorded_has_no_mean() -> None:
    _, prediction, targets = random_pair(encoding("v1"), recorded=0.0)
    counter = tally()
    counter.add(prediction, targets)
    means = counter.means()
    assert means.pop("loss") == 0
    assert set(means.values()) == {None}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize(("part", "name"), [("delta", "loss_continuous"), ("value", "loss_binary")])
def test_a_loss_that_is_not_finite_is_named_with_its_step(bad: float, part: str, name: str) -> None:
    counter = tally("mlp_v1, epoch 3")
    _, prediction, targets = random_pair(encoding("v1"), 1)
    broken = getattr(prediction, part).detach().clone()
    broken[0, 1, 0, 1] = bad if part == "delta" else -bad
    for step in range(1, 71):
        at_fault = step == 61
        counter.add(replace(prediction, **{part: broken}) if at_fault else prediction, targets)
    with pytest.raises(TrainingError, match=f"^mlp_v1, epoch 3, step 61: {name} is not finite"):
        counter.means()
