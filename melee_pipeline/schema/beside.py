"""What a replay records beside its frames: items, events of the stage, and Nana.

Each is a table of its own, in long form: none, one or several rows for a frame. Only games that
have such rows have the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from melee_pipeline.schema.field import Scope, Version
from melee_pipeline.schema.table import FIELDS


class Beside(StrEnum):
    """The tables beside a game's frames; their names are those of their folders."""

    ITEMS = "items"
    STAGE_EVENTS = "stage_events"
    FOLLOWERS = "followers"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `path` is its place in peppi's frame struct, below the list it comes from."""

    name: str
    path: str
    dtype: str
    unit: str
    since: Version


def _item(name: str, path: str, dtype: str, unit: str, since: Version = (3, 0, 0)) -> Column:
    return Column(name, f"item.{path}", dtype, unit, since)


def _stage(name: str, path: str, dtype: str, unit: str) -> Column:
    return Column(name, path, dtype, unit, (3, 18, 0))


ITEMS = (
    _item("type", "type", "u2", "item type id"),
    _item("state", "state", "u1", "state id of this type"),
    _item("direction", "direction", "f4", "−1 left, +1 right, 0 none"),
    _item("velocity_x", "velocity.x", "f4", "game units a frame"),
    _item("velocity_y", "velocity.y", "f4", "game units a frame"),
    _item("x", "position.x", "f4", "game units"),
    _item("y", "position.y", "f4", "game units"),
    _item("damage", "damage", "u2", "damage taken"),
    _item("timer", "timer", "f4", "frames until it vanishes"),
    _item("id", "id", "u4", "counts the items of a game"),
    *(_item(f"misc_{i}", f"misc.{i}", "u1", "depends on the type", (3, 2, 0)) for i in range(4)),
    _item("owner", "owner", "i1", "port from 0, −1 nobody", (3, 6, 0)),
    _item("instance_id", "instance_id", "u2", "attack instance", (3, 16, 0)),
)
# A game has one stage, and so only one kind of event: the columns of the others are null.
STAGE_EVENTS = (
    _stage("platform", "fod_platform.platform", "u1", "Fountain of Dreams: 0 right, 1 left"),
    _stage("height", "fod_platform.height", "f4", "game units"),
    _stage("wind", "dreamland_whispy.direction", "u1", "Dream Land: 0 none, 1 left, 2 right"),
    _stage("event", "stadium_transformation.event", "u2", "Pokémon Stadium: what happens"),
    _stage("transformation", "stadium_transformation.type", "u2", "Pokémon Stadium: into what"),
)
FOLLOWERS = tuple(
    Column(field.name, field.path, field.dtype, field.unit, field.since)
    for field in FIELDS
    if field.scope is Scope.PLAYER
)
# What says which frame, and for Nana which player's, a row belongs to.
KEYS: dict[Beside, tuple[tuple[str, str], ...]] = {
    Beside.ITEMS: (("frame", "i4"),),
    Beside.STAGE_EVENTS: (("frame", "i4"),),
    Beside.FOLLOWERS: (("frame", "i4"), ("player", "u1")),
}
COLUMNS: dict[Beside, tuple[Column, ...]] = {
    Beside.ITEMS: ITEMS,
    Beside.STAGE_EVENTS: STAGE_EVENTS,
    Beside.FOLLOWERS: FOLLOWERS,
}
