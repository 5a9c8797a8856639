"""Which replays are kept, and the one enumeration of reasons why the others are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

import numpy as np

from melee_pipeline.errors import ConfigError
from melee_pipeline.replays.read import Player, Replay
from melee_pipeline.schema.encoding import PLAYERS, hash_of
from melee_pipeline.schema.field import Version

LEGAL_STAGES = frozenset({2, 3, 8, 28, 31, 32})
ICE_CLIMBERS = frozenset({14})  # external id
FIRST_FRAME = -123


class Reason(StrEnum):
    """Why a file met in a source is not a game of the data set."""

    EMPTY = "empty file"
    UNREADABLE = "unreadable"
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
    """What is kept. The defaults keep singles of humans, as tournaments play them."""

    cpus: bool = False
    ice_climbers: bool = False
    items: bool = False
    stages: frozenset[int] = LEGAL_STAGES  # external ids; empty allows all
    min_frames: int = 1800  # half a minute
    min_version: Version = (0, 1, 0)

    def fingerprint(self) -> str:
        """Twelve hex digits that change with any setting."""
        return hash_of(asdict(replace(self, stages=frozenset())) | {"stages": sorted(self.stages)})

    def __post_init__(self) -> None:
        if self.min_frames < 2:
            raise ConfigError(f"min_frames is {self.min_frames}; a game has 2 frames or more")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a replay is not kept, and what was found."""

    reason: Reason
    detail: str


def judge(replay: Replay, filters: Filters) -> Refusal | None:
    """The first reason not to keep a replay, by its start settings; None keeps it."""
    return next(_objections(replay, filters), None)


def _objections(replay: Replay, filters: Filters) -> Iterator[Refusal]:
    players = replay.players
    if replay.version < filters.min_version:
        yield Refusal(Reason.VERSION, f"Slippi {_dotted(replay.version)}")
    if len(players) != PLAYERS:
        yield Refusal(Reason.NOT_TWO_PLAYERS, f"{len(players)} players")
    if replay.is_teams:
        yield Refusal(Reason.TEAMS, "a team game")
    if not filters.cpus and (others := [p for p in players if p.type != "Human"]):
        yield Refusal(Reason.CPU, _ports(others) + " not human")
    climbers = [p for p in players if p.follower or p.character in ICE_CLIMBERS]
    if not filters.ice_climbers and climbers:
        yield Refusal(Reason.ICE_CLIMBERS, _ports(climbers))
    if filters.stages and replay.stage not in filters.stages:
        yield Refusal(Reason.ODD_STAGE, f"stage {replay.stage}")
    if not filters.items and replay.items_on:
        yield Refusal(Reason.ITEMS_ON, "items spawn")
    ids = np.unique(replay.frame_ids().to_numpy())
    if len(ids) < filters.min_frames:
        yield Refusal(Reason.TOO_SHORT, f"{len(ids)} of at least {filters.min_frames} frames")
    elif ids[0] != FIRST_FRAME or ids[-1] - ids[0] + 1 != len(ids):
        yield Refusal(
            Reason.MISSING_FRAMES,
            f"{len(ids)} frames from {ids[0]} to {ids[-1]}; {ids[-1] - FIRST_FRAME + 1} expected",
        )


def _ports(players: list[Player]) -> str:
    return ", ".join(p.port for p in players)


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
