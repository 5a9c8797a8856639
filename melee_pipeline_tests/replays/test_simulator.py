"""The simulator's rows: each follows from the row before and the inputs, as in the game."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from melee_pipeline.replays.game import METHOD_GAME, METHOD_TIME, Game, GameEnd
from melee_pipeline.replays.read import read_replay
from melee_pipeline.replays.simulate import simulate_game
from melee_pipeline.replays.simulator.fighter import (
    AWAY,
    BUTTON_X,
    BUTTON_Y,
    RECORDED,
    Controls,
    Fighter,
    fighter_of,
)
from melee_pipeline.replays.simulator.play import FIRST_INPUT, match_of
from melee_pipeline.replays.simulator.step import step
from melee_pipeline.replays.write import write_slp
from melee_pipeline.schema.actions import ActionState as Act

SEEDS = range(6)
Column = NDArray[np.generic]


@cache
def game_of(seed: int) -> Game:
    """A game of the newest version, which records everything."""
    return simulate_game(seed, version=(3, 17, 0), timer=80)


@pytest.fixture(params=SEEDS)
def game(request: pytest.FixtureRequest) -> Game:
    return game_of(request.param)


def columns(game: Game, player: int) -> dict[str, Column]:
    return {name: np.asarray(value) for name, value in game.fighters[player].columns.items()}


def fighters_of(game: Game, player: int) -> list[Fighter]:
    """The states, made again from nothing but the recorded columns."""
    recorded = columns(game, player)
    values = (recorded[f"post.{path}"].tolist() for path in RECORDED.values())
    return [fighter_of(row) for row in zip(*values, strict=True)]


def controls_of(game: Game, player: int) -> list[Controls]:
    """The inputs, from the recorded columns."""
    recorded = columns(game, player)

    def steps(name: str, size: int) -> list[int]:
        exact = recorded[name].astype("f8") * size
        assert np.abs(exact - np.round(exact)).max() < 1e-4, name
        return [int(x) for x in np.round(exact)]

    sticks = ("joystick.x", "joystick.y", "cstick.x", "cstick.y")
    triggers = ("triggers_physical.l", "triggers_physical.r")
    parts = [steps(f"pre.{name}", 80) for name in sticks]
    parts += [steps(f"pre.{name}", 140) for name in triggers]
    buttons = recorded["pre.buttons_physical"].tolist()
    return [Controls(*row) for row in zip(*parts, buttons, strict=True)]


def test_a_row_follows_from_the_row_before_and_the_inputs(game: Game) -> None:
    """The alignment of the format: inputs of row t lead from the state of t − 1 to that of t."""
    match = match_of(game.start)
    states = list(zip(fighters_of(game, 0), fighters_of(game, 1), strict=True))
    inputs = list(zip(controls_of(game, 0), controls_of(game, 1), strict=True))
    for t in range(1, len(states)):
        assert step(match, states[t - 1], inputs[t - 1], inputs[t]) == states[t], t


def test_the_inputs_of_the_row_itself_are_needed(game: Game) -> None:
    """With the inputs of the row before in their place, many actions are not what they were."""
    match = match_of(game.start)
    states = list(zip(fighters_of(game, 0), fighters_of(game, 1), strict=True))
    inputs = list(zip(controls_of(game, 0), controls_of(game, 1), strict=True))
    wrong = sum(
        step(match, states[t - 1], inputs[t - 2], inputs[t - 1])[0].state != states[t][0].state
        for t in range(2, len(states))
    )
    assert wrong > len(states) / 50


def test_a_jump_begins_on_the_row_of_its_input(game: Game) -> None:
    seen = 0
    for player in range(2):
        state = columns(game, player)["post.state"]
        hitlag = columns(game, player)["post.hitlag"]
        buttons = columns(game, player)["pre.buttons"].astype("u4")
        jump = BUTTON_X | BUTTON_Y
        pressed = (buttons[1:] & ~buttons[:-1] & jump) > 0
        ready = np.isin(state[:-1], [Act.WAIT, Act.DASH, Act.RUN, Act.WALK_FAST])
        for t in np.flatnonzero(pressed & ready) + 1:
            if hitlag[t]:
                continue  # hit on the very frame
            assert state[t] == Act.KNEE_BEND
            seen += 1
    assert seen


def test_rows_are_plausible(game: Game) -> None:
    rows = len(game.frames)
    assert game.frames.tolist() == list(range(-123, rows - 123))
    for player in range(2):
        recorded = columns(game, player)
        state, percent = recorded["post.state"], recorded["post.percent"]
        assert set(state.tolist()) <= {int(action) for action in Act}
        assert np.isin(np.abs(recorded["post.direction"].astype("f4")), [1]).all()
        stocks = np.diff(recorded["post.stocks"].astype(int))
        assert set(stocks.tolist()) <= {0, -1}
        died = np.flatnonzero(stocks) + 1
        assert set(state[died].tolist()) <= set(range(Act.DEAD_UP + 1))
        reborn = np.flatnonzero((state[1:] == Act.REBIRTH) & (state[:-1] != Act.REBIRTH)) + 1
        assert (percent[reborn] == 0).all()
        healed = np.flatnonzero(np.diff(percent.astype("f8")) < 0) + 1
        assert set(healed.tolist()) <= set(reborn.tolist())
        safe = np.isin(state, [int(a) for a in AWAY]) | (recorded["post.hurtbox_state"] != 0)
        assert not (np.diff(percent.astype("f8"), prepend=0) > 0)[np.roll(safe, 1) & safe].any()
        shield = recorded["post.shield"].astype("f4")
        assert shield.min() >= 0
        assert shield.max() <= 60
        np.testing.assert_array_equal(recorded["pre.state"][1:], state[:-1])
        np.testing.assert_array_equal(recorded["pre.percent"][1:], percent[:-1])
        assert state[0] == Act.ENTRY
        idle = game.frames < FIRST_INPUT
        for name in ("pre.joystick.x", "pre.joystick.y", "pre.cstick.x", "pre.triggers"):
            assert not recorded[name][idle].any()
        assert not recorded["pre.buttons"][idle].any()


def test_games_show_what_a_model_has_to_learn() -> None:
    seen: set[int] = set()
    for seed in SEEDS:
        for player in range(2):
            seen |= set(columns(game_of(seed), player)["post.state"].tolist())
    wanted = {
        *range(Act.REBIRTH, Act.DASH + 1),
        *(Act.RUN, Act.RUN_BRAKE, Act.KNEE_BEND, Act.JUMP_F, Act.JUMP_B),
        *(Act.JUMP_AERIAL_F, Act.JUMP_AERIAL_B, Act.FALL, Act.DAMAGE_FALL, Act.SQUAT, Act.LANDING),
        *(Act.ATTACK_11, Act.ATTACK_DASH, Act.ATTACK_S_3_S, Act.ATTACK_HI_3, Act.ATTACK_LW_3),
        *range(Act.ATTACK_AIR_N, Act.LANDING_AIR_LW + 1),
        *(Act.DAMAGE_N_1, Act.DAMAGE_AIR_2, Act.DAMAGE_FLY_N, Act.DAMAGE_FLY_TOP),
        *(Act.GUARD_ON, Act.GUARD, Act.GUARD_OFF, Act.GUARD_SET_OFF, Act.PASSIVE),
        *(Act.DOWN_BOUND_U, Act.DOWN_WAIT_U, Act.DOWN_STAND_U, Act.PASS),
        *(Act.ENTRY, Act.ENTRY_START, Act.ENTRY_END, Act.DEAD_DOWN),
    }
    assert {Act(a).name for a in wanted} <= {Act(a).name for a in seen}


def test_a_game_ends_with_the_last_stock_or_with_time(tmp_path: Path) -> None:
    ends = {(game_of(seed).end or GameEnd()).method: game_of(seed) for seed in SEEDS}
    over = ends[METHOD_GAME]
    stocks = [int(columns(over, player)["post.stocks"][-1]) for player in range(2)]
    assert min(stocks) == 0 < max(stocks)
    replay = read_replay(write_slp(over, tmp_path / "over.slp"))
    assert replay.end_method == "Game"
    winner = over.start.players[stocks.index(max(stocks))].port
    assert replay.placements[f"P{winner}"] == 0
    timed_out = ends[METHOD_TIME]
    assert timed_out.frames[-1] == 80 * 60 - 1
    assert read_replay(write_slp(timed_out, tmp_path / "time.slp")).end_method == "Time"


def test_games_of_old_versions_do_not_tell_how_they_ended(tmp_path: Path) -> None:
    old = simulate_game(1, version=(1, 7, 1), timer=20)
    assert read_replay(write_slp(old, tmp_path / "old.slp")).end_method == "Resolved"
