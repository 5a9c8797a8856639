"""A whole simulated game, frame by frame, and its columns as a replay records them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melee_pipeline.replays.events import FIRST_FRAME
from melee_pipeline.replays.game import GameStart
from melee_pipeline.replays.simulator.arena import ARENAS, BODIES
from melee_pipeline.replays.simulator.fighter import (
    FLOATS,
    INTEGERS,
    RECORDED,
    REST,
    STICK,
    TRIGGER,
    Controls,
    Fighter,
    animation_of,
    flags_of,
    row_of,
)
from melee_pipeline.replays.simulator.pilot import Pilot
from melee_pipeline.replays.simulator.step import Inputs, Match, Pair, step

FIRST_INPUT = -39  # the frame from which players have control; until then the game counts down


@dataclass(frozen=True, slots=True)
class Tape:
    """A game as it was played: the states after each frame, and the inputs that led to them."""

    states: list[Pair]
    inputs: list[Inputs]


def match_of(start: GameStart) -> Match:
    """What of a game's start decides how one frame leads to the next."""
    one, two = start.players
    return Match(
        ARENAS[start.stage],
        (BODIES[one.character], BODIES[two.character]),
        (one.port - 1, two.port - 1),
    )


def play(rng: np.random.Generator, start: GameStart, frames: int) -> Tape:
    """Play until somebody has no stocks left, but for at most `frames` frames."""
    match = match_of(start)
    arena, one, two = match.arena, *start.players
    (left, height), (right, other) = arena.entries
    before = (
        Fighter(left, height, 1.0, stocks=one.stocks, instance=1),
        Fighter(right, other, -1.0, stocks=two.stocks, instance=2),
    )
    first, second = (
        Pilot(own, body, arena) for own, body in zip(rng.spawn(2), match.bodies, strict=True)
    )
    tape = Tape([before], [(REST, REST)])
    while len(tape.states) < frames and before[0].stocks and before[1].stocks:
        now = (REST, REST)
        if FIRST_FRAME + len(tape.states) >= FIRST_INPUT:
            now = first.controls(*before), second.controls(*before[::-1])
        before = step(match, before, tape.inputs[-1], now)
        tape.states.append(before)
        tape.inputs.append(now)
    return tape


def columns_of(
    tape: Tape, player: int, seeds: NDArray[np.uint32]
) -> dict[str, NDArray[np.generic]]:
    """The `pre.…` and `post.…` columns of one player, each of shape (frames,)."""
    states = [pair[player] for pair in tape.states]
    rows = dict(zip(RECORDED, zip(*map(row_of, states), strict=True), strict=True))
    columns: dict[str, NDArray[np.generic]] = {}
    for name, path in FLOATS.items():
        columns[f"post.{path}"] = np.array(rows[name], "f4")
    for name, path in INTEGERS.items():
        columns[f"post.{path}"] = np.array(rows[name], "u2")
    flags = np.array([flags_of(fighter) for fighter in states], "u1")
    columns |= {f"post.state_flags.{i}": flags[:, i] for i in range(flags.shape[1])}
    columns["post.animation_index"] = np.array([animation_of(fighter) for fighter in states], "u4")
    # Before a frame's inputs take effect, everything is as the frame before left it.
    for path in ("state", "position.x", "position.y", "direction", "percent"):
        after = columns[f"post.{path}"]
        columns[f"pre.{path}"] = np.concatenate([after[:1], after[:-1]])
    return columns | _inputs([pair[player] for pair in tape.inputs]) | {"pre.random_seed": seeds}


def _inputs(controls: list[Controls]) -> dict[str, NDArray[np.generic]]:
    steps = np.array([(c.x, c.y, c.cx, c.cy, c.left, c.right, c.trigger) for c in controls], "i4")
    sticks = steps[:, :4].astype("f4") / np.float32(STICK)
    triggers = steps[:, 4:].astype("f4") / np.float32(TRIGGER)
    return {
        "pre.joystick.x": sticks[:, 0],
        "pre.joystick.y": sticks[:, 1],
        "pre.cstick.x": sticks[:, 2],
        "pre.cstick.y": sticks[:, 3],
        "pre.triggers_physical.l": triggers[:, 0],
        "pre.triggers_physical.r": triggers[:, 1],
        "pre.triggers": triggers[:, 2],
        "pre.buttons": np.array([c.buttons for c in controls], "u4"),
        "pre.buttons_physical": np.array([c.pressed for c in controls], "u2"),
        "pre.raw_analog_x": steps[:, 0],
        "pre.raw_analog_y": steps[:, 1],
        "pre.raw_analog_cstick_x": steps[:, 2],
        "pre.raw_analog_cstick_y": steps[:, 3],
    }
