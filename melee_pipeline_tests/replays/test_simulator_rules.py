"""The simulator's rules, one at a time, with scripted inputs."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest

from melee_pipeline.replays.simulator.arena import ARENAS, BODIES, LANDING_LAG, MOVES
from melee_pipeline.replays.simulator.fighter import (
    BUTTON_A,
    BUTTON_L,
    BUTTON_X,
    BUTTON_Z,
    REST,
    Controls,
    Fighter,
)
from melee_pipeline.replays.simulator.step import Match, Pair, step
from melee_pipeline.schema.actions import ActionState as Act
from melee_pipeline.schema.vocab import ExternalCharacter, Stage

FOX, MARTH = BODIES[ExternalCharacter.FOX], BODIES[ExternalCharacter.MARTH]
BATTLEFIELD = ARENAS[Stage.BATTLEFIELD]
MATCH = Match(BATTLEFIELD, (FOX, MARTH), (0, 2))
A, X = Controls(pressed=BUTTON_A), Controls(pressed=BUTTON_X)
SHIELD = Controls(left=140, pressed=BUTTON_L)
DOWN, RIGHT, LEFT = Controls(y=-80), Controls(x=80), Controls(x=-80)


def standing(x: float, direction: float = 1.0, instance: int = 1) -> Fighter:
    """A fighter on the floor."""
    return Fighter(
        x, 0.0, direction, state=Act.WAIT, airborne=0, ground=1, jumps=2, instance=instance
    )


def fought(one: Fighter, two: Fighter, inputs: Iterable[Controls]) -> list[Pair]:
    """What follows when the first player gives these inputs and the second none."""
    pairs, was = [(one, two)], REST
    for now in inputs:
        pairs.append(step(MATCH, pairs[-1], (was, REST), (now, REST)))
        was = now
    return pairs[1:]


def alone(one: Fighter, inputs: Iterable[Controls]) -> list[Fighter]:
    """The same, with the other fighter far away."""
    return [pair[0] for pair in fought(one, standing(60.0, instance=2), inputs)]


def states(fighters: list[Fighter]) -> list[str]:
    """Names of the actions, each once."""
    names = [Act(fighter.state).name for fighter in fighters]
    return [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]


def test_a_jump_is_short_when_its_button_is_let_go() -> None:
    held = alone(standing(0.0), [X] * 60)
    short = alone(standing(0.0), [X] + [REST] * 59)
    for jump, speed in ((held, FOX.hop), (short, FOX.short_hop)):
        assert [f.state for f in jump[: FOX.squat]] == [Act.KNEE_BEND] * FOX.squat
        first = jump[FOX.squat]
        assert (first.state, first.airborne, first.jumps) == (Act.JUMP_F, 1, 1)
        assert first.self_y == pytest.approx(speed)
        assert jump[-1].airborne == 0
        assert jump[-1].jumps == 2
    assert max(f.y for f in held) > 1.5 * max(f.y for f in short)


def test_there_is_one_jump_in_the_air() -> None:
    again = [X, *[REST] * 14, X, REST, X, *[REST] * 4]
    after = alone(standing(0.0), again)
    assert after[15].state == Act.JUMP_AERIAL_F
    assert after[15].self_y > after[14].self_y
    assert [f.jumps for f in after[14:]] == [1, 0, 0, 0, 0, 0, 0, 0]
    assert [f.state for f in after[15:]] == [Act.JUMP_AERIAL_F] * 7


def test_down_on_the_way_down_falls_fast() -> None:
    start = Fighter(0.0, 150.0, 1.0, state=Act.FALL, self_y=-1.0)
    slow, fast = alone(start, [REST] * 20), alone(start, [DOWN, *[REST] * 19])
    assert slow[-1].self_y == pytest.approx(-FOX.fall)
    assert {round(f.self_y, 4) for f in fast} == {-FOX.fast_fall}


def test_walking_dashing_and_turning() -> None:
    walk = alone(standing(0.0), [Controls(x=40)] * 10)
    assert states(walk) == ["WALK_MIDDLE"]
    dash = alone(standing(0.0), [RIGHT] * 20)
    assert states(dash) == ["DASH", "RUN"]
    assert dash[-1].x > 2 * walk[-1].x > 0
    turn = alone(standing(0.0), [LEFT] * 3)
    assert states(turn) == ["TURN", "DASH"]
    assert [f.direction for f in turn] == [1.0, -1.0, -1.0]
    slow = alone(standing(0.0), [Controls(x=-40)] * 14)
    assert states(slow)[:2] == ["TURN", "WALK_MIDDLE"]


def test_a_trigger_on_landing_halves_the_lag() -> None:
    aerial = Fighter(0.0, 12.0, 1.0, state=Act.FALL, self_y=-1.0)
    missed = alone(aerial, [A, *[REST] * 45])
    hit = alone(aerial, [A, *[SHIELD] * 8, *[REST] * 37])
    lag = LANDING_LAG[Act.LANDING_AIR_N]
    for fighters, l_cancel, frames in ((missed, 2, lag), (hit, 1, lag - lag // 2)):
        landing = [f for f in fighters if f.state == Act.LANDING_AIR_N]
        assert len(landing) == frames
        assert [f.l_cancel for f in landing] == [l_cancel] + [0] * (frames - 1)


def test_z_stands_for_a() -> None:
    fall = Fighter(0.0, 100.0, 1.0, state=Act.FALL)
    assert alone(fall, [Controls(pressed=BUTTON_Z)])[0].state == Act.ATTACK_AIR_N
    assert Controls(pressed=BUTTON_Z).buttons == BUTTON_Z | BUTTON_A


def test_a_shield_shrinks_grows_back_and_breaks() -> None:
    held = alone(standing(0.0), [SHIELD] * 30 + [REST] * 30)
    assert states(held)[:4] == ["GUARD_ON", "GUARD", "GUARD_OFF", "WAIT"]
    assert held[29].shield < 53
    assert held[29].shield < held[-1].shield < 60
    broken = alone(standing(0.0), [SHIELD] * 300)
    assert states(broken)[:4] == ["GUARD_ON", "GUARD", "SHIELD_BREAK_FLY", "FURA_FURA"]


def test_a_hit_by_hand() -> None:
    """A forward tilt of Fox (11.5 × 0.97) on Marth (weight 87) at 50 %, by the formulas."""
    foe = standing(12.0, -1.0, instance=2)
    foe.percent = 50.0
    pairs = fought(standing(0.0), foe, [Controls(x=40, pressed=BUTTON_A)] * 20)
    at = next(i for i, (_, two) in enumerate(pairs) if two.percent > 50)
    one, two = pairs[at]
    assert one.state == Act.ATTACK_S_3_S
    assert one.age == MOVES[Act.ATTACK_S_3_S].first
    damage = 11.5 * 0.97
    percent = 50 + damage
    knockback = ((percent / 10 + percent * damage / 20) * 200 / 187 * 1.4 + 18) * 1.25 + 15
    assert two.percent == pytest.approx(percent, rel=1e-6)
    assert math.hypot(two.knock_x, two.knock_y) == pytest.approx(0.03 * knockback, rel=1e-5)
    assert two.hitstun == math.floor(0.4 * knockback)
    assert one.hitlag == two.hitlag == math.floor(damage / 3 + 3)
    assert two.state == Act.DAMAGE_FLY_N
    assert (two.last_hit_by, one.last_attack, one.combo) == (0, 7, 1)
    assert (two.airborne, two.direction) == (1, -1.0)
    assert [p[1].percent for p in pairs[at:]] == [two.percent] * len(pairs[at:])  # hits once
    frozen = [p[1].x for p in pairs[at : at + int(two.hitlag) + 1]]
    assert len(set(frozen)) == 1
    assert pairs[at + int(two.hitlag) + 1][1].x > frozen[0]


def test_knockback_grows_with_percent() -> None:
    flights = []
    for percent in (0.0, 60.0, 120.0):
        foe = standing(12.0, -1.0, instance=2)
        foe.percent = percent
        pairs = fought(standing(0.0), foe, [Controls(cx=80)] + [REST] * 60)
        flights.append((max(p[1].hitstun for p in pairs), max(p[1].knock_x for p in pairs)))
    assert flights == sorted(flights)
    assert flights[0] < flights[1] < flights[2]


def test_the_stick_bends_a_launch() -> None:
    def launched(now: Controls) -> Fighter:
        hurt = Fighter(
            0.0, 50.0, 1.0, state=Act.DAMAGE_FLY_N, hitlag=1.0, hitstun=30.0, knock_x=3.0
        )
        return alone(hurt, [now])[0]

    up, none, down = launched(Controls(y=80)), launched(REST), launched(Controls(y=-80))
    assert up.knock_y == pytest.approx(3 * math.sin(math.radians(18)), rel=1e-5)
    assert none.knock_y == 0
    assert down.knock_y == pytest.approx(-up.knock_y)


def test_a_shield_takes_the_hit() -> None:
    guard = standing(12.0, -1.0, instance=2)
    guard.state = Act.GUARD
    pairs, was = [(standing(0.0), guard)], (REST, SHIELD)
    for now in [A] + [REST] * 12:
        pairs.append(step(MATCH, pairs[-1], was, (now, SHIELD)))
        was = (now, SHIELD)
    assert states([two for _, two in pairs]) == ["GUARD", "GUARD_SET_OFF", "GUARD"]
    assert pairs[-1][1].percent == 0
    assert pairs[-1][1].shield < 60 - 0.7 * 5 * FOX.power


def test_platforms_are_landed_on_and_dropped_through() -> None:
    above = Fighter(-40.0, 60.0, 1.0, state=Act.FALL)
    landed = alone(above, [REST] * 40)[-1]
    assert landed.y == pytest.approx(27.2)
    assert (landed.ground, landed.airborne) == (2, 0)
    dropped = alone(landed, [DOWN, *[REST] * 40])
    assert dropped[0].state == Act.PASS
    assert (dropped[-1].y, dropped[-1].ground) == (0.0, 1)


def test_running_off_the_edge_falls_and_dies_and_comes_back() -> None:
    runner = standing(60.0)
    runner.percent = 33.0
    after = alone(runner, [RIGHT] * 400)
    assert states(after)[:4] == ["DASH", "FALL", "DEAD_DOWN", "REBIRTH"]
    names = [Act(f.state).name for f in after]
    died, back = names.index("DEAD_DOWN"), names.index("REBIRTH")
    assert [f.stocks for f in after[died - 1 : died + 1]] == [4, 3]
    assert back - died == 60
    assert (after[died].percent, after[back].percent) == (33.0, 0.0)
    assert after[back].last_hit_by == 6


def test_nobody_is_hit_after_a_rebirth_until_the_landing() -> None:
    def attacked(foe: Fighter) -> float:
        return fought(standing(0.0), foe, [A] + [REST] * 12)[-1][1].percent

    falling = Fighter(8.0, 12.0, -1.0, state=Act.FALL, instance=2)
    assert attacked(falling) > 0
    falling.hurtbox = 1
    assert attacked(falling) == 0
    waiting = Fighter(8.0, 5.0, -1.0, state=Act.REBIRTH_WAIT, instance=2)
    assert attacked(waiting) == 0
    left = alone(Fighter(0.0, 20.0, 1.0, state=Act.REBIRTH_WAIT), [RIGHT] * 40)
    assert left[0].hurtbox == 1
    walks = [f.hurtbox for f in left if f.state == Act.WALK_FAST]
    assert walks
    assert set(walks) == {0}


def test_attacks_can_trade() -> None:
    one, two = standing(0.0), standing(12.0, -1.0, instance=2)
    pairs = [(one, two)]
    for was, now in ((REST, A), *[(A, REST)] * 3):
        pairs.append(step(MATCH, pairs[-1], (was, was), (now, now)))
    assert pairs[-1][0].percent > 0
    assert pairs[-1][1].percent > 0
