"""A replay's file: its bytes, where its events lie, and what it says of the game as a whole."""

from __future__ import annotations

import gzip
import mmap
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from melee_pipeline.errors import ReplayError
from melee_pipeline.replays.events import (
    FIRST_VERSION,
    GAME_END,
    GAME_START,
    LAST_VERSION,
    PAYLOADS_CODE,
    START_PLAYER,
    Version,
)

SIGNATURE = b"{U\x03raw[$U#l"
RAW = len(SIGNATURE) + 4  # where the events begin, after the length of them all
MAX_BYTES = 512 << 20  # an hour of four players is 150 MB
_ICE_CLIMBERS = 14  # external id
_TYPES = {0: "Human", 1: "Cpu", 2: "Demo"}
_SMALLEST_START = GAME_START.dtype(FIRST_VERSION).itemsize
_START = GAME_START.dtype(LAST_VERSION)
_PAL_OFFSET = next(
    offset for name, (_, offset, *_) in (_START.fields or {}).items() if name == "is_pal"
)
_METHODS = {0: "Unresolved", 1: "Time", 2: "Game", 3: "Resolved", 7: "NoContest"}
Buffer = bytes | mmap.mmap


@dataclass(frozen=True, slots=True)
class Player:
    """A player as the game was started with them. Names and codes are deliberately absent."""

    port: str  # P1 … P4
    character: int  # external id
    type: str  # Human, Cpu, Demo
    team: int | None
    stocks: int
    costume: int
    follower: bool  # Ice Climbers: Nana has rows of her own


@dataclass(frozen=True, slots=True)
class Start:
    """What a replay says before its first frame."""

    version: Version
    stage: int  # external id
    timer: int  # seconds
    is_teams: bool
    is_pal: bool | None  # None: not recorded
    items_on: bool
    random_seed: int
    players: tuple[Player, ...]  # by port


@dataclass(frozen=True, slots=True)
class Header:
    """Where the events lie in a file, and how large each is."""

    sizes: dict[int, int]  # event code -> bytes that follow it
    start: int  # offset of the game start event
    announced: int  # bytes of events as the file says; 0 while it is being recorded

    @property
    def end(self) -> int:
        """Where the events end, if the file is right."""
        return RAW + self.announced


def load(path: Path) -> Buffer:
    """A replay's bytes, unpacked if it is a `.gz`. Raises ReplayError when it is too large."""
    data: Buffer = b""
    with path.open("rb") as file:
        if file.read(2) == b"\x1f\x8b":
            file.seek(0)
            try:
                with gzip.open(file) as unpacked:
                    data = unpacked.read(MAX_BYTES + 1)
            except (OSError, EOFError, zlib.error) as error:
                raise ReplayError(f"it cannot be unpacked: {error}") from error
        elif path.stat().st_size:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if len(data) > MAX_BYTES:
        raise ReplayError(f"it has more than {MAX_BYTES >> 20} MiB; no replay is as large")
    return data


def read_header(data: Buffer) -> Header:
    """The sizes of the events. Raises ReplayError when the file does not begin as a replay."""
    if data[: len(SIGNATURE)] != SIGNATURE:
        raise ReplayError("it is no replay: it does not begin with Slippi's signature")
    if len(data) < RAW + 2 or data[RAW] != PAYLOADS_CODE or data[RAW + 1] % 3 != 1:
        raise ReplayError("it is damaged or cut: the list of its events' sizes is not there")
    start = RAW + 1 + data[RAW + 1]
    listed = data[RAW + 2 : start]
    sizes = {
        listed[i]: int.from_bytes(listed[i + 1 : i + 3], "big") for i in range(0, len(listed), 3)
    }
    size = sizes.get(GAME_START.code, 0)
    if size < _SMALLEST_START or len(data) < start + 1 + size or data[start] != GAME_START.code:
        raise ReplayError("it is damaged or cut: it has no game start block")
    return Header(sizes, start, int.from_bytes(data[RAW - 4 : RAW], "big"))


def read_start(data: Buffer, header: Header) -> Start:
    """The settings of the game."""
    size = header.sizes[GAME_START.code]
    layout = _START
    payload = data[header.start + 1 : header.start + 1 + size][: layout.itemsize]
    block = np.frombuffer(payload.ljust(layout.itemsize, b"\0"), layout)[0]
    is_teams = bool(block["is_teams"])
    players = block["players"].tobytes()
    major, minor, patch = (int(part) for part in block["version"][:3])
    return Start(
        version=(major, minor, patch),
        stage=int(block["stage"]),
        timer=int(block["timer"]),
        is_teams=is_teams,
        is_pal=bool(block["is_pal"]) if size > _PAL_OFFSET else None,
        items_on=int(block["item_spawn_frequency"]) >= 0,
        random_seed=int(block["random_seed"]),
        players=tuple(
            Player(
                port=f"P{i + 1}",
                character=int(one["character"]),
                type=_TYPES[int(one["type"])],
                team=int(one["team_color"]) if is_teams else None,
                stocks=int(one["stocks"]),
                costume=int(one["costume"]),
                follower=int(one["character"]) == _ICE_CLIMBERS,
            )
            for i, one in enumerate(np.frombuffer(players, START_PLAYER)[:4])
            if int(one["type"]) in _TYPES
        ),
    )


@dataclass(frozen=True, slots=True)
class End:
    """How a game ended, as the recording says."""

    method: str
    lras_initiator: str | None  # port of who quit
    placements: dict[str, int]  # port -> 0 for the first place; empty where it is not recorded


def read_end(data: Buffer, at: int, header: Header) -> End:
    """The game end event at byte `at`. What is out of its range counts as not recorded."""
    payload = data[at + 1 : at + 1 + header.sizes[GAME_END.code]]
    method = _METHODS.get(payload[0], f"method {payload[0]}")
    initiator = f"P{payload[1] + 1}" if len(payload) > 1 and payload[1] < 4 else None
    places = {f"P{i + 1}": place for i, place in enumerate(payload[2:6]) if place < 4}
    return End(method, initiator, places)
