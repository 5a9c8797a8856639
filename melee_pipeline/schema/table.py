"""The field table: rows only. Everything else in the package is derived from it.

Versions are those of the Slippi format in which a field first appears; paths are peppi's. Names
follow libmelee where it has one. Scales, vocabularies and widths of v1 and v2 are fixed: old
checkpoints depend on them.
"""

from __future__ import annotations

from collections.abc import Mapping

from melee_pipeline.schema.field import (
    Feature,
    Field,
    Kind,
    Op,
    Pack,
    Predict,
    Role,
    Scope,
    Use,
    Vocabulary,
)

ENCODINGS = ("v1", "v2")

# Ids above 398 occur in real games (526 was seen), hence a slot that says so. In v1 and v2, whose
# sizes are fixed, it is taken from an id that two-player games of humans do not use.
ACTIONS = Vocabulary("action_state", 400, unknown=399)
JUMPS = Vocabulary("jumps_left", 8, unknown=7)
CHARACTERS = Vocabulary("character (internal id)", 33, unknown=32)  # 32 is the Sandbag
STAGES = Vocabulary("stage (external id)", 33, unknown=0)  # 0 is no stage; 32 Final Destination

_S, _C = Role.STATE, Role.CONTROL
_P, _F = Scope.PLAYER, Scope.FRAME


def _both(use: Use) -> Mapping[str, Use]:
    return {"v1": use, "v2": use}


def _delta(scale: float) -> Mapping[str, Use]:
    return _both(Use(scale, predict=Predict.DELTA))


def _v2_input(scale: float) -> Mapping[str, Use]:
    return {"v2": Use(scale)}


def _number(name: str, uses: Mapping[str, Use]) -> tuple[Feature, ...]:
    return (Feature(name, Kind.CONTINUOUS, uses),)


def _flag(name: str, op: Op) -> tuple[Feature, ...]:
    return (Feature(name, Kind.BINARY, _both(Use(predict=Predict.VALUE)), op),)


def _class(name: str, uses: Mapping[str, Use]) -> tuple[Feature, ...]:
    return (Feature(name, Kind.CATEGORY, uses),)


def _button(name: str, bit: int) -> Feature:
    return Feature(f"button_{name}", Kind.BINARY, _both(Use()), Op.BIT, bit)


_BUTTONS = {"A": 8, "B": 9, "X": 10, "Y": 11, "Z": 4, "L": 6, "R": 5, "D_UP": 3}
_FLOAT, _HALF = Pack("f4"), Pack("f2")
_BYTE, _ID, _STICK = Pack("u1"), Pack("i2"), Pack("i1", per_unit=80)
_LATER = "encoding v3"

FIELDS: tuple[Field, ...] = (
    # --- time and statics of the frame
    Field("frame", "id", "i4", Role.TIME, _F, "frames; −123 is the first, 60 a second",
          kept_for="order and gaps"),
    Field("random_seed", "start.random_seed", "u4", Role.TIME, _F, "generator state", (2, 2, 0),
          kept_for="telling games apart; chance in the game"),
    Field("stage", "game.stage", "u2", Role.STATIC, _F, "external stage id", pack=_BYTE,
          features=_class("stage", {"v2": Use(vocabulary=STAGES, width=4)})),
    # --- state of each player, after the frame
    Field("percent", "post.percent", "f4", _S, _P, "%", pack=Pack("i2", per_unit=32),
          features=_number("percent", _delta(0.01)),
          limits=(0, 999)),
    Field("x", "post.position.x", "f4", _S, _P, "game units", pack=_FLOAT,
          features=_number("x", _delta(0.05)),
          limits=(-1000, 1000)),
    Field("y", "post.position.y", "f4", _S, _P, "game units", pack=_FLOAT,
          features=_number("y", _delta(0.05)),
          limits=(-1000, 1000)),
    Field("shield_strength", "post.shield", "f4", _S, _P, "0 to 60", pack=_HALF,
          features=_number("shield_strength", _delta(0.01)),
          limits=(-100, 100)),
    Field("speed_air_x", "post.velocities.self_x_air", "f4", _S, _P, "game units a frame",
          (3, 5, 0), _HALF, _number("speed_air_x", _v2_input(0.05))),
    Field("speed_y", "post.velocities.self_y", "f4", _S, _P, "game units a frame",
          (3, 5, 0), _HALF, _number("speed_y", _v2_input(0.05))),
    Field("speed_ground_x", "post.velocities.self_x_ground", "f4", _S, _P, "game units a frame",
          (3, 5, 0), _HALF, _number("speed_ground_x", _v2_input(0.05))),
    Field("speed_attack_x", "post.velocities.knockback_x", "f4", _S, _P, "game units a frame",
          (3, 5, 0), _HALF, _number("speed_attack_x", _v2_input(0.05))),
    Field("speed_attack_y", "post.velocities.knockback_y", "f4", _S, _P, "game units a frame",
          (3, 5, 0), _HALF, _number("speed_attack_y", _v2_input(0.05))),
    Field("state_age", "post.state_age", "f4", _S, _P, "frames in this action; can be < 0",
          (0, 2, 0), _HALF, _number("state_age", _v2_input(0.01))),
    Field("hitlag", "post.hitlag", "f4", _S, _P, "frames left", (3, 8, 0), _HALF,
          _number("hitlag", _v2_input(0.1))),
    Field("stocks", "post.stocks", "u1", _S, _P, "stocks left", pack=_BYTE,
          features=_number("stocks", _v2_input(0.25)),
          limits=(0, 99)),
    Field("direction", "post.direction", "f4", _S, _P, "−1 left, +1 right",
          pack=Pack("i1", per_unit=1), features=_flag("facing", Op.POSITIVE),
          limits=(-1, 1)),
    Field("hurtbox_state", "post.hurtbox_state", "u1", _S, _P,
          "0 vulnerable, 1 invulnerable, 2 intangible", (2, 1, 0), _BYTE,
          _flag("invulnerable", Op.NONZERO),
          limits=(0, 2)),
    Field("airborne", "post.airborne", "u1", _S, _P, "0 on the ground, 1 in the air", (2, 0, 0),
          _BYTE, _flag("on_ground", Op.ZERO),
          limits=(0, 1)),
    Field("action_state", "post.state", "u2", _S, _P, "action state id", pack=_ID,
          features=_class("action_state",
                          _both(Use(vocabulary=ACTIONS, width=32, predict=Predict.CLASS)))),
    Field("jumps_left", "post.jumps", "u1", _S, _P, "jumps", (2, 0, 0), _BYTE,
          _class("jumps_left", _both(Use(vocabulary=JUMPS, width=4, predict=Predict.CLASS)))),
    Field("character", "post.character", "u1", _S, _P, "internal character id", pack=_BYTE,
          features=_class("character", {"v2": Use(vocabulary=CHARACTERS, width=8)})),
    # --- the controller of each player, read before the frame
    Field("main_stick_x", "pre.joystick.x", "f4", _C, _P, "−1 to 1", pack=_STICK,
          features=_number("main_stick_x", _both(Use())),
          limits=(-1, 1)),
    Field("main_stick_y", "pre.joystick.y", "f4", _C, _P, "−1 to 1", pack=_STICK,
          features=_number("main_stick_y", _both(Use())),
          limits=(-1, 1)),
    Field("c_stick_x", "pre.cstick.x", "f4", _C, _P, "−1 to 1", pack=_STICK,
          features=_number("c_stick_x", _both(Use())),
          limits=(-1, 1)),
    Field("c_stick_y", "pre.cstick.y", "f4", _C, _P, "−1 to 1", pack=_STICK,
          features=_number("c_stick_y", _both(Use())),
          limits=(-1, 1)),
    Field("shoulder", "pre.triggers", "f4", _C, _P, "0 to 1, the deeper trigger, logical",
          pack=Pack("u1", per_unit=140), features=_number("shoulder", _both(Use())),
          limits=(0, 1)),
    Field("buttons", "pre.buttons", "u4", _C, _P, "bit set, logical (Z implies A)",
          pack=Pack("i2", mask=0x0FFF),
          features=tuple(_button(name, bit) for name, bit in _BUTTONS.items())),
    # --- recorded, not fed to v1 or v2
    Field("buttons_physical", "pre.buttons_physical", "u2", _C, _P, "bit set, as pressed",
          kept_for=_LATER),
    Field("trigger_l", "pre.triggers_physical.l", "f4", _C, _P, "0 to 1", kept_for=_LATER),
    Field("trigger_r", "pre.triggers_physical.r", "f4", _C, _P, "0 to 1", kept_for=_LATER),
    Field("raw_stick_x", "pre.raw_analog_x", "i1", _C, _P, "raw, −128 to 127", (1, 2, 0),
          kept_for="controller research"),
    Field("raw_stick_y", "pre.raw_analog_y", "i1", _C, _P, "raw, −128 to 127", (3, 15, 0),
          kept_for="controller research"),
    Field("last_attack_landed", "post.last_attack_landed", "u1", _S, _P, "attack id",
          kept_for=_LATER),
    Field("combo_count", "post.combo_count", "u1", _S, _P, "hits", kept_for=_LATER),
    Field("last_hit_by", "post.last_hit_by", "u1", _S, _P, "port, 6 none", kept_for=_LATER),
    *(Field(f"state_flags_{i}", f"post.state_flags.{i}", "u1", _S, _P, "bit set", (2, 0, 0),
            kept_for=_LATER) for i in range(5)),
    Field("hitstun", "post.misc_as", "f4", _S, _P, "frames left while in hitstun, else anything",
          (2, 0, 0), kept_for=_LATER),
    Field("ground", "post.ground", "u2", _S, _P, "id of the surface last stood on", (2, 0, 0),
          kept_for=_LATER),
    Field("l_cancel", "post.l_cancel", "u1", _S, _P, "0 none, 1 success, 2 miss", (2, 0, 0),
          kept_for=_LATER),
    Field("animation_index", "post.animation_index", "u4", _S, _P, "animation id", (3, 11, 0),
          kept_for="rendering"),
    Field("instance_id", "post.instance_id", "u2", _S, _P, "attack instance", (3, 16, 0),
          kept_for="credit of hits"),
)
