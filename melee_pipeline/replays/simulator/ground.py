"""What a fighter on the ground does with its player's inputs."""

from __future__ import annotations

from collections.abc import Callable

from melee_pipeline.replays.simulator.arena import LANDING_LAG, MOVES
from melee_pipeline.replays.simulator.fighter import DEAD_ZONE, HARD, SQUAT_AT, STICK
from melee_pipeline.replays.simulator.hits import break_shield
from melee_pipeline.replays.simulator.turn import Turn, toward
from melee_pipeline.schema.actions import ActionState as Act

_SHIELD_COST = 0.28  # a frame
_LANDED = 4  # frames after which a landing can be broken off
_DASH = 14  # frames of a dash before it becomes a run
_DOWN = 26  # frames of the bounce on the floor
_STAYS_DOWN = 60
# Actions that end by themselves, and after how many frames.
_ENDS: dict[int, int] = {
    Act.RUN_BRAKE: 18,
    Act.SQUAT_RV: 10,
    Act.GUARD_OFF: 15,
    Act.LANDING: 30,
    Act.PASSIVE: 26,
    Act.DOWN_STAND_U: 30,
    Act.FURA_FURA: 180,
} | LANDING_LAG


def _slide(turn: Turn, times: float = 1.0) -> None:
    fighter = turn.fighter
    fighter.ground_x = toward(fighter.ground_x, 0.0, turn.body.friction * times)


def _attack(turn: Turn) -> int | None:
    """The attack that the player asks for; a smash or a tilt turns the fighter to its side."""
    fighter, now = turn.fighter, turn.now
    if turn.smashes():
        return _directed(turn, now.cx, now.cy, Act.ATTACK_S_4_S, Act.ATTACK_HI_4, Act.ATTACK_LW_4)
    if not turn.attacks():
        return None
    if fighter.state in (Act.DASH, Act.RUN):
        return Act.ATTACK_DASH
    if max(abs(now.x), abs(now.y)) < DEAD_ZONE:
        return Act.ATTACK_11
    aside = Act.ATTACK_S_4_S if turn.flicked() else Act.ATTACK_S_3_S
    return _directed(turn, now.x, now.y, aside, Act.ATTACK_HI_3, Act.ATTACK_LW_3)


def _directed(turn: Turn, x: int, y: int, aside: int, up: int, down: int) -> int:
    """The attack of a stick's direction; to a side the fighter turns."""
    if abs(y) >= abs(x):
        return up if y > 0 else down
    turn.fighter.direction = 1.0 if x > 0 else -1.0
    return aside


def _acts(turn: Turn) -> bool:
    """Begin an attack, a jump or a shield if the player asks for one."""
    attack = _attack(turn)
    if attack is not None:
        turn.fighter.enter(attack, 1.0)
    elif turn.jumps():
        turn.fighter.enter(Act.KNEE_BEND)
    elif turn.now.shields:
        turn.fighter.enter(Act.GUARD_ON)
    else:
        return False
    return True


def _stand(turn: Turn, idle: int = Act.WAIT) -> None:
    """Everything can be begun; without inputs the fighter is `idle`."""
    fighter, now, body = turn.fighter, turn.now, turn.body
    _slide(turn)
    if _acts(turn) or _drops(turn):
        return
    if now.y <= -SQUAT_AT:
        fighter.enter(Act.SQUAT, 1.0)
    elif turn.forward <= -DEAD_ZONE:
        fighter.enter(Act.TURN, 1.0)
    elif turn.forward < DEAD_ZONE:
        fighter.keep(idle)
    elif turn.flicked():
        _dash(turn)
    else:
        push = abs(now.x) / STICK
        fighter.ground_x = toward(
            fighter.ground_x, fighter.direction * body.walk * push, 3 * body.friction
        )
        names = (Act.WALK_SLOW, Act.WALK_MIDDLE, Act.WALK_FAST)
        fighter.keep(names[(push > 0.45) + (push > 0.75)])


def _dash(turn: Turn) -> None:
    turn.fighter.enter(Act.DASH, 1.0)
    turn.fighter.ground_x = turn.fighter.direction * turn.body.dash


def _drops(turn: Turn) -> bool:
    """Drop through a platform."""
    fighter = turn.fighter
    if not turn.drops() or fighter.ground == turn.arena.surfaces[0].id:
        return False
    fighter.enter(Act.PASS)
    fighter.airborne, fighter.jumps = 1, 1
    fighter.air_x, fighter.ground_x, fighter.self_y = fighter.ground_x, 0.0, -0.5
    return True


def _turn(turn: Turn) -> None:
    fighter = turn.fighter
    _slide(turn)
    if fighter.age == 2:
        fighter.direction = -fighter.direction
        if turn.forward >= HARD:
            _dash(turn)
            return
    if not _acts(turn) and fighter.age > 11:
        _stand(turn)


def _dashing(turn: Turn) -> None:
    fighter = turn.fighter
    held = turn.forward >= SQUAT_AT
    if held:
        fighter.ground_x = fighter.direction * turn.body.dash
    else:
        _slide(turn)
    if _acts(turn):
        return
    if turn.forward < 0 and turn.flicked():
        fighter.enter(Act.TURN, 1.0)
    elif fighter.age > _DASH:
        fighter.enter(Act.RUN if held else Act.WAIT)


def _run(turn: Turn) -> None:
    fighter = turn.fighter
    speed = fighter.direction * turn.body.run
    fighter.ground_x = toward(fighter.ground_x, speed, 2 * turn.body.friction)
    if _acts(turn):
        return
    if turn.forward <= -DEAD_ZONE:
        fighter.enter(Act.TURN_RUN)
    elif turn.forward < SQUAT_AT:
        fighter.enter(Act.RUN_BRAKE)


def _turn_run(turn: Turn) -> None:
    fighter = turn.fighter
    _slide(turn, 2)
    if turn.jumps():
        fighter.enter(Act.KNEE_BEND)
        return
    if fighter.age == 12:
        fighter.direction = -fighter.direction
    if fighter.age > 20:
        fighter.enter(Act.RUN if turn.forward >= SQUAT_AT else Act.WAIT)


def _knee_bend(turn: Turn) -> None:
    fighter, body = turn.fighter, turn.body
    _slide(turn)
    if fighter.age < body.squat:
        return
    fighter.enter(Act.JUMP_F if turn.forward > -DEAD_ZONE else Act.JUMP_B)
    fighter.airborne, fighter.jumps = 1, 1
    fighter.self_y = body.hop if turn.holds_jump() else body.short_hop
    speed = 0.8 * fighter.ground_x + 0.5 * body.air * turn.now.x / STICK
    fighter.air_x, fighter.ground_x = max(-1.5 * body.air, min(1.5 * body.air, speed)), 0.0


def _squat(turn: Turn) -> None:
    fighter = turn.fighter
    _slide(turn)
    if _acts(turn) or _drops(turn):
        return
    if turn.now.y > -SQUAT_AT:
        fighter.enter(Act.SQUAT_RV)
    elif fighter.state == Act.SQUAT and fighter.age > 7:
        fighter.enter(Act.SQUAT_WAIT)


def _ending(turn: Turn) -> None:
    """Actions that end by themselves; some can be broken off."""
    fighter = turn.fighter
    state = fighter.state
    if state == Act.LANDING and fighter.age >= _LANDED:
        _stand(turn, idle=Act.LANDING)
    else:
        _slide(turn)
    if state in (Act.RUN_BRAKE, Act.GUARD_OFF) and turn.jumps():
        fighter.enter(Act.KNEE_BEND)
    elif state == Act.SQUAT_RV:
        _acts(turn)
    if fighter.state == state and fighter.age >= _ENDS[state]:
        fighter.enter(Act.WAIT)


def _guard(turn: Turn) -> None:
    fighter = turn.fighter
    _slide(turn)
    fighter.shield -= _SHIELD_COST
    if fighter.shield <= 0:
        break_shield(turn.fighter)
    elif turn.jumps():
        fighter.enter(Act.KNEE_BEND)
    elif not turn.now.shields:
        fighter.enter(Act.GUARD_OFF)
    elif fighter.state == Act.GUARD_ON and fighter.age >= 8:
        fighter.enter(Act.GUARD)


def _shield_stun(turn: Turn) -> None:
    fighter = turn.fighter
    _slide(turn)
    fighter.hitstun = max(0.0, fighter.hitstun - 1)
    if not fighter.hitstun:
        fighter.enter(Act.GUARD if turn.now.shields else Act.GUARD_OFF)


def _attacking(turn: Turn) -> None:
    fighter = turn.fighter
    _slide(turn)
    if fighter.state == Act.ATTACK_11 and fighter.age >= 6 and turn.attacks():
        fighter.enter(Act.ATTACK_12)
    elif fighter.age > MOVES[fighter.state].total:
        fighter.enter(Act.WAIT)


def _down(turn: Turn) -> None:
    fighter, now = turn.fighter, turn.now
    _slide(turn)
    if fighter.state == Act.DOWN_BOUND_U:
        if fighter.age >= _DOWN:
            fighter.enter(Act.DOWN_WAIT_U)
    elif now.buttons or max(abs(now.x), abs(now.y)) >= SQUAT_AT or fighter.age >= _STAYS_DOWN:
        fighter.enter(Act.DOWN_STAND_U)


GROUND: dict[int, Callable[[Turn], None]] = {
    **dict.fromkeys((Act.WAIT, Act.WALK_SLOW, Act.WALK_MIDDLE, Act.WALK_FAST), _stand),
    Act.TURN: _turn,
    Act.DASH: _dashing,
    Act.RUN: _run,
    Act.TURN_RUN: _turn_run,
    Act.KNEE_BEND: _knee_bend,
    **dict.fromkeys((Act.SQUAT, Act.SQUAT_WAIT), _squat),
    **dict.fromkeys((Act.GUARD_ON, Act.GUARD), _guard),
    Act.GUARD_SET_OFF: _shield_stun,
    **dict.fromkeys((Act.DOWN_BOUND_U, Act.DOWN_WAIT_U), _down),
    **dict.fromkeys(_ENDS, _ending),
    **dict.fromkeys((attack for attack, move in MOVES.items() if not move.lag), _attacking),
}
