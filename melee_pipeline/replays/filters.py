"""Which replays are kept, and the one enumeration of reasons why the others are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

import numpy as np

from melee_pipeline.errors import ConfigError
from melee_pipeline.replays.frames import Replay
from melee_pipeline.replays.stream import Player, Start
from melee_pipeline.schema.encoding import PLAYERS, hash_of
from melee_pipeline.schema.field import Version

LEGAL_STAGES = frozenset({2, 3, 8, 28, 31, 32})
ICE_CLIMBERS = frozenset({14})  # external id
FIRST_FRAME = -123


class Reason(StrEnum):
    """Why a file met in a source is not a game of the data set."""

    EMPTY = "empty file"
    UNREADABLE = "unreadable"
    CRASHED = "reader crashed"
    TRUNCATED = "truncated"
    NOT_TWO_PLAYERS = "not two players"
    TEAMS = "teams"
    CPU = "CPU"
    ICE_CLIMBERS = "Ice Climbers"
    ODD_STAGE = "odd stage"
    ITEMS_ON = "items on"
    VERSION = "version"
    TOO_SHORT = "too short"
    MISSING_FRAMES = "missing frames"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Filters:
    """What is kept. The defaults keep singles of humans, as tournaments play them.

    `doubles` keeps team games of two to four players besides; their tables have columns for each
    player, and no shard takes them.
    """

    cpus: bool = False
    doubles: bool = False
    ice_climbers: bool = False
    items: bool = False
    truncated: bool = True  # what is there of a file that was cut short
    stages: frozenset[int] = LEGAL_STAGES  # external ids; empty allows all
    min_frames: int = 1800  # half a minute
    min_version: Version = (0, 1, 0)
    max_version: Version | None = None

    def fingerprint(self) -> str:
        """Twelve hex digits that change with any setting."""
        return hash_of(asdict(replace(self, stages=frozenset())) | {"stages": sorted(self.stages)})

    def __post_init__(self) -> None:
        if self.min_frames < 2:
            raise ConfigError(f"min_frames is {self.min_frames}; a game has 2 frames or more")
        if self.max_version is not None and self.max_version < self.min_version:
            raise ConfigError(
                f"max_version {_dotted(self.max_version)} is below "
                f"min_version {_dotted(self.min_version)}"
            )


def filters_of(entry: Mapping[str, Any], where: str) -> Filters:
    """Filters from plain values, as a source's entry in a catalogue holds them under `filters`.

    Versions are text, stages a list of external ids (an empty one allows all). Raises
    ConfigError that says `where` the wrong value stands.
    """
    known = [field.name for field in fields(Filters)]
    if unknown := [name for name in entry if name not in known]:
        raise ConfigError(
            f"{where}: filter {unknown[0]!r} is unknown; there are {', '.join(known)}"
        )
    try:
        return Filters(**{name: _value(name, value) for name, value in entry.items()})
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _value(name: str, value: Any) -> Any:  # noqa: ANN401 - straight from YAML
    if name in ("min_version", "max_version") and isinstance(value, str):
        return version_of(value)
    if name == "stages" and isinstance(value, list) and all(type(v) is int for v in value):
        return frozenset(value)
    if name == "min_frames" and type(value) is int:
        return value
    if isinstance(getattr(Filters(), name), bool) and isinstance(value, bool):
        return value
    expected = {
        "min_version": "a version in quotes, such as '3.7.0'",
        "max_version": "a version in quotes, such as '3.16.0'",
        "stages": "a list of stages' external ids, such as [2, 31]",
        "min_frames": "a whole number",
    }
    raise ConfigError(f"filter {name} is {value!r}; expected {expected.get(name, 'true or false')}")


def version_of(text: str) -> Version:
    """A Slippi version such as 3.7.0; what is left out counts as 0. Raises ConfigError."""
    parts = text.split(".")
    if not (1 <= len(parts) <= 3 and all(part.isdecimal() for part in parts)):
        raise ConfigError(f"Slippi version {text!r}: write it as 3.7.0")
    major, minor, patch = ([int(part) for part in parts] + [0, 0])[:3]
    return major, minor, patch


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a replay is not kept, and what was found."""

    reason: Reason
    detail: str


def judge(replay: Replay, filters: Filters) -> Refusal | None:
    """The first reason not to keep a replay; None keeps it."""
    return judge_start(replay, filters) or next(_about_frames(replay, filters), None)


def judge_start(start: Start, filters: Filters) -> Refusal | None:
    """The first reason not to keep a replay that its settings give, whatever its frames are."""
    return next(_about_start(start, filters), None)


def _about_start(start: Start, filters: Filters) -> Iterator[Refusal]:
    players = start.players
    if start.version < filters.min_version or start.version > (
        filters.max_version or start.version
    ):
        yield Refusal(Reason.VERSION, f"Slippi {_dotted(start.version)}")
    doubles = filters.doubles and start.is_teams and len(players) > PLAYERS
    if len(players) != PLAYERS and not doubles:
        yield Refusal(Reason.NOT_TWO_PLAYERS, f"{len(players)} players")
    if start.is_teams and not filters.doubles:
        yield Refusal(Reason.TEAMS, "a team game")
    if not filters.cpus and (others := [p for p in players if p.type != "Human"]):
        yield Refusal(Reason.CPU, _ports(others) + " not human")
    climbers = [p for p in players if p.follower or p.character in ICE_CLIMBERS]
    if not filters.ice_climbers and climbers:
        yield Refusal(Reason.ICE_CLIMBERS, _ports(climbers))
    if filters.stages and start.stage not in filters.stages:
        yield Refusal(Reason.ODD_STAGE, f"stage {start.stage}")
    if not filters.items and start.items_on:
        yield Refusal(Reason.ITEMS_ON, "items spawn")


def _about_frames(replay: Replay, filters: Filters) -> Iterator[Refusal]:
    if replay.truncated and not filters.truncated:
        yield Refusal(Reason.TRUNCATED, "the file was cut short")
    ids = replay.frame_ids() if replay.walk.straight else np.unique(replay.frame_ids())
    if len(ids) < filters.min_frames:
        cut = "; the file was cut short" if replay.truncated else ""
        yield Refusal(Reason.TOO_SHORT, f"{len(ids)} of at least {filters.min_frames} frames{cut}")
    elif ids[0] != FIRST_FRAME or ids[-1] - ids[0] + 1 != len(ids):
        yield Refusal(
            Reason.MISSING_FRAMES,
            f"{len(ids)} frames from {ids[0]} to {ids[-1]}; {ids[-1] - FIRST_FRAME + 1} expected",
        )


def _ports(players: list[Player]) -> str:
    return ", ".join(p.port for p in players)


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
