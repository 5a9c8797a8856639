"""A whole frame: states and inputs of the frame before, and inputs, give the states.

A small Melee: movement on the ground and in the air, jumps, shields, attacks, platforms, death
and rebirth. Ledges, grabs, specials and dodges are left out. So that a recorded row holds the
whole state, three things differ from the game: fighters that are dead or entering count their
age, a trigger held on landing is what cancels an aerial's lag, and the invulnerability after a
rebirth ends with the first landing or attack.
"""

from __future__ import annotations

from dataclasses import dataclass

from melee_pipeline.replays.simulator.air import AIR, move
from melee_pipeline.replays.simulator.arena import LANDING_LAG, Arena, Body
from melee_pipeline.replays.simulator.fighter import (
    AWAY,
    FULL_SHIELD,
    HURT,
    SHIELDING,
    Controls,
    Fighter,
)
from melee_pipeline.replays.simulator.ground import GROUND
from melee_pipeline.replays.simulator.hits import influence, land_hits
from melee_pipeline.replays.simulator.turn import Turn
from melee_pipeline.schema.actions import ActionState as Act

Pair = tuple[Fighter, Fighter]
Inputs = tuple[Controls, Controls]

_SHIELD_BACK = 0.07  # a frame, while it is not used
_INTANGIBLE: dict[int, int] = {Act.DOWN_STAND_U: 22, Act.PASSIVE: 20}  # until which age
_GRACE = frozenset(
    {Act.FALL, Act.FALL_AERIAL, Act.JUMP_AERIAL_F, Act.JUMP_AERIAL_B, Act.PASS, Act.LANDING}
)
_ACTIONS = AIR | GROUND


@dataclass(frozen=True, slots=True)
class Match:
    """What does not change in a game. `ports` count from 0; the first player has the lower one."""

    arena: Arena
    bodies: tuple[Body, Body]
    ports: tuple[int, int]


def step(match: Match, before: Pair, was: Inputs, now: Inputs) -> Pair:
    """The states after a frame on which the players did `now`, having done `was` before."""
    first, second = before[0].copy(), before[1].copy()
    for i, fighter in enumerate((first, second)):
        _act(Turn(fighter, match.bodies[i], match.arena, i == 1, was[i], now[i]))
    land_hits((first, second), match.bodies, match.ports)
    first.round()
    second.round()
    return first, second


def _act(turn: Turn) -> None:
    fighter = turn.fighter
    cancelled, fighter.l_cancel = fighter.l_cancel == 1, 0
    if fighter.hitlag:
        fighter.hitlag -= 1
        if not fighter.hitlag and fighter.state in HURT:
            influence(fighter, turn.now)
        return
    fighter.age += 1
    if cancelled:  # of a cancelled landing only the second half is played
        fighter.age += LANDING_LAG[fighter.state] // 2
    _ACTIONS[fighter.state](turn)
    if fighter.state not in SHIELDING:
        fighter.shield = min(FULL_SHIELD, fighter.shield + _SHIELD_BACK)
    if fighter.state not in AWAY:
        move(turn)
    fighter.hurtbox = _hurtbox(fighter)


def _hurtbox(fighter: Fighter) -> int:
    if fighter.hurtbox == 1 and fighter.state in _GRACE:
        return 1
    return 2 if fighter.age <= _INTANGIBLE.get(fighter.state, -1) else 0
