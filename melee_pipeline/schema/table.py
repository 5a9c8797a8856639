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
    Scheme,
    Scope,
    Use,
    Vocabulary,
)

ENCODINGS: Mapping[str, Scheme] = {
    "v1": Scheme(),
    "v2": Scheme(),
    "v3": Scheme(conditioned=True, changes=True, masks=True, ego=True, persistent=True),
}

# Ids above 398 occur in real games (526 was seen), hence a slot that says so. In v1 and v2, whose
# sizes are fixed, it is taken from an id that two-player games of humans do not use.
ACTIONS = Vocabulary("action_state", 400, unknown=399)
EVERY_ACTION = Vocabulary("action_state, of every character", 576, unknown=575)
JUMPS = Vocabulary("jumps_left", 8, unknown=7)
CHARACTERS = Vocabulary("character (internal id)", 33, unknown=32)  # 32 is the Sandbag
STAGES = Vocabulary("stage (external id)", 33, unknown=0)  # 0 is no stage; 32 Final Destination
HURTBOXES = Vocabulary("hurtbox_state", 4, unknown=3)
L_CANCELS = Vocabulary("l_cancel", 4, unknown=3)
ATTACKS = Vocabulary("last_attack_landed", 96, unknown=95)  # 87 was seen
HITTERS = Vocabulary("hit_by", 4, unknown=3)
GROUNDS = Vocabulary("ground (surface of the stage)", 160, unknown=159)  # 134 was seen
COUNTS = Vocabulary("threats", 16, unknown=15)

_S, _C = Role.STATE, Role.CONTROL
_P, _F = Scope.PLAYER, Scope.FRAME
_DELTA, _VALUE, _CLASS = Predict.DELTA, Predict.VALUE, Predict.CLASS


def _change(scale: float, step: float) -> Use:
    """A number of v3: input × scale, its change predicted in steps."""
    return Use(scale, predict=_DELTA, step=step)


def _both(scale: float) -> dict[str, Use]:
    """A number whose change v1 and v2 predict."""
    return dict.fromkeys(("v1", "v2"), Use(scale, predict=_DELTA))


def _class(vocabulary: Vocabulary, width: int) -> Use:
    return Use(vocabulary=vocabulary, width=width, predict=_CLASS)


def _number(name: str, **uses: Use) -> tuple[Feature, ...]:
    return (Feature(name, Kind.CONTINUOUS, uses),)


def _flag(name: str, op: Op, *versions: str) -> tuple[Feature, ...]:
    return (Feature(name, Kind.BINARY, dict.fromkeys(versions, Use(predict=_VALUE)), op),)


def _category(name: str, **uses: Use) -> tuple[Feature, ...]:
    return (Feature(name, Kind.CATEGORY, uses),)


def _control(name: str) -> tuple[Feature, ...]:
    return (Feature(name, Kind.CONTINUOUS, dict.fromkeys(ENCODINGS, Use())),)


def _button(name: str, bit: int) -> Feature:
    return Feature(f"button_{name}", Kind.BINARY, dict.fromkeys(ENCODINGS, Use()), Op.BIT, bit)


def _state_flags(byte: int, bits: tuple[int, ...], unit: str) -> Field:
    flags = tuple(
        Feature(f"state_flag_{byte}_{bit}", Kind.BINARY, {"v3": Use(predict=_VALUE)}, Op.BIT, bit)
        for bit in bits
    )
    pack = Pack("u1", bits=bits)
    name, path = f"state_flags_{byte}", f"post.state_flags.{byte}"
    return Field(name, path, "u1", _S, _P, unit, (2, 0, 0), pack, flags)


_BUTTONS = {"D_UP": 3, "Z": 4, "R": 5, "L": 6, "A": 8, "B": 9, "X": 10, "Y": 11}
_FED = ("A", "B", "X", "Y", "Z", "L", "R", "D_UP")  # the order in which models are fed them
_HALF = Pack("f2")
_PLACE = Pack("i2", per_unit=32)
_BYTE, _ID, _STICK = Pack("u1"), Pack("i2"), Pack("i1", per_unit=80)
_RESEARCH = "controller research: the game acts on the logical values"

FIELDS: tuple[Field, ...] = (
    # --- time and statics of the frame
    Field("frame", "id", "i4", Role.TIME, _F, "frames; −123 is the first, 60 a second",
          kept_for="order and gaps"),
    Field("random_seed", "start.random_seed", "u4", Role.TIME, _F, "generator state", (2, 2, 0),
          kept_for="telling games apart; chance in the game"),
    Field("stage", "game.stage", "u2", Role.STATIC, _F, "external stage id", pack=_BYTE,
          features=_category("stage", v2=Use(vocabulary=STAGES, width=4),
                             v3=Use(vocabulary=STAGES, width=4))),
    # --- state of each player, after the frame
    Field("percent", "post.percent", "f4", _S, _P, "%", pack=_PLACE,
          features=_number("percent", **_both(0.01), v3=_change(0.01, 1)),
          limits=(0, 999)),
    Field("x", "post.position.x", "f4", _S, _P, "game units", pack=_PLACE,
          features=_number("x", **_both(0.05), v3=_change(0.02, 0.5)),
          limits=(-1000, 1000)),
    Field("y", "post.position.y", "f4", _S, _P, "game units", pack=_PLACE,
          features=_number("y", **_both(0.05), v3=_change(0.02, 0.5)),
          limits=(-1000, 1000)),
    Field("shield_strength", "post.shield", "f4", _S, _P, "0 to 60", pack=_HALF,
          features=_number("shield_strength", **_both(0.01), v3=_change(0.02, 1)),
          limits=(-100, 100)),
    Field("speed_air_x", "post.velocities.self_x_air", "f4", _S, _P, "game units a frame",
          (3, 5, 0), _HALF, _number("speed_air_x", v2=Use(0.05), v3=_change(0.5, 0.5))),
    Field("speed_y", "post.velocities.self_y", "f4", _S, _P, "game units a frame",
          (3, 5, 0), _HALF, _number("speed_y", v2=Use(0.05), v3=_change(0.5, 0.5))),
    Field("speed_ground_x", "post.velocities.self_x_ground", "f4", _S, _P, "game units a frame",
          (3, 5, 0), _HALF, _number("speed_ground_x", v2=Use(0.05), v3=_change(0.5, 0.5))),
    Field("speed_attack_x", "post.velocities.knockback_x", "f4", _S, _P, "game units a frame",
          (3, 5, 0), _HALF, _number("speed_attack_x", v2=Use(0.05), v3=_change(0.5, 0.5))),
    Field("speed_attack_y", "post.velocities.knockback_y", "f4", _S, _P, "game units a frame",
          (3, 5, 0), _HALF, _number("speed_attack_y", v2=Use(0.05), v3=_change(0.5, 0.5))),
    Field("state_age", "post.state_age", "f4", _S, _P, "frames in this action; can be < 0",
          (0, 2, 0), _HALF, _number("state_age", v2=Use(0.01), v3=_change(0.02, 5))),
    Field("hitlag", "post.hitlag", "f4", _S, _P, "frames left", (3, 8, 0),
          Pack("u1", per_unit=1), _number("hitlag", v2=Use(0.1), v3=_change(0.1, 2)),
          limits=(0, 255)),
    Field("stocks", "post.stocks", "u1", _S, _P, "stocks left", pack=_BYTE,
          features=_number("stocks", v2=Use(0.25), v3=_change(0.25, 1)),
          limits=(0, 99)),
    Field("direction", "post.direction", "f4", _S, _P, "−1 left, +1 right",
          pack=Pack("i1", per_unit=1), features=_flag("facing", Op.POSITIVE, "v1", "v2", "v3"),
          limits=(-1, 1)),
    Field("hurtbox_state", "post.hurtbox_state", "u1", _S, _P,
          "0 vulnerable, 1 invulnerable, 2 intangible", (2, 1, 0), _BYTE,
          _flag("invulnerable", Op.NONZERO, "v1", "v2")
          + _category("hurtbox_state", v3=_class(HURTBOXES, 2)),
          limits=(0, 2)),
    Field("airborne", "post.airborne", "u1", _S, _P, "0 on the ground, 1 in the air", (2, 0, 0),
          _BYTE, _flag("on_ground", Op.ZERO, "v1", "v2", "v3"),
          limits=(0, 1)),
    Field("action_state", "post.state", "u2", _S, _P, "action state id", pack=_ID,
          features=_category("action_state", v1=_class(ACTIONS, 32), v2=_class(ACTIONS, 32),
                             v3=_class(EVERY_ACTION, 32))),
    Field("jumps_left", "post.jumps", "u1", _S, _P, "jumps", (2, 0, 0), _BYTE,
          _category("jumps_left", v1=_class(JUMPS, 4), v2=_class(JUMPS, 4), v3=_class(JUMPS, 4))),
    Field("character", "post.character", "u1", _S, _P, "internal character id", pack=_BYTE,
          features=_category("character", v2=Use(vocabulary=CHARACTERS, width=8),
                             v3=_class(CHARACTERS, 8))),  # Zelda turns into Sheik
    # --- the controller of each player, read before the frame
    Field("main_stick_x", "pre.joystick.x", "f4", _C, _P, "−1 to 1", pack=_STICK,
          features=_control("main_stick_x"),
          limits=(-1, 1)),
    Field("main_stick_y", "pre.joystick.y", "f4", _C, _P, "−1 to 1", pack=_STICK,
          features=_control("main_stick_y"),
          limits=(-1, 1)),
    Field("c_stick_x", "pre.cstick.x", "f4", _C, _P, "−1 to 1", pack=_STICK,
          features=_control("c_stick_x"),
          limits=(-1, 1)),
    Field("c_stick_y", "pre.cstick.y", "f4", _C, _P, "−1 to 1", pack=_STICK,
          features=_control("c_stick_y"),
          limits=(-1, 1)),
    Field("shoulder", "pre.triggers", "f4", _C, _P, "0 to 1, the deeper trigger, logical",
          pack=Pack("u1", per_unit=140), features=_control("shoulder"),
          limits=(0, 1)),
    Field("buttons", "pre.buttons", "u4", _C, _P, "bit set, logical (Z implies A)",
          pack=Pack("u1", bits=tuple(_BUTTONS.values())),
          features=tuple(_button(name, _BUTTONS[name]) for name in _FED)),
    # --- more state, for v3
    Field("last_attack_landed", "post.last_attack_landed", "u1", _S, _P, "attack id",
          pack=_BYTE, features=_category("last_attack_landed", v3=_class(ATTACKS, 8))),
    Field("combo_count", "post.combo_count", "u1", _S, _P, "hits", pack=_BYTE,
          features=_number("combo_count", v3=_change(0.25, 1))),
    _state_flags(0, (2, 3, 4, 5, 6, 7), "bits; 4: a reflector is up"),
    _state_flags(1, (0, 1, 2, 3, 4, 5), "bits; 2: untouchable, 3: falls fast, 5: in hitlag"),
    _state_flags(2, (0, 2, 4, 6, 7), "bits; 2: holds somebody, 7: shields"),
    _state_flags(3, (0, 1, 2, 4, 5, 6, 7), "bits; 1: in hitstun, 5: power shield"),
    _state_flags(4, (4, 6, 7), "bits; 4: is away, 6: is dead, 7: is off the screen"),
    Field("ground", "post.ground", "u2", _S, _P, "id of the surface last stood on", (2, 0, 0),
          Pack("u1", other=255), _category("ground", v3=_class(GROUNDS, 8))),
    Field("l_cancel", "post.l_cancel", "u1", _S, _P, "0 none, 1 success, 2 miss", (2, 0, 0), _BYTE,
          _category("l_cancel", v3=_class(L_CANCELS, 2))),
    # --- recorded, not fed
    Field("hitstun", "post.misc_as", "f4", _S, _P, "frames left while in hitstun, else anything",
          (2, 0, 0), kept_for="hitstun_left, which is derived from it"),
    Field("last_hit_by", "post.last_hit_by", "u1", _S, _P, "port from 0, 6 none",
          kept_for="hit_by, which is derived from it: a port says nothing of whose it is"),
    Field("buttons_physical", "pre.buttons_physical", "u2", _C, _P, "bit set, as pressed",
          kept_for=_RESEARCH),
    Field("trigger_l", "pre.triggers_physical.l", "f4", _C, _P, "0 to 1", kept_for=_RESEARCH),
    Field("trigger_r", "pre.triggers_physical.r", "f4", _C, _P, "0 to 1", kept_for=_RESEARCH),
    Field("raw_stick_x", "pre.raw_analog_x", "i1", _C, _P, "raw, −128 to 127", (1, 2, 0),
          kept_for=_RESEARCH),
    Field("raw_stick_y", "pre.raw_analog_y", "i1", _C, _P, "raw, −128 to 127", (3, 15, 0),
          kept_for=_RESEARCH),
    Field("animation_index", "post.animation_index", "u4", _S, _P, "animation id", (3, 11, 0),
          kept_for="rendering: it follows from character and action"),
    Field("instance_id", "post.instance_id", "u2", _S, _P, "attack instance", (3, 16, 0),
          kept_for="credit of hits: it counts up, and where it starts means nothing"),
)

# What shards hold beside the recorded fields: made from a parsed game by tensors/derive.py.
DERIVED: tuple[Field, ...] = (
    Field("hitstun_left", "hitstun where state_flags_3 has bit 1", "u1", _S, _P,
          "frames; 0 when not in hitstun, at most 255", (2, 0, 0), _BYTE,
          _number("hitstun_left", v3=_change(0.05, 5))),
    Field("hit_by", "last_hit_by and the ports", "u1", _S, _P,
          "who hit last: 0 nobody, 1 the player itself, 2 the other, 3 somebody else", pack=_BYTE,
          features=_category("hit_by", v3=_class(HITTERS, 2))),
    Field("threats", "items", "u1", _S, _P, "items that this player does not own, at most 255",
          (3, 0, 0), _BYTE, _category("threats", v3=_class(COUNTS, 4))),
    Field("threat_x", "items", "f4", _S, _P,
          "game units from the player to the nearest of them, at most 127; 0 without one",
          (3, 0, 0), Pack("i1", per_unit=1), _number("threat_x", v3=_change(0.02, 10)),
          limits=(-127, 127)),
    Field("threat_y", "items", "f4", _S, _P, "the same, upwards",
          (3, 0, 0), Pack("i1", per_unit=1), _number("threat_y", v3=_change(0.02, 10)),
          limits=(-127, 127)),
)
