"""One fighter's frame: its state, what its player did on this frame and the one before."""

from __future__ import annotations

from dataclasses import dataclass

from melee_pipeline.replays.simulator.arena import Arena, Body
from melee_pipeline.replays.simulator.fighter import (
    BUTTON_A,
    BUTTON_X,
    BUTTON_Y,
    HARD,
    SQUAT_AT,
    Controls,
    Fighter,
)

_JUMP = BUTTON_X | BUTTON_Y


@dataclass(frozen=True, slots=True)
class Turn:
    """A fighter under way from one frame to the next; `second` is the player of the higher port."""

    fighter: Fighter
    body: Body
    arena: Arena
    second: bool
    was: Controls
    now: Controls

    @property
    def forward(self) -> float:
        """The stick along the direction in which the fighter looks."""
        return self.now.x * self.fighter.direction

    def flicked(self) -> bool:
        """Whether the stick has just gone far to a side, or from one side to the other."""
        return abs(self.now.x) >= HARD and (abs(self.was.x) < HARD or self.was.x * self.now.x < 0)

    def jumps(self) -> bool:
        """Whether a jump begins: a button or the stick, just now."""
        fresh = self.now.buttons & ~self.was.buttons
        return bool(fresh & _JUMP) or (self.now.y >= SQUAT_AT > self.was.y)

    def holds_jump(self) -> bool:
        """Whether what makes a jump a full one is held."""
        return bool(self.now.buttons & _JUMP) or self.now.y >= SQUAT_AT

    def drops(self) -> bool:
        """Whether the stick has just gone far down."""
        return self.now.y <= -SQUAT_AT < self.was.y

    def attacks(self) -> bool:
        """Whether A was pressed just now."""
        return bool(self.now.buttons & ~self.was.buttons & BUTTON_A)

    def smashes(self) -> bool:
        """Whether the C-stick has just left its rest."""
        far_now = max(abs(self.now.cx), abs(self.now.cy)) >= SQUAT_AT
        return far_now and max(abs(self.was.cx), abs(self.was.cy)) < SQUAT_AT


def toward(value: float, target: float, by: float) -> float:
    """`value`, moved to `target` by at most `by`."""
    return min(value + by, target) if value < target else max(value - by, target)
