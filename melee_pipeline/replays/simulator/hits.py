"""Attacks that meet fighters: damage, knockback, hitlag, hitstun, shields.

Knockback, hitstun, hitlag and shield damage follow the game's own formulas (as the SSBM
community writes them), without stale moves, crouch cancelling and charging.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from melee_pipeline.replays.simulator.arena import MOVES, Body, Move
from melee_pipeline.replays.simulator.fighter import AWAY, HURT, SHIELDING, STICK, Controls, Fighter
from melee_pipeline.schema.actions import ActionState as Act

_TUMBLE_AT = 80.0  # knockback from which a fighter is sent flying
_FLINCH_AT = 32.0  # knockback up to which one on the ground stays there
_SPEED = 0.03  # launch speed of a unit of knockback
_STUN = 0.4  # frames of hitstun of a unit of knockback
_INFLUENCE = math.radians(18)  # how far the stick can bend the launch
_BREAK_SPEED = 2.5  # upwards, of a fighter whose shield broke


@dataclass(frozen=True, slots=True)
class _Hit:
    attacker: Fighter
    victim: Fighter
    port: int  # the attacker's, from 0
    move: Move
    damage: float
    weight: float  # the victim's


def land_hits(
    fighters: tuple[Fighter, Fighter], bodies: tuple[Body, Body], ports: tuple[int, int]
) -> None:
    """Let the attacks of both fighters land. Both are looked at first: attacks can trade."""
    hits = [
        _Hit(one, other, ports[i], move, move.damage * bodies[i].power, bodies[1 - i].weight)
        for i, (one, other) in enumerate((fighters, fighters[::-1]))
        if (move := MOVES.get(one.state)) and _meets(one, other, move, bodies[i].reach)
    ]
    for hit in hits:
        _block(hit) if hit.victim.state in SHIELDING else _hurt(hit)


def _meets(attacker: Fighter, victim: Fighter, move: Move, reach: float) -> bool:
    if (
        not move.first <= attacker.age <= move.last
        or attacker.hitlag
        or victim.state in AWAY
        or victim.hurtbox
        or victim.hit_by_instance == attacker.instance  # an attack hits once
    ):
        return False
    along = (victim.x - attacker.x) * attacker.direction
    above = victim.y - attacker.y
    return (
        move.x[0] * reach <= along <= move.x[1] * reach
        and move.y[0] * reach <= above <= move.y[1] * reach
    )


def _hitlag(damage: float) -> float:
    return float(math.floor(damage / 3 + 3))


def _away(hit: _Hit) -> float:
    """The side to which the attack sends: away from the attacker."""
    between = hit.victim.x - hit.attacker.x
    return math.copysign(1.0, between) if between else hit.attacker.direction


def _block(hit: _Hit) -> None:
    victim, attacker = hit.victim, hit.attacker
    victim.shield -= 0.7 * hit.damage
    victim.hitlag = attacker.hitlag = _hitlag(hit.damage)
    victim.hit_by_instance = attacker.instance
    if victim.shield <= 0:
        break_shield(victim)
        return
    victim.enter(Act.GUARD_SET_OFF)
    victim.hitstun = float(math.floor(0.45 * hit.damage + 2))
    victim.ground_x = _away(hit) * (0.04 * hit.damage + 0.3)


def break_shield(fighter: Fighter) -> None:
    """Throw a fighter up whose shield is used up."""
    fighter.enter(Act.SHIELD_BREAK_FLY)
    fighter.shield, fighter.airborne, fighter.jumps = 0.0, 1, 0
    fighter.self_y, fighter.air_x, fighter.ground_x = _BREAK_SPEED, 0.0, 0.0
    fighter.hitstun = 0.0


def _hurt(hit: _Hit) -> None:
    victim, attacker, move = hit.victim, hit.attacker, hit.move
    in_combo = victim.hitstun > 0 and victim.state in HURT
    attacker.combo = min(255, attacker.combo + 1) if in_combo else 1
    attacker.last_attack = move.id
    victim.last_hit_by, victim.hit_by_instance = hit.port, attacker.instance
    victim.percent = min(999.0, victim.percent + hit.damage)
    knockback = _knockback(victim.percent, hit.damage, move, hit.weight)
    victim.hitlag = attacker.hitlag = _hitlag(hit.damage)
    victim.hitstun = float(max(1, math.floor(_STUN * knockback)))
    # The floor throws back what is hit down into it.
    angle = math.radians(
        360 - move.angle if move.angle > 180 and not victim.airborne else move.angle
    )
    side = _away(hit) if abs(math.cos(angle)) > 0.2 else attacker.direction
    victim.knock_x = side * math.cos(angle) * knockback * _SPEED
    victim.knock_y = math.sin(angle) * knockback * _SPEED
    victim.air_x = victim.self_y = victim.ground_x = 0.0
    stays = not victim.airborne and knockback < _FLINCH_AT
    if stays:
        victim.knock_y = 0.0
    elif not victim.airborne:
        victim.airborne, victim.jumps = 1, min(victim.jumps, 1)
    victim.direction = -side
    victim.enter(_damage_state(hit, knockback, math.degrees(angle)), 1.0)


def _knockback(percent: float, damage: float, move: Move, weight: float) -> float:
    """The game's knockback, in its units; `percent` is that after the hit."""
    harm = percent / 10 + percent * damage / 20
    return (harm * 200 / (weight + 100) * 1.4 + 18) * move.growth / 100 + move.base


def _damage_state(hit: _Hit, knockback: float, angle: float) -> int:
    """How the victim looks: by the strength of the hit, and by where it struck."""
    above = hit.victim.y - hit.attacker.y
    height = 0 if above < -5 else 1 if above < 8 else 2  # the head, the middle, the legs
    if knockback >= _TUMBLE_AT:
        if 70 <= angle <= 110:
            return Act.DAMAGE_FLY_TOP
        return (Act.DAMAGE_FLY_HI, Act.DAMAGE_FLY_N, Act.DAMAGE_FLY_LW)[height]
    strength = (knockback >= _FLINCH_AT) + (knockback >= 55)
    if hit.victim.airborne:
        return Act.DAMAGE_AIR_1 + strength
    return (Act.DAMAGE_HI_1, Act.DAMAGE_N_1, Act.DAMAGE_LW_1)[height] + strength


def influence(fighter: Fighter, now: Controls) -> None:
    """Bend the launch by the stick's part across it, when hitlag ends."""
    speed = math.hypot(fighter.knock_x, fighter.knock_y)
    if not speed or not fighter.airborne:
        return
    across = (fighter.knock_x * now.y - fighter.knock_y * now.x) / speed / STICK
    bend = math.copysign(_INFLUENCE * min(1.0, across * across), across)
    cos, sin = math.cos(bend), math.sin(bend)
    x, y = fighter.knock_x, fighter.knock_y
    fighter.knock_x, fighter.knock_y = x * cos - y * sin, x * sin + y * cos
