"""What simulated games are made of: stages, characters and moves, as approximate figures.

Units are the game's: game units, frames, game units a frame, per cent. Stage edges, blast zones,
surface ids and entry points, animation ids and the characters' movement are close to the game's
own (SSBM Data Sheet; surface, entry and animation ids as replays record them). Moves are
simplified: one box each, the same for all characters but for power and reach.
"""

from __future__ import annotations

from dataclasses import dataclass

from melee_pipeline.schema.actions import ActionState as Act
from melee_pipeline.schema.vocab import ExternalCharacter, Stage


@dataclass(frozen=True, slots=True)
class Surface:
    """A level line to stand on. `id` is what `post.ground` holds."""

    id: int
    left: float
    right: float
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Arena:
    """A stage. The first surface is the floor; through the others one can drop."""

    surfaces: tuple[Surface, ...]
    side: float  # beyond ± this, and beyond top and bottom, a fighter is dead
    top: float
    bottom: float
    entries: tuple[tuple[float, float], tuple[float, float]]  # left and right


@dataclass(frozen=True, slots=True)
class Body:
    """How a character moves, how heavy it is, how hard and how far it hits."""

    walk: float
    dash: float
    run: float
    friction: float
    squat: int  # frames of KNEE_BEND
    hop: float  # upward speed of a full jump
    short_hop: float
    second_jump: float
    gravity: float
    fall: float
    fast_fall: float
    air: float  # greatest self-made speed in the air
    drift: float  # its change a frame
    weight: float
    power: float
    reach: float


@dataclass(frozen=True, slots=True)
class Move:
    """An attack: it hits from age `first` to `last`, inside a box before and above the feet.

    `id` is what `post.last_attack_landed` holds; `lag` is the landing of an aerial, in frames.
    """

    id: int
    damage: float
    first: int
    last: int
    total: int
    angle: float
    base: float
    growth: float
    x: tuple[float, float]
    y: tuple[float, float]
    lag: int = 0


def _platforms(*at: tuple[int, float, float, float]) -> tuple[Surface, ...]:
    return tuple(Surface(*one) for one in at)


ARENAS: dict[int, Arena] = {
    Stage.FOUNTAIN_OF_DREAMS: Arena(
        (Surface(5, -63.35, 63.35), *_platforms((2, -14.25, 14.25, 42.75))),
        198.75, 202.5, -146.25, ((-41.25, 21.0), (41.25, 27.0)),
    ),
    Stage.POKEMON_STADIUM: Arena(
        (
            Surface(34, -87.75, 87.75),
            *_platforms((35, -55.0, -25.0, 25.0), (36, 25.0, 55.0, 25.0)),
        ),
        230.0, 180.0, -111.0, ((-40.0, 32.0), (40.0, 32.0)),
    ),
    Stage.YOSHIS_STORY: Arena(
        (
            Surface(3, -56.0, 56.0),
            *_platforms(
                (1, -59.5, -28.0, 23.45), (4, -15.75, 15.75, 42.0), (5, 28.0, 59.5, 23.45)
            ),
        ),
        175.7, 168.0, -91.0, ((-42.0, 26.6), (42.0, 28.0)),
    ),
    Stage.DREAM_LAND: Arena(
        (
            Surface(4, -77.27, 77.27),
            *_platforms(
                (0, -61.4, -31.7, 30.14), (2, -19.0, 19.0, 51.42), (1, 31.7, 63.1, 30.24)
            ),
        ),
        255.0, 250.0, -123.0, ((-46.6, 37.2), (47.4, 37.3)),
    ),
    Stage.BATTLEFIELD: Arena(
        (
            Surface(1, -68.4, 68.4),
            *_platforms((2, -57.6, -20.0, 27.2), (3, -18.8, 18.8, 54.4), (4, 20.0, 57.6, 27.2)),
        ),
        224.0, 200.0, -108.8, ((-38.8, 35.2), (38.8, 35.2)),
    ),
    Stage.FINAL_DESTINATION: Arena(
        (Surface(1, -85.57, 85.57),), 246.0, 188.0, -140.0, ((-60.0, 10.0), (60.0, 10.0))
    ),
}  # fmt: skip

# walk, dash, run, friction, squat, jumps (full, short, second), gravity, fall, fast fall, air
# speed, drift, weight, power, reach
BODIES: dict[int, Body] = {
    ExternalCharacter.FOX: Body(
        1.6, 1.9, 2.2, 0.08, 3, 3.68, 2.1, 4.4, 0.23, 2.8, 3.4, 0.83, 0.08, 75, 0.97, 0.95
    ),
    ExternalCharacter.FALCO: Body(
        1.4, 1.9, 1.5, 0.08, 5, 4.1, 1.9, 3.8, 0.17, 3.1, 3.5, 0.83, 0.07, 80, 1.03, 0.95
    ),
    ExternalCharacter.MARTH: Body(
        1.6, 1.5, 1.8, 0.06, 4, 2.4, 1.5, 2.1, 0.085, 2.2, 2.5, 0.9, 0.05, 87, 1.06, 1.3
    ),
    ExternalCharacter.CAPTAIN_FALCON: Body(
        0.85, 2.0, 2.3, 0.08, 4, 3.1, 1.9, 2.8, 0.13, 2.9, 3.5, 1.12, 0.06, 104, 1.13, 1.05
    ),
    ExternalCharacter.SHEIK: Body(
        1.2, 1.7, 1.8, 0.08, 3, 2.8, 2.1, 2.8, 0.12, 2.13, 3.0, 0.8, 0.06, 90, 1.0, 1.1
    ),
}

_FRONT, _ROUND, _BACK = (-4.0, 19.0), (-15.0, 15.0), (-19.0, 4.0)
_LEVEL, _ABOVE, _BELOW = (-10.0, 18.0), (0.0, 28.0), (-18.0, 8.0)
MOVES: dict[int, Move] = {
    Act.ATTACK_11: Move(2, 5.0, 2, 4, 17, 70, 5, 60, _FRONT, _LEVEL),
    Act.ATTACK_12: Move(3, 6.0, 2, 4, 20, 65, 10, 70, _FRONT, _LEVEL),
    Act.ATTACK_DASH: Move(6, 11.0, 5, 14, 36, 60, 35, 110, _FRONT, _LEVEL),
    Act.ATTACK_S_3_S: Move(7, 11.5, 5, 9, 27, 40, 15, 125, (-2.0, 22.0), _LEVEL),
    Act.ATTACK_HI_3: Move(8, 11.0, 5, 12, 23, 95, 26, 145, _ROUND, _ABOVE),
    Act.ATTACK_LW_3: Move(9, 11.5, 6, 9, 28, 75, 25, 130, (-2.0, 21.0), _BELOW),
    Act.ATTACK_S_4_S: Move(10, 19.0, 12, 17, 42, 42, 25, 125, (-2.0, 26.0), _LEVEL),
    Act.ATTACK_HI_4: Move(11, 18.0, 8, 15, 40, 83, 30, 130, _ROUND, _ABOVE),
    Act.ATTACK_LW_4: Move(12, 16.0, 6, 11, 44, 28, 20, 115, (-20.0, 20.0), _BELOW),
    Act.ATTACK_AIR_N: Move(13, 13.0, 4, 22, 40, 45, 15, 125, _ROUND, _LEVEL, 15),
    Act.ATTACK_AIR_F: Move(14, 13.0, 7, 14, 42, 45, 20, 125, _FRONT, _LEVEL, 20),
    Act.ATTACK_AIR_B: Move(15, 15.5, 5, 12, 39, 40, 20, 130, _BACK, _LEVEL, 20),
    Act.ATTACK_AIR_HI: Move(16, 14.0, 7, 14, 38, 82, 25, 125, _ROUND, _ABOVE, 18),
    Act.ATTACK_AIR_LW: Move(17, 13.5, 6, 20, 44, 285, 20, 110, (-12.0, 12.0), _BELOW, 18),
}
AERIAL_LANDINGS: dict[int, Act] = {
    Act.ATTACK_AIR_N: Act.LANDING_AIR_N,
    Act.ATTACK_AIR_F: Act.LANDING_AIR_F,
    Act.ATTACK_AIR_B: Act.LANDING_AIR_B,
    Act.ATTACK_AIR_HI: Act.LANDING_AIR_HI,
    Act.ATTACK_AIR_LW: Act.LANDING_AIR_LW,
}
LANDING_LAG: dict[int, int] = {
    landing: MOVES[aerial].lag for aerial, landing in AERIAL_LANDINGS.items()
}

NO_ANIMATION = 0xFFFFFFFF
# The animation of an action, where it has one.
ANIMATIONS: dict[int, int] = {
    Act.REBIRTH: 2, Act.REBIRTH_WAIT: 2, Act.WAIT: 2, Act.WALK_SLOW: 7, Act.WALK_MIDDLE: 8,
    Act.WALK_FAST: 9, Act.TURN: 10, Act.TURN_RUN: 11, Act.DASH: 12, Act.RUN: 13, Act.RUN_BRAKE: 14,
    Act.KNEE_BEND: 15, Act.JUMP_F: 16, Act.JUMP_B: 17, Act.JUMP_AERIAL_F: 18, Act.JUMP_AERIAL_B: 19,
    Act.FALL: 20, Act.FALL_AERIAL: 23, Act.DAMAGE_FALL: 29, Act.SQUAT: 30, Act.SQUAT_WAIT: 31,
    Act.SQUAT_RV: 34, Act.LANDING: 35, Act.GUARD_OFF: 39, Act.GUARD_SET_OFF: 40, Act.ATTACK_11: 46,
    Act.ATTACK_12: 47, Act.ATTACK_DASH: 52, Act.ATTACK_S_3_S: 55, Act.ATTACK_HI_3: 58,
    Act.ATTACK_LW_3: 59, Act.ATTACK_S_4_S: 62, Act.ATTACK_HI_4: 66, Act.ATTACK_LW_4: 67,
    Act.ATTACK_AIR_N: 68, Act.ATTACK_AIR_F: 69, Act.ATTACK_AIR_B: 70, Act.ATTACK_AIR_HI: 71,
    Act.ATTACK_AIR_LW: 72, Act.LANDING_AIR_N: 73, Act.LANDING_AIR_F: 74, Act.LANDING_AIR_B: 75,
    Act.LANDING_AIR_HI: 76, Act.LANDING_AIR_LW: 77, Act.DAMAGE_HI_1: 165, Act.DAMAGE_HI_2: 166,
    Act.DAMAGE_HI_3: 167, Act.DAMAGE_N_1: 168, Act.DAMAGE_N_2: 169, Act.DAMAGE_N_3: 170,
    Act.DAMAGE_LW_1: 171, Act.DAMAGE_LW_2: 172, Act.DAMAGE_LW_3: 173, Act.DAMAGE_AIR_1: 174,
    Act.DAMAGE_AIR_2: 175, Act.DAMAGE_AIR_3: 176, Act.DAMAGE_FLY_HI: 177, Act.DAMAGE_FLY_N: 178,
    Act.DAMAGE_FLY_LW: 179, Act.DAMAGE_FLY_TOP: 180, Act.DOWN_BOUND_U: 183, Act.DOWN_WAIT_U: 184,
    Act.DOWN_STAND_U: 186, Act.PASS: 209, Act.ENTRY_START: 238,
}  # fmt: skip
