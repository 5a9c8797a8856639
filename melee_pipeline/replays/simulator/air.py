"""What a fighter in the air does, how it lands, falls off, dies and comes back."""

from __future__ import annotations

import math
from collections.abc import Callable

from melee_pipeline.replays.simulator.arena import AERIAL_LANDINGS, MOVES, Surface
from melee_pipeline.replays.simulator.fighter import (
    DEAD_ZONE,
    FULL_SHIELD,
    HURT,
    NEVER_STOOD,
    NOBODY,
    SQUAT_AT,
    STICK,
    TUMBLE,
    Fighter,
)
from melee_pipeline.replays.simulator.turn import Turn, toward
from melee_pipeline.schema.actions import ActionState as Act

_KNOCKBACK_DECAY = 0.051  # game units a frame, each frame
_ENTRY = (15, 20)  # frames until the first and the second fighter appear
_ENTRY_START, _ENTRY_END = 29, 30
_DEAD, _REBIRTH, _ON_REBIRTH = 60, 60, 300  # frames
_REBIRTH_AT, _REBIRTH_FROM = 80.0, 136.0  # height of the rebirth platform, and where it starts
_JUMP_ENDS = 40  # frames after which a jump is a fall
_SLIPS = HURT | {Act.DASH, Act.RUN, Act.DOWN_BOUND_U, Act.GUARD_SET_OFF}
_TOO_EARLY = 4  # frames of an aerial that can land without its lag


def _attack(turn: Turn) -> int | None:
    """The aerial that the player asks for."""
    x, y = turn.now.x, turn.now.y
    if turn.smashes():
        x, y = turn.now.cx, turn.now.cy
    elif not turn.attacks():
        return None
    if max(abs(x), abs(y)) < DEAD_ZONE:
        return Act.ATTACK_AIR_N
    if abs(y) >= abs(x):
        return Act.ATTACK_AIR_HI if y > 0 else Act.ATTACK_AIR_LW
    return Act.ATTACK_AIR_F if x * turn.fighter.direction > 0 else Act.ATTACK_AIR_B


def _drift(turn: Turn) -> None:
    """Steer, and fall: fast if the stick has just gone down on the way down."""
    fighter, body = turn.fighter, turn.body
    target = body.air * turn.now.x / STICK
    fighter.air_x = toward(fighter.air_x, target, body.drift if turn.now.x else 0.02)
    if fighter.self_y < 0 and turn.drops():
        fighter.self_y = -body.fast_fall
    _fall(turn)


def _fall(turn: Turn) -> None:
    fighter, body = turn.fighter, turn.body
    if fighter.self_y > -body.fall:  # a fast fall stays one
        fighter.self_y = max(fighter.self_y - body.gravity, -body.fall)


def _float(turn: Turn) -> None:
    """Jumping and falling: attacks and the second jump can be begun."""
    fighter, body = turn.fighter, turn.body
    attack = _attack(turn)
    if attack is None and turn.jumps() and fighter.jumps:
        fighter.enter(Act.JUMP_AERIAL_F if turn.forward > -DEAD_ZONE else Act.JUMP_AERIAL_B)
        fighter.jumps = 0
        fighter.self_y, fighter.air_x = body.second_jump, body.air * turn.now.x / STICK
        return
    _drift(turn)
    if attack is not None:
        fighter.enter(attack, 1.0)
    elif fighter.age >= _JUMP_ENDS and fighter.state != Act.DAMAGE_FALL:
        second = fighter.state in (Act.JUMP_AERIAL_F, Act.JUMP_AERIAL_B, Act.FALL_AERIAL)
        fighter.keep(Act.FALL_AERIAL if second else Act.FALL)


def _attacking(turn: Turn) -> None:
    fighter = turn.fighter
    _drift(turn)
    if fighter.age > MOVES[fighter.state].total:
        fighter.enter(Act.FALL if fighter.jumps else Act.FALL_AERIAL)


def _hurt(turn: Turn) -> None:
    """In hitstun the stick does nothing."""
    fighter = turn.fighter
    fighter.hitstun = max(0.0, fighter.hitstun - 1)
    if fighter.airborne:
        _fall(turn)
    if not fighter.hitstun:
        flying = Act.DAMAGE_FALL if fighter.state in TUMBLE else Act.FALL
        fighter.enter(flying if fighter.airborne else Act.WAIT)


def _broken(turn: Turn) -> None:
    _fall(turn)


def _entry(turn: Turn) -> None:
    fighter = turn.fighter
    if fighter.state == Act.ENTRY and fighter.age >= _ENTRY[turn.second]:
        fighter.enter(Act.ENTRY_START)
    elif fighter.state == Act.ENTRY_START and fighter.age >= _ENTRY_START:
        fighter.enter(Act.ENTRY_END)
    elif fighter.state == Act.ENTRY_END and fighter.age >= _ENTRY_END:
        fighter.enter(Act.FALL)


def _dead(turn: Turn) -> None:
    fighter = turn.fighter
    if fighter.age < _DEAD or fighter.state == Act.SLEEP:
        return
    if not fighter.stocks:
        fighter.enter(Act.SLEEP)
        return
    fighter.enter(Act.REBIRTH)
    side = 1.0 if turn.second else -1.0
    fighter.x, fighter.y, fighter.direction = 20 * side, _REBIRTH_FROM, -side
    fighter.percent, fighter.shield, fighter.combo, fighter.jumps = 0.0, FULL_SHIELD, 0, 1
    fighter.last_hit_by, fighter.hit_by_instance, fighter.ground = NOBODY, 0, NEVER_STOOD


def _rebirth(turn: Turn) -> None:
    fighter, now = turn.fighter, turn.now
    if fighter.state == Act.REBIRTH:
        fighter.y -= (_REBIRTH_FROM - _REBIRTH_AT) / _REBIRTH
        if fighter.age >= _REBIRTH:
            fighter.enter(Act.REBIRTH_WAIT)
    elif now.buttons or max(abs(now.x), abs(now.y)) >= DEAD_ZONE or fighter.age >= _ON_REBIRTH:
        fighter.enter(Act.FALL)
        fighter.hurtbox = 1


def move(turn: Turn) -> None:
    """Carry a fighter along, then let it land, fall off or die."""
    fighter = turn.fighter
    _decay(turn)
    if not fighter.airborne:
        fighter.air_x = fighter.ground_x
    before = fighter.y
    fighter.x += fighter.air_x + fighter.knock_x
    if fighter.airborne:
        fighter.y += fighter.self_y + fighter.knock_y
        for surface in turn.arena.surfaces:
            if _reaches(turn, surface, before):
                _land(turn, surface)
                break
    else:
        _stay(turn)
    _meet_blast_zone(turn)


def _decay(turn: Turn) -> None:
    fighter = turn.fighter
    speed = math.hypot(fighter.knock_x, fighter.knock_y)
    if not speed:
        return
    loss = _KNOCKBACK_DECAY if fighter.airborne else turn.body.friction
    left = max(0.0, 1 - loss / speed)
    fighter.knock_x, fighter.knock_y = fighter.knock_x * left, fighter.knock_y * left


def _reaches(turn: Turn, surface: Surface, before: float) -> bool:
    """Whether the fighter comes down on a surface on this frame."""
    fighter = turn.fighter
    if not (fighter.y <= surface.y <= before and surface.left <= fighter.x <= surface.right):
        return False
    if fighter.y == before:
        return False
    if surface is turn.arena.surfaces[0] or fighter.state in HURT:
        return True
    dropping = fighter.state == Act.PASS and fighter.age == 0
    return not dropping and turn.now.y > -SQUAT_AT


def _land(turn: Turn, surface: Surface) -> None:
    fighter, state = turn.fighter, turn.fighter.state
    fighter.y, fighter.ground, fighter.airborne, fighter.jumps = surface.y, surface.id, 0, 2
    fighter.ground_x, fighter.self_y, fighter.knock_y = fighter.air_x, 0.0, 0.0
    fighter.hitstun = 0.0
    if state in AERIAL_LANDINGS and fighter.age >= _TOO_EARLY:
        fighter.enter(AERIAL_LANDINGS[state])
        fighter.l_cancel = 1 if turn.now.shields else 2
    elif state in TUMBLE:
        fighter.enter(Act.PASSIVE if turn.now.shields else Act.DOWN_BOUND_U)
    elif state == Act.SHIELD_BREAK_FLY:
        fighter.enter(Act.FURA_FURA)
    else:
        fighter.enter(Act.LANDING)


def _stay(turn: Turn) -> None:
    """At the end of its surface a fighter stops, unless it runs or is pushed: then it falls."""
    fighter = turn.fighter
    surface = next(one for one in turn.arena.surfaces if one.id == fighter.ground)
    if surface.left <= fighter.x <= surface.right:
        return
    if fighter.state not in _SLIPS:
        fighter.x = min(max(fighter.x, surface.left), surface.right)
        fighter.ground_x = fighter.air_x = 0.0
        return
    fighter.airborne, fighter.jumps, fighter.ground_x = 1, 1, 0.0
    if fighter.state in HURT:
        fighter.enter(Act.DAMAGE_AIR_1, fighter.age)
    else:
        fighter.hitstun = 0.0
        fighter.enter(Act.FALL)


def _meet_blast_zone(turn: Turn) -> None:
    fighter, arena = turn.fighter, turn.arena
    if fighter.y < arena.bottom:
        _die(fighter, Act.DEAD_DOWN)
    elif abs(fighter.x) > arena.side:
        _die(fighter, Act.DEAD_RIGHT if fighter.x > 0 else Act.DEAD_LEFT)
    elif fighter.y > arena.top and fighter.knock_y > 0:
        _die(fighter, Act.DEAD_UP)


def _die(fighter: Fighter, state: int) -> None:
    fighter.enter(state)
    fighter.stocks, fighter.jumps, fighter.airborne = fighter.stocks - 1, 0, 1
    fighter.air_x = fighter.self_y = fighter.ground_x = fighter.knock_x = fighter.knock_y = 0.0
    fighter.hitlag = fighter.hitstun = 0.0


_FLOATS = (
    Act.JUMP_F,
    Act.JUMP_B,
    Act.JUMP_AERIAL_F,
    Act.JUMP_AERIAL_B,
    Act.FALL,
    Act.FALL_AERIAL,
    Act.DAMAGE_FALL,
    Act.PASS,
)
AIR: dict[int, Callable[[Turn], None]] = {
    **dict.fromkeys(_FLOATS, _float),
    **dict.fromkeys(AERIAL_LANDINGS, _attacking),
    **dict.fromkeys(HURT, _hurt),
    Act.SHIELD_BREAK_FLY: _broken,
    **dict.fromkeys((Act.ENTRY, Act.ENTRY_START, Act.ENTRY_END), _entry),
    **dict.fromkeys(range(Act.DEAD_DOWN, Act.REBIRTH), _dead),
    **dict.fromkeys((Act.REBIRTH, Act.REBIRTH_WAIT), _rebirth),
}
