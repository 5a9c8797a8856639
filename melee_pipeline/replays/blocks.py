"""The blocks of a `.slp` replay around its frames: start, end and metadata."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from melee_pipeline.errors import ReplayError
from melee_pipeline.replays.events import (
    FIRST_FRAME,
    GAME_END,
    GAME_START,
    START_PLAYER,
    Event,
    Version,
)
from melee_pipeline.replays.game import NOBODY, Game, GameEnd, GameStart, Metadata
from melee_pipeline.schema.vocab import internals_of


def start_block(start: GameStart) -> bytes:
    """The game start event, code and payload."""
    block = _defaults(GAME_START, start.version)
    block["version"][0, :3] = start.version
    block["bitfield"] = (50, 1, 142, 76)  # what four-stock games of humans hold
    block["item_spawn_bitfield"] = 255
    for name in ("is_teams", "item_spawn_frequency", "stage", "timer", "random_seed"):
        block[name] = getattr(start, name)
    block["players"] = _start_players(start).view("u1").reshape(6, 36)
    names = block.dtype.names or ()
    for name in ("is_pal", "is_frozen_ps"):
        if name in names:
            block[name] = getattr(start, name)
    texts = {"name_tags": "tag", "names": "name", "codes": "code", "uids": "uid"}
    for name in texts.keys() & set(names):
        for player in start.players:
            target = block[name][0, player.port - 1]
            target[:] = _text(getattr(player, texts[name]), len(target))
    if "match_id" in names:
        block["match_id"][0] = _text(start.match_id, 51)
    return bytes([GAME_START.code]) + block.tobytes()


def _start_players(start: GameStart) -> NDArray[np.void]:
    players = np.zeros(6, START_PLAYER)
    players["type"] = NOBODY
    players["handicap"], players["bitfield"], players["cpu_level"] = 9, 64, 1
    for ratio in ("offense_ratio", "defense_ratio", "model_scale"):
        players[ratio] = 1
    for player in start.players:
        if not 1 <= player.port <= 4:
            raise ReplayError(f"a player's port is {player.port}: expected 1 to 4")
        one = players[player.port - 1]
        for name in ("character", "type", "stocks", "costume"):
            one[name] = getattr(player, name)
        one["team_color"] = player.team
    return players


def _text(text: str, size: int) -> NDArray[np.uint8]:
    # The console's fonts have only the full-width number sign of connect codes.
    try:
        encoded = text.replace("#", "＃").encode("shift_jis")
    except UnicodeEncodeError as error:
        raise ReplayError(
            f"text {text!r} has the character {text[error.start]!r}, which the console cannot "
            "write: expected Shift-JIS"
        ) from error
    if len(encoded) > size:
        raise ReplayError(f"text {text!r} takes {len(encoded)} bytes: expected at most {size}")
    return np.frombuffer(encoded.ljust(size, b"\0"), np.uint8)


def end_block(end: GameEnd, version: Version) -> bytes:
    """The game end event, code and payload."""
    block = _defaults(GAME_END, version)
    names = block.dtype.names or ()
    block["method"] = end.method
    if "lras_initiator" in names and end.quitter is not None:
        block["lras_initiator"] = end.quitter - 1
    if "placements" in names:
        for port, place in end.placements.items():
            block["placements"][0, port - 1] = place
    return bytes([GAME_END.code]) + block.tobytes()


def _defaults(event: Event, version: Version) -> NDArray[np.void]:
    block = np.zeros(1, event.dtype(version))
    for event_field in event.fields_in(version):
        block[event_field.path] = event_field.default
    return block


def metadata_block(game: Game, metadata: Metadata) -> bytes:
    """The key `metadata` and its value; players' names and codes are in it."""
    players: dict[str, object] = {}
    for player in game.start.players:
        who = internals_of(player.character)[:1]
        entry: dict[str, object] = {"characters": {str(int(w)): len(game.frames) for w in who}}
        if player.name or player.code:
            entry["names"] = {"netplay": player.name, "code": player.code}
        players[str(player.port - 1)] = entry
    last = int(game.frames[-1]) if len(game.frames) else FIRST_FRAME
    block = {
        "startAt": metadata.start_at,
        "lastFrame": last,
        "players": players,
        "playedOn": metadata.played_on,
    }
    return _named("metadata", block)


def _named(name: str, value: object) -> bytes:
    """A key and its value in UBJSON."""
    encoded = name.encode()
    return b"U" + bytes([len(encoded)]) + encoded + _ubjson(value)


def _ubjson(value: object) -> bytes:
    if isinstance(value, dict):
        return b"{" + b"".join(_named(key, value[key]) for key in value) + b"}"
    if isinstance(value, int):
        return b"l" + value.to_bytes(4, "big", signed=True)
    encoded = str(value).encode()
    return b"SU" + bytes([len(encoded)]) + encoded
