"""Baselines, rollouts and the report, against plain re-computation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from melee_pipeline.errors import ArtefactError
from melee_pipeline.evaluation.baselines import ConstantVelocity, CopyLast
from melee_pipeline.evaluation.report import evaluate, lost_to_baselines
from melee_pipeline.evaluation.rollout import pick_starts, roll_out, rollout_windows
from melee_pipeline.models.config import MLPConfig
from melee_pipeline.models.mlp import FrameStackMLP
from melee_pipeline.models.world import build_model
from melee_pipeline.progress import Progress
from melee_pipeline.schema.encoding import encoding
from melee_pipeline.schema.rows import rows_hash
from melee_pipeline.store import TRAINING_SET, Store, read_json
from melee_pipeline.tensors.training_set import load_training_set, open_games, set_version
from melee_pipeline.tensors.windows import OpenGames, Windows
from melee_pipeline.training.config import TrainConfig, loss_weights
from melee_pipeline.training.loop import train
from melee_pipeline.training.losses import Objective
from melee_pipeline.training.measure import FIRST, measure, measured_windows
from melee_pipeline.training.metrics import Measures, Tally
from melee_pipeline.training.recipes import RECIPES

CONTEXT, HORIZON = 4, 6
TINY = TrainConfig(
    experiment="tiny", model=MLPConfig(encoding="v1", context=CONTEXT, hidden=(16,)), epochs=1
)


def nothing(count: int) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def game(built_store: Store) -> tuple[OpenGames, dict[str, np.ndarray]]:
    """One game as tensors, and its table's columns."""
    row = load_training_set(built_store).games.head(1)
    [source], [md5] = row["source"].to_list(), row["md5"].to_list()
    table = pq.read_table(built_store.games(source) / f"{md5}.parquet")
    columns = {n: table.column(n).to_numpy() for n in table.column_names if n != "items"}
    return open_games(built_store, row), columns


def positions(columns: dict[str, np.ndarray]) -> np.ndarray:
    """(frames, players, 2), in the shard's steps of 1/32"""
    players = [np.stack([columns[f"p{p}_{a}"] for a in "xy"], -1) for p in range(2)]
    rounded: np.ndarray = np.rint(32 * np.stack(players, 1)) / 32
    return rounded


def test_baselines_measure_as_numpy_does(
    game: tuple[OpenGames, dict[str, np.ndarray]],
) -> None:
    games, columns = game
    xy = positions(columns)
    actions = np.stack([columns[f"p{p}_action_state"] for p in range(2)], 1).astype(int)
    moved = np.abs(xy[CONTEXT:] - xy[CONTEXT - 1 : -1]).mean()
    velocity = xy[CONTEXT - 1 : -1] - xy[CONTEXT - 2 : -2]
    off = np.abs(xy[CONTEXT:] - xy[CONTEXT - 1 : -1] - velocity).mean()
    stays = (actions[CONTEXT:] == actions[CONTEXT - 1 : -1]).mean()
    windows = Windows(games, CONTEXT)
    for kind, wanted in ((CopyLast, moved), (ConstantVelocity, off)):
        model = kind(encoding("v1"), CONTEXT).eval()
        objective = Objective(model.encoding, TINY.loss_weights)
        tally = Tally(objective, Measures(model.encoding), "test")
        found = measure(model, tally, windows, 256, nothing)
        assert found["position_mae"] == pytest.approx(wanted, rel=1e-4)
        assert found["action_accuracy"] == pytest.approx(stays, abs=1e-6)
        assert found["action_change_accuracy"] == 0


def test_rollouts_of_baselines_are_what_arithmetic_says(
    game: tuple[OpenGames, dict[str, np.ndarray]],
) -> None:
    games, columns = game
    xy = positions(columns)
    windows = rollout_windows(games, CONTEXT, HORIZON)
    starts = torch.tensor([0, 17, len(windows) - 1])
    for kind, speed in ((CopyLast, 0), (ConstantVelocity, 1)):
        model = kind(encoding("v2"), CONTEXT).eval()
        rollout = roll_out(model, windows, starts, nothing, HORIZON)
        for i, start in enumerate(starts.tolist()):
            last = start + FIRST - 1
            velocity = speed * (xy[last] - xy[last - 1])
            for h in range(HORIZON):
                told = rollout.positions[i, h].numpy()
                np.testing.assert_allclose(told, xy[last] + (h + 1) * velocity, atol=2e-3)
                np.testing.assert_allclose(rollout.truth[i, h].numpy(), xy[last + h + 1], atol=1e-4)
    error = np.linalg.norm(rollout.positions.numpy() - rollout.truth.numpy(), axis=-1)
    np.testing.assert_allclose(rollout.position_error.numpy(), error.mean((0, 2)), rtol=1e-5)


def test_a_rollout_of_one_frame_is_the_prediction(
    game: tuple[OpenGames, dict[str, np.ndarray]],
) -> None:
    games, _ = game
    torch.manual_seed(0)
    model = FrameStackMLP(encoding("v2"), CONTEXT, (16,)).eval()
    windows = rollout_windows(games, CONTEXT, 1)
    starts = pick_starts(windows, 20)
    rollout = roll_out(model, windows, starts, nothing, 1)
    batch = windows.batch(starts)
    frames = model.decoder(batch.frames, batch.available)
    before: Tensor = frames.continuous[:, CONTEXT - 1, :, 1:3]
    told = before + model(frames).delta[:, 0, :, 1:3]
    torch.testing.assert_close(rollout.positions[:, 0], told / 0.05)


def test_starts_do_not_hang_on_the_model(game: tuple[OpenGames, dict[str, np.ndarray]]) -> None:
    windows = rollout_windows(game[0], CONTEXT, HORIZON)
    other = rollout_windows(game[0], 40, HORIZON)
    starts = pick_starts(windows, 50)
    assert torch.equal(starts, pick_starts(other, 50))
    for one, another in zip(windows.locate(starts), other.locate(starts), strict=True):
        assert torch.equal(one, another)
    assert torch.equal(pick_starts(windows, 50), pick_starts(windows, 50))
    with pytest.raises(ArtefactError, match="leave 4 for a context of 9"):
        model = CopyLast(encoding("v1"), 9)
        roll_out(model, windows, torch.tensor([0]), nothing, HORIZON)


def test_no_recipe_remembers_more_than_is_left_out_of_measuring() -> None:
    """So all of them are measured on the same frames."""
    assert max(make().model.context for make in RECIPES.values()) <= FIRST


@pytest.mark.parametrize("kind", ["mlp_v3", "mamba2_v3"])
def test_every_frame_is_measured_once(built_store: Store, kind: str) -> None:
    """Both players' actions, from frame FIRST on, in games of which no length fits the windows."""
    games = open_games(built_store, load_training_set(built_store).games)
    model = build_model(RECIPES[kind]().model)
    objective = Objective(model.encoding, loss_weights("v3"))
    tally = Tally(objective, Measures(model.encoding), "test")
    measure(model, tally, measured_windows(model, games), 64, nothing)
    frames = int((games.lengths - FIRST).clamp(min=0).sum())
    assert int(tally.counts[tally.names.index("action_accuracy")]) == 2 * frames
    assert int(tally.counts[tally.names.index("loss_action_state")]) == 2 * frames


def test_the_report_of_a_run(own_store: Store, quiet: Progress) -> None:
    stamp = train(own_store, TINY, device="cpu", wandb="off", progress=quiet)
    run = own_store.root / str(stamp.facts["run"])
    found = evaluate(own_store, run / "best.pt", device="cpu", progress=quiet)
    validating = read_json(run / "manifest.json")["validation_md5s"]
    assert (found.report["split"], found.report["games"]) == ("validation", len(validating))
    names = [row["model"] for row in found.report["table"]]
    assert names == ["tiny", "copy last frame", "constant velocity"]
    assert all((run / name).read_bytes()[:4] == b"\x89PNG" for name in found.facts["pictures"])
    epochs = read_json(run / "manifest.json")["all_epochs"]
    assert found.report["model"]["loss"] == pytest.approx(epochs[0]["validation_loss"], rel=1e-5)
    again = evaluate(own_store, run, device="cpu", progress=quiet)
    assert (again.fresh, again.version) == (False, found.version)


def test_games_that_are_gone_are_counted(own_store: Store, quiet: Progress) -> None:
    import polars as pl

    stamp = train(own_store, TINY, device="cpu", wandb="off", progress=quiet)
    rest = pl.read_parquet(own_store.training_set).filter(pl.col("split") == "train")
    rest.write_parquet(own_store.training_set)
    joined = own_store.need(TRAINING_SET, "training_set", "")
    own_store.put(replace(joined, version=set_version(rest, rows_hash())))
    with pytest.raises(ArtefactError, match="are not in the training set any more"):
        evaluate(own_store, own_store.root / str(stamp.facts["run"]), progress=quiet)


def test_losing_to_a_baseline_is_said() -> None:
    row = {"action_accuracy": 0.9, "action_change_accuracy": 0.5, "damage_mae": 1.0}
    model = {**row, "position_mae": 0.5, "rollout_error": 3.0}
    worse = {**model, "action_accuracy": 0.8, "action_change_accuracy": 0.0, "damage_mae": 2.0}
    fast = {**worse, "position_mae": 0.4, "rollout_error": 9.0}
    assert lost_to_baselines([model, {**worse, "position_mae": 1, "rollout_error": 5}]) == []
    assert lost_to_baselines([model, worse, fast]) == ["position_mae", "rollout_error"]
