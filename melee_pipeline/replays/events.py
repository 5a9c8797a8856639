"""The events of a `.slp` replay: the fields of each, in order, and the version that added them.

Payload sizes and everything that writes or pads events follow from these tables. Field paths are
peppi's. Source: SPEC.md in project-slippi's wiki, checked against the payload sizes that real
replays of versions 0.1 to 3.17 announce.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Version = tuple[int, int, int]

FIRST_FRAME = -123
FIRST_VERSION: Version = (0, 1, 0)
LAST_VERSION: Version = (3, 17, 0)  # that can be written: from 3.18 on, stages have events


@dataclass(frozen=True, slots=True)
class EventField:
    """A field of an event: big-endian numpy dtype, first version, value when none is given."""

    path: str
    dtype: str
    since: Version = FIRST_VERSION
    default: float = 0
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """An event: `key` says which row (frame, port) it belongs to, `fields` what happened."""

    name: str
    code: int
    key: tuple[EventField, ...]
    fields: tuple[EventField, ...]
    since: Version = FIRST_VERSION

    def fields_in(self, version: Version) -> tuple[EventField, ...]:
        """The fields that replays of this version have."""
        return tuple(field for field in self.fields if field.since <= version)

    def dtype(self, version: Version) -> np.dtype[np.void]:
        """Layout of the payload (what follows the code byte) in this version."""
        fields = (*self.key, *self.fields_in(version))
        return np.dtype([(field.path, field.dtype, field.shape) for field in fields])


def _floats(*paths: str, since: Version = FIRST_VERSION) -> tuple[EventField, ...]:
    return tuple(EventField(path, ">f4", since) for path in paths)


def _bytes(path: str, *shape: int, since: Version = FIRST_VERSION) -> EventField:
    return EventField(path, "u1", since, shape=shape)


_FRAME = (EventField("frame", ">i4"),)
_FIGHTER = (*_FRAME, EventField("port", "u1"), EventField("follower", "u1"))

_PRE = (
    EventField("random_seed", ">u4"),
    EventField("state", ">u2", default=14),
    *_floats("position.x", "position.y"),
    EventField("direction", ">f4", default=1),
    *_floats("joystick.x", "joystick.y", "cstick.x", "cstick.y", "triggers"),
    EventField("buttons", ">u4"),
    EventField("buttons_physical", ">u2"),
    *_floats("triggers_physical.l", "triggers_physical.r"),
    EventField("raw_analog_x", "i1", (1, 2, 0)),
    EventField("percent", ">f4", (1, 4, 0)),
    EventField("raw_analog_y", "i1", (3, 15, 0)),
    EventField("raw_analog_cstick_x", "i1", (3, 17, 0)),
    EventField("raw_analog_cstick_y", "i1", (3, 17, 0)),
)

_POST = (
    EventField("character", "u1"),
    EventField("state", ">u2", default=14),
    *_floats("position.x", "position.y"),
    EventField("direction", ">f4", default=1),
    EventField("percent", ">f4"),
    EventField("shield", ">f4", default=60),
    EventField("last_attack_landed", "u1"),
    EventField("combo_count", "u1"),
    EventField("last_hit_by", "u1", default=6),  # 6 stands for nobody
    EventField("stocks", "u1", default=4),
    EventField("state_age", ">f4", (0, 2, 0)),
    *(EventField(f"state_flags.{i}", "u1", (2, 0, 0)) for i in range(5)),
    EventField("misc_as", ">f4", (2, 0, 0)),
    EventField("airborne", "u1", (2, 0, 0)),
    EventField("ground", ">u2", (2, 0, 0)),
    EventField("jumps", "u1", (2, 0, 0), default=2),
    EventField("l_cancel", "u1", (2, 0, 0)),
    EventField("hurtbox_state", "u1", (2, 1, 0)),
    *_floats(
        "velocities.self_x_air",
        "velocities.self_y",
        "velocities.knockback_x",
        "velocities.knockback_y",
        "velocities.self_x_ground",
        since=(3, 5, 0),
    ),
    EventField("hitlag", ">f4", (3, 8, 0)),
    EventField("animation_index", ">u4", (3, 11, 0)),
    EventField("last_hit_by_instance", ">u2", (3, 16, 0)),
    EventField("instance_id", ">u2", (3, 16, 0)),
)

_ITEM = (
    EventField("type", ">u2"),
    EventField("state", "u1"),
    EventField("direction", ">f4", default=1),
    *_floats("velocity.x", "velocity.y", "position.x", "position.y"),
    EventField("damage", ">u2"),
    EventField("timer", ">f4"),
    EventField("id", ">u4"),
    *(EventField(f"misc.{i}", "u1", (3, 2, 0)) for i in range(4)),
    EventField("owner", "i1", (3, 6, 0), default=-1),
    EventField("instance_id", ">u2", (3, 16, 0)),
)

_GAME_START = (
    _bytes("version", 4),
    _bytes("bitfield", 4),
    _bytes("unknown_0", 2),
    EventField("is_raining_bombs", "u1"),
    _bytes("unknown_1", 1),
    EventField("is_teams", "u1"),
    _bytes("unknown_2", 2),
    EventField("item_spawn_frequency", "i1", default=-1),
    EventField("self_destruct_score", "i1", default=-1),
    _bytes("unknown_3", 1),
    EventField("stage", ">u2"),
    EventField("timer", ">u4"),
    _bytes("unknown_4", 15),
    _bytes("item_spawn_bitfield", 5),
    _bytes("unknown_5", 8),
    EventField("damage_ratio", ">f4", default=1),
    _bytes("unknown_6", 44),
    _bytes("players", 6, 36),  # each one a START_PLAYER
    EventField("random_seed", ">u4"),
    EventField("ucf", ">u4", (1, 0, 0), shape=(4, 2)),  # dash back, shield drop
    _bytes("name_tags", 4, 16, since=(1, 3, 0)),
    EventField("is_pal", "u1", (1, 5, 0)),
    EventField("is_frozen_ps", "u1", (2, 0, 0)),
    EventField("scene_minor", "u1", (3, 7, 0), default=2),
    EventField("scene_major", "u1", (3, 7, 0), default=2),
    _bytes("names", 4, 31, since=(3, 9, 0)),
    _bytes("codes", 4, 10, since=(3, 9, 0)),
    _bytes("uids", 4, 29, since=(3, 11, 0)),
    EventField("language", "u1", (3, 12, 0), default=1),  # English
    _bytes("match_id", 51, since=(3, 14, 0)),
    EventField("match_game", ">u4", (3, 14, 0)),
    EventField("match_tiebreaker", ">u4", (3, 14, 0)),
)

START_PLAYER = np.dtype(
    [
        ("character", "u1"),
        ("type", "u1"),  # 0 human, 1 CPU, 3 nobody
        ("stocks", "u1"),
        ("costume", "u1"),
        ("unknown_0", "u1", 3),
        ("team_shade", "u1"),
        ("handicap", "u1"),
        ("team_color", "u1"),
        ("unknown_1", "u1", 2),
        ("bitfield", "u1"),
        ("unknown_2", "u1", 2),
        ("cpu_level", "u1"),
        ("unknown_3", "u1", 8),
        ("offense_ratio", ">f4"),
        ("defense_ratio", ">f4"),
        ("model_scale", ">f4"),
    ]
)

GAME_START = Event("game start", 0x36, (), _GAME_START)
PRE = Event("pre", 0x37, _FIGHTER, _PRE)
POST = Event("post", 0x38, _FIGHTER, _POST)
GAME_END = Event(
    "game end",
    0x39,
    (),
    (
        EventField("method", "u1"),
        EventField("lras_initiator", "i1", (2, 0, 0), default=-1),
        EventField("placements", "i1", (3, 13, 0), default=-1, shape=(4,)),
    ),
)
FRAME_START = Event(
    "start",
    0x3A,
    _FRAME,
    (EventField("random_seed", ">u4"), EventField("scene_frame_counter", ">u4", (3, 10, 0))),
    since=(2, 2, 0),
)
ITEM = Event("item", 0x3B, _FRAME, _ITEM, since=(3, 0, 0))
# Empty but for its frame id until 3.7: the reason why peppi cannot read 3.0–3.6.
FRAME_END = Event(
    "end", 0x3C, _FRAME, (EventField("latest_finalized_frame", ">i4", (3, 7, 0)),), (3, 0, 0)
)
# What moves on a stage by itself. Recordings of 3.17 made before its release may hold them, too.
STAGE_EVENTS = (
    Event(
        "fod_platform",
        0x3F,
        _FRAME,
        (EventField("platform", "u1"), EventField("height", ">f4")),
        since=(3, 18, 0),
    ),
    Event("dreamland_whispy", 0x40, _FRAME, (EventField("direction", "u1"),), since=(3, 18, 0)),
    Event(
        "stadium_transformation",
        0x41,
        _FRAME,
        (EventField("event", ">u2"), EventField("type", ">u2")),
        since=(3, 18, 0),
    ),
)
EVENTS = (GAME_START, PRE, POST, GAME_END, FRAME_START, ITEM, FRAME_END, *STAGE_EVENTS)
PAYLOADS_CODE = 0x35


def events_in(version: Version) -> tuple[Event, ...]:
    """The events that replays of this version can hold, in the order of their codes."""
    return tuple(event for event in EVENTS if event.since <= version)


def payload_sizes(version: Version) -> dict[int, int]:
    """Bytes that follow the code of each event, as the payloads event announces them."""
    return {event.code: event.dtype(version).itemsize for event in events_in(version)}
