"""A simulated fighter's state and controller, field by field as a replay records them.

There is nothing hidden: a row's recorded columns are the whole state, so the next row follows
from it and from the inputs of the two rows. Floats are those that fit the recorded four bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from melee_pipeline.replays.simulator.arena import ANIMATIONS, NO_ANIMATION
from melee_pipeline.schema.actions import ActionState as Act

BUTTON_Z, BUTTON_R, BUTTON_L = 1 << 4, 1 << 5, 1 << 6
BUTTON_A, BUTTON_X, BUTTON_Y = 1 << 8, 1 << 10, 1 << 11
STICK, TRIGGER = 80, 140  # steps from rest to the end
DEAD_ZONE = 23  # of the stick: less than this counts as rest
HARD = 64  # of the stick: a dash, a smash
SQUAT_AT = 53  # of the stick, downwards: crouch, fast fall, drop
LIGHT_SHIELD = 43  # of the trigger
NEVER_STOOD = 0xFFFF
NOBODY = 6
FULL_SHIELD = 60.0


@dataclass(frozen=True, slots=True)
class Controls:
    """A controller on one frame: sticks in 1/80, triggers in 1/140, physical buttons."""

    x: int = 0
    y: int = 0
    cx: int = 0
    cy: int = 0
    left: int = 0
    right: int = 0
    pressed: int = 0

    @property
    def buttons(self) -> int:
        """The logical buttons: Z stands for A, too."""
        return self.pressed | (BUTTON_A if self.pressed & BUTTON_Z else 0)

    @property
    def trigger(self) -> int:
        """The logical trigger: the deeper one."""
        return max(self.left, self.right)

    @property
    def shields(self) -> bool:
        """Whether a trigger is down far enough to shield."""
        return self.trigger >= LIGHT_SHIELD or bool(self.pressed & (BUTTON_L | BUTTON_R))


REST = Controls()

# The recorded columns of a fighter's state, by attribute. Floats first, then integers.
FLOATS = {
    "x": "position.x",
    "y": "position.y",
    "direction": "direction",
    "percent": "percent",
    "shield": "shield",
    "age": "state_age",
    "hitstun": "misc_as",
    "air_x": "velocities.self_x_air",
    "self_y": "velocities.self_y",
    "knock_x": "velocities.knockback_x",
    "knock_y": "velocities.knockback_y",
    "ground_x": "velocities.self_x_ground",
    "hitlag": "hitlag",
}
INTEGERS = {
    "state": "state",
    "last_attack": "last_attack_landed",
    "combo": "combo_count",
    "last_hit_by": "last_hit_by",
    "stocks": "stocks",
    "airborne": "airborne",
    "ground": "ground",
    "jumps": "jumps",
    "l_cancel": "l_cancel",
    "hurtbox": "hurtbox_state",
    "hit_by_instance": "last_hit_by_instance",
    "instance": "instance_id",
}
RECORDED = FLOATS | INTEGERS
row_of = attrgetter(*RECORDED)
_floats_of = attrgetter(*FLOATS)
_AS_RECORDED = struct.Struct(f"<{len(FLOATS)}f")


@dataclass(slots=True)
class Fighter:
    """The state after a frame; the attributes are those of RECORDED, in their order."""

    x: float
    y: float
    direction: float
    percent: float = 0.0
    shield: float = FULL_SHIELD
    age: float = 0.0
    hitstun: float = 0.0  # frames left of hitstun, or of shield stun
    air_x: float = 0.0
    self_y: float = 0.0
    knock_x: float = 0.0
    knock_y: float = 0.0
    ground_x: float = 0.0
    hitlag: float = 0.0
    state: int = Act.ENTRY
    last_attack: int = 0
    combo: int = 0
    last_hit_by: int = NOBODY  # else the port, counted from 0
    stocks: int = 4
    airborne: int = 1
    ground: int = NEVER_STOOD
    jumps: int = 1
    l_cancel: int = 0
    hurtbox: int = 0
    hit_by_instance: int = 0
    instance: int = 1

    def copy(self) -> Fighter:
        """A fighter of the same state."""
        return Fighter(*row_of(self))

    def enter(self, state: int, age: float = 0.0) -> None:
        """Begin an action: a new instance, of which those of one player have one parity."""
        self.state, self.age = int(state), age
        self.instance = (self.instance + 2) & 0xFFFF

    def keep(self, state: int) -> None:
        """Go on with an action, or begin it."""
        if self.state != state:
            self.enter(state)

    def round(self) -> None:
        """Give every float the value that the replay will hold."""
        packed = _AS_RECORDED.pack(*_floats_of(self))
        for name, value in zip(FLOATS, _AS_RECORDED.unpack(packed), strict=True):
            setattr(self, name, value)


def fighter_of(row: Sequence[float]) -> Fighter:
    """The fighter whose recorded columns, in RECORDED's order, are these."""
    cut = len(FLOATS)
    return Fighter(*map(float, row[:cut]), *map(int, row[cut:]))  # type: ignore[arg-type]


SHIELDING = frozenset({Act.GUARD_ON, Act.GUARD, Act.GUARD_SET_OFF})
TUMBLE = frozenset(
    {Act.DAMAGE_FLY_HI, Act.DAMAGE_FLY_N, Act.DAMAGE_FLY_LW, Act.DAMAGE_FLY_TOP, Act.DAMAGE_FALL}
)
HURT = frozenset(range(Act.DAMAGE_HI_1, Act.DAMAGE_FLY_TOP + 1))
DEAD = frozenset(range(Act.DEAD_DOWN, Act.SLEEP + 1))
# Neither moved by physics nor touched by attacks.
AWAY = DEAD | {Act.REBIRTH, Act.REBIRTH_WAIT, Act.ENTRY, Act.ENTRY_START, Act.ENTRY_END}


def flags_of(fighter: Fighter) -> tuple[int, int, int, int, int]:
    """The five bytes of state flags: hitlag, invulnerable, shield, hitstun, knocked down, dead."""
    hurt = fighter.state in HURT
    shield = fighter.state in SHIELDING
    second = int(shield) | 8 * (fighter.hurtbox == 1)
    if fighter.hitlag:
        second |= 48 if hurt else 32
    down = fighter.state in (Act.DOWN_BOUND_U, Act.DOWN_WAIT_U)
    fourth = 2 * (hurt and fighter.hitstun > 0) + down
    fifth = 192 if fighter.state in DEAD else 64 if fighter.state == Act.ENTRY else 0
    return 0, second, 128 * shield, fourth, fifth


def animation_of(fighter: Fighter) -> int:
    """The animation of the fighter's action."""
    return ANIMATIONS.get(fighter.state, NO_ANIMATION)
