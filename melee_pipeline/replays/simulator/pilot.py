"""A scripted player: it looks at both fighters, picks a plan at random and plays it out.

Its inputs are what people's are like: flicks, held directions, presses of a few frames, and
mistakes. It is not part of the game: what a fighter does follows from the inputs alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from melee_pipeline.replays.simulator.arena import Arena, Body
from melee_pipeline.replays.simulator.fighter import (
    AWAY,
    BUTTON_A,
    BUTTON_L,
    BUTTON_R,
    BUTTON_X,
    BUTTON_Y,
    BUTTON_Z,
    DEAD_ZONE,
    HURT,
    REST,
    STICK,
    TRIGGER,
    Controls,
    Fighter,
)
from melee_pipeline.schema.actions import ActionState as Act

Plan = list[Controls]


class Pilot:
    """A player of one fighter; all its chance comes from `rng`."""

    def __init__(self, rng: np.random.Generator, body: Body, arena: Arena) -> None:
        self._rng, self._body, self._arena = rng, body, arena
        self._plan: deque[Controls] = deque()
        self._alarmed = False
        self._me = self._foe = Fighter(0.0, 0.0, 1.0)

    def controls(self, me: Fighter, foe: Fighter) -> Controls:
        """The inputs for the next frame. A hit, or nothing below, ends a plan."""
        alarmed = me.state in HURT or self._outside(me) or self._slips(me)
        if alarmed and not self._alarmed:
            self._plan.clear()
        self._alarmed = alarmed
        if not self._plan:
            self._me, self._foe = me, foe
            self._plan.extend(self._think())
        return self._plan.popleft()

    def _outside(self, fighter: Fighter) -> bool:
        floor = self._arena.surfaces[0]
        return fighter.y < -1 or not floor.left <= fighter.x <= floor.right

    def _slips(self, me: Fighter) -> bool:
        """Whether the fighter is about to run off the stage."""
        if me.state not in (Act.DASH, Act.RUN) or me.x * me.direction < 0:
            return False
        return abs(me.x) + 8 * abs(me.ground_x) > self._arena.surfaces[0].right

    # --- what the hands can do

    def _chance(self, probability: float) -> bool:
        return bool(self._rng.random() < probability)

    def _frames(self, least: int, most: int) -> int:
        return int(least + self._rng.random() * (most - least + 1))

    def _stick(self, x: float, y: float = 0.0) -> tuple[int, int]:
        """A direction, not quite hit, in the stick's steps and inside its circle and dead zone."""
        x += (self._rng.random() - 0.5) * 0.06
        y += (self._rng.random() - 0.5) * 0.06
        size = max(1.0, (x * x + y * y) ** 0.5)
        steps = round(x / size * STICK), round(y / size * STICK)
        return steps[0] * (abs(steps[0]) >= DEAD_ZONE), steps[1] * (abs(steps[1]) >= DEAD_ZONE)

    def _hold(self, frames: int, x: float = 0.0, y: float = 0.0, pressed: int = 0) -> Plan:
        return [Controls(*self._stick(x, y), pressed=pressed)] * frames

    def _shield(self, frames: int, x: float = 0.0) -> Plan:
        """A trigger down to its click, or lightly."""
        depth = TRIGGER if self._chance(0.8) else self._frames(50, 130)
        click = depth == TRIGGER
        stick = self._stick(x)
        if self._chance(0.5):
            return [Controls(*stick, left=depth, pressed=BUTTON_L * click)] * frames
        return [Controls(*stick, right=depth, pressed=BUTTON_R * click)] * frames

    def _aim(self, side: float, far: float) -> tuple[float, float]:
        """Mostly to where the other one is; to a side, up, down or nowhere."""
        above = self._foe.y - self._me.y
        if self._chance(0.3):
            above = self._rng.random() * 40 - 20
        if abs(above) > 8:
            return 0.0, far if above > 0 else -far
        return (side * far, 0.0) if self._chance(0.7) else (0.0, 0.0)

    def _jump(self, full: bool, x: float) -> Plan:
        button = BUTTON_X if self._chance(0.6) else BUTTON_Y
        held = self._body.squat + 2 if full else 2
        rest = max(0, self._body.squat + 1 - held)
        return self._hold(held, x, 0, button) + self._hold(rest, x)

    def _aerial(self, x: float) -> Plan:
        """An attack in the air, then a way down: fast or not, with a trigger or not."""
        if self._chance(0.1):
            attack = self._hold(2, x, 0, BUTTON_Z)
        elif self._chance(0.4):
            cx, cy = self._stick(*self._aim(x, 1.0) if self._chance(0.6) else (-x, 0))
            attack = [Controls(*self._stick(x), cx, cy)] * 3
        else:
            ahead, y = ((x, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.9), (0.0, -0.9))[
                self._frames(0, 4)
            ]
            attack = self._hold(2, ahead, y, BUTTON_A)
        down = self._hold(2, 0, -1) if self._chance(0.5) else []
        end = self._shield(self._frames(8, 22), x) if self._chance(0.7) else self._hold(8, x)
        return attack + self._hold(self._frames(3, 10), x) + down + end

    # --- what the head makes of it

    def _think(self) -> Plan:
        me, foe = self._me, self._foe
        if me.state in AWAY:
            if me.state != Act.REBIRTH_WAIT:
                return [REST]
            return [REST] * self._frames(0, 30) + self._hold(6, foe.x - me.x)
        if me.state in HURT:
            if self._chance(0.2):  # so as to land on the feet
                return self._shield(self._frames(5, 30), -me.x)
            return self._hold(self._frames(3, 8), -me.x, self._rng.random() * 2 - 0.7)
        if me.state in (Act.DOWN_BOUND_U, Act.DOWN_WAIT_U):
            return [REST] * self._frames(1, 12) + self._hold(2, 0, 1)
        return self._in_the_air() if me.airborne else self._on_the_ground()

    def _on_the_ground(self) -> Plan:
        me, foe = self._me, self._foe
        if self._slips(me):
            return self._hold(self._frames(4, 12), -1.0 if me.x > 0 else 1.0)
        away = abs(foe.x - me.x)
        if foe.state in AWAY or self._outside(foe):
            choices = self._WAITING
        elif away > 45 or abs(foe.y - me.y) > 45:
            choices = self._FAR
        else:
            choices = self._NEAR if away < 20 else self._MIDDLE
        pick = self._rng.random() * sum(weight for weight, _ in choices)
        plan = next(plan for weight, plan in choices if (pick := pick - weight) < 0)
        return plan(self, 1.0 if foe.x > me.x else -1.0)

    def _in_the_air(self) -> Plan:
        me, foe = self._me, self._foe
        if self._outside(me):  # back to the stage, with the jump that is left
            home = -1.0 if me.x > 0 else 1.0
            if me.jumps and (me.y < 5 or me.self_y < -2) and self._chance(0.9):
                return self._hold(1, home) + self._hold(6, home, 0, BUTTON_X)
            return self._hold(self._frames(3, 8), home)
        side = 1.0 if foe.x > me.x else -1.0
        if abs(foe.x - me.x) < 30 and abs(foe.y - me.y) < 30 and self._chance(0.6):
            return self._aerial(side)
        if me.jumps and self._chance(0.15):
            return self._hold(4, side, 0, BUTTON_Y)
        if self._chance(0.25):
            return self._hold(2, 0, -1) + self._hold(self._frames(2, 10), side)
        return self._hold(self._frames(3, 12), side * self._rng.random())

    def _dash(self, side: float) -> Plan:
        return [REST, *self._hold(self._frames(5, 24), side)]

    def _rush(self, side: float) -> Plan:
        """Run up to the other one and strike."""
        gap = abs(self._foe.x - self._me.x) - 14
        run = [REST, *self._hold(int(min(40, max(3, gap / self._body.dash))), side)]
        if self._chance(0.4):
            return run + self._hold(3, side, 0, BUTTON_A) + [REST] * self._frames(4, 24)
        return run + (self._strong(side) if self._chance(0.5) else self._hop(side))

    def _dash_jump(self, side: float) -> Plan:
        return self._dash(side) + self._hop(side)

    def _dance(self, side: float) -> Plan:
        plan: Plan = [REST]
        for _ in range(self._frames(2, 4)):
            plan += self._hold(self._frames(3, 12), side)
            side = -side
        return plan

    def _flee(self, side: float) -> Plan:
        return self._hold(1) + self._hold(self._frames(8, 20), -side)

    def _walk(self, side: float) -> Plan:
        slow = side * (0.35 + 0.6 * self._rng.random())
        return self._hold(1, 0.5 * slow) + self._hold(self._frames(8, 30), slow)

    def _hop(self, side: float) -> Plan:
        full = self._chance(0.3)
        jump = self._jump(full, side * self._chance(0.8))
        return jump + self._hold(self._frames(1, 14), side) + self._aerial(side)

    def _high(self, side: float) -> Plan:
        jump = self._jump(True, side)
        return jump + self._hold(self._frames(10, 25), side) + self._hold(4, side, 0, BUTTON_X)

    def _wait(self, side: float) -> Plan:
        return self._hold(self._frames(3, 25), 0.2 * side)

    def _crouch(self, side: float) -> Plan:
        return self._hold(self._frames(5, 25), 0.2 * side, -1)

    def _guard(self, side: float) -> Plan:
        return self._shield(self._frames(5, 30), 0.3 * side) + [REST] * self._frames(1, 8)

    def _jab(self, side: float) -> Plan:
        jab = self._hold(2, 0, 0, BUTTON_A)
        return jab + [REST] * 6 + jab * self._chance(0.6) + [REST] * self._frames(8, 20)

    def _tilt(self, side: float) -> Plan:
        lean = self._hold(2, 0.5 * side) if self._chance(0.5) else []
        tilt = self._hold(3, *self._aim(side, 0.6), BUTTON_A)
        return lean + tilt + [REST] * self._frames(6, 24)

    def _strong(self, side: float) -> Plan:
        x, y = self._aim(side, 1.0)
        cx, cy = self._stick(x if x or y else side, y)
        return [Controls(cx=cx, cy=cy)] * self._frames(2, 4) + [REST] * self._frames(4, 24)

    _FAR: tuple[tuple[float, Callable[[Pilot, float], Plan]], ...] = (
        (4, _dash),
        (5, _rush),
        (4, _dash_jump),
        (2, _dance),
        (2, _walk),
        (2, _high),
        (1, _wait),
        (0.5, _crouch),
        (0.5, _guard),
    )
    _MIDDLE: tuple[tuple[float, Callable[[Pilot, float], Plan]], ...] = (
        (4, _hop),
        (5, _rush),
        (2, _dash),
        (1, _dance),
        (1, _flee),
        (1, _walk),
        (1, _guard),
        (0.5, _wait),
        (0.5, _crouch),
    )
    _NEAR: tuple[tuple[float, Callable[[Pilot, float], Plan]], ...] = (
        (2, _jab),
        (4, _tilt),
        (4, _strong),
        (3, _hop),
        (1.5, _guard),
        (1, _flee),
        (0.5, _crouch),
        (0.5, _wait),
    )
    _WAITING: tuple[tuple[float, Callable[[Pilot, float], Plan]], ...] = (
        (2, _wait),
        (2, _dance),
        (1, _walk),
        (1, _high),
        (1, _crouch),
    )
