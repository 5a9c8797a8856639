"""A replay as plain data: what the writer takes, and the changes that make hard cases of it.

Columns are named as peppi names them, and hold one value a row. A row is a frame as it was
recorded: rollback repeats frame ids, and the last row of an id is the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from melee_pipeline.errors import ReplayError
from melee_pipeline.replays.events import FIRST_FRAME, FRAME_START, Version

Columns = Mapping[str, ArrayLike]

HUMAN, CPU, NOBODY = 0, 1, 3
METHOD_TIME, METHOD_GAME, METHOD_NO_CONTEST = 1, 2, 7
METHOD_RESOLVED = 3  # the end of every finished game before 2.0


@dataclass(frozen=True, slots=True)
class Player:
    """A player of the start block. Ports count from 1; `character` is the external id."""

    port: int
    character: int
    type: int = HUMAN
    stocks: int = 4
    costume: int = 0
    team: int = 0
    tag: str = ""
    name: str = ""
    code: str = ""
    uid: str = ""


@dataclass(frozen=True, slots=True)
class GameStart:
    """What is known before the first frame. `stage` is the external id, `timer` in seconds."""

    players: tuple[Player, ...]
    stage: int
    version: Version = (3, 16, 0)
    is_teams: bool = False
    timer: int = 480
    random_seed: int = 0
    is_pal: bool = False
    is_frozen_ps: bool = False
    item_spawn_frequency: int = -1
    match_id: str = ""


@dataclass(frozen=True, slots=True)
class Fighter:
    """The columns of one fighter: `pre.…` and `post.…`, an array of (rows,) or one value.

    `pre_rows` and `post_rows` are masks (rows,) of the rows that have the event; None is all.
    """

    port: int
    columns: Columns
    follower: bool = False
    pre_rows: NDArray[np.bool_] | None = None
    post_rows: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class GameEnd:
    """How the game ended. `quitter` is the port that left, `placements` are places by port."""

    method: int = METHOD_GAME
    quitter: int | None = None
    placements: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metadata:
    """The block that the recorder adds at the end; names and codes come from the players."""

    start_at: str = "2001-11-21T12:00:00Z"
    played_on: str = "dolphin"


@dataclass(frozen=True, slots=True)
class Game:
    """A whole replay. `items` has `item.…` columns and `row`, the row on which each item lies."""

    start: GameStart
    frames: NDArray[np.int32]  # (rows,) frame ids
    fighters: tuple[Fighter, ...]
    columns: Columns = field(default_factory=dict)  # `start.…` and `end.…`
    items: Columns = field(default_factory=dict)
    end: GameEnd | None = field(default_factory=GameEnd)
    metadata: Metadata | None = field(default_factory=Metadata)


def frame_ids(count: int) -> NDArray[np.int32]:
    """Ids of the first `count` frames of a game without rollback."""
    return np.arange(FIRST_FRAME, FIRST_FRAME + count, dtype=np.int32)


def roll_back(game: Game, frame: int, depth: int) -> Game:
    """Record the `depth` frames up to `frame` twice, as netplay does after a late input.

    The first time they hold a guess, which is wrong: everyone as on the frame before, one unit
    to the side. The second time they hold what they held, so the last row of each id is true.
    Raises ReplayError before version 2.2, which cannot repeat a frame.
    """
    if game.start.version < FRAME_START.since:
        raise ReplayError(f"no rollback in version {game.start.version}: expected 2.2 or later")
    last = row_of(game, frame)
    first = last - depth + 1
    if depth < 1 or first < 1:
        raise ReplayError(f"cannot repeat {depth} frames up to {frame}: one must lie before them")
    rows = len(game.frames)
    again = np.concatenate([np.arange(last + 1), np.arange(first, rows)])
    guess = again.copy()
    guess[first : last + 1] = first - 1
    wrong = again != guess

    def repeat(columns: Columns) -> Columns:
        out = {name: np.broadcast_to(value, (rows,))[guess] for name, value in columns.items()}
        if "post.position.x" in out:
            out["post.position.x"] = out["post.position.x"] + wrong
        return out

    columns = {"end.latest_finalized_frame": game.frames} | dict(game.columns)
    return replace(
        game,
        frames=game.frames[again],
        fighters=tuple(
            replace(
                one,
                columns=repeat(one.columns),
                pre_rows=None if one.pre_rows is None else one.pre_rows[guess],
                post_rows=None if one.post_rows is None else one.post_rows[guess],
            )
            for one in game.fighters
        ),
        columns=repeat(columns),
        items=_shift_items(game.items, first, depth),
    )


def _shift_items(items: Columns, first: int, by: int) -> Columns:
    if not items:
        return items
    row = np.asarray(items["row"])
    return dict(items) | {"row": np.where(row >= first, row + by, row)}


def without_post(game: Game, port: int, frame: int) -> Game:
    """Drop the post event of the leader on `port` on one frame: a damaged recording."""

    def drop(fighter: Fighter) -> Fighter:
        if fighter.port != port or fighter.follower:
            return fighter
        kept = np.ones(len(game.frames), bool) if fighter.post_rows is None else fighter.post_rows
        kept = kept.copy()
        kept[row_of(game, frame)] = False
        return replace(fighter, post_rows=kept)

    return replace(game, fighters=tuple(drop(fighter) for fighter in game.fighters))


def absent_from(game: Game, port: int, frame: int, *, follower: bool = False) -> Game:
    """A fighter (Nana: `follower=True`) has no events from `frame` on: dead for good."""
    there = np.arange(len(game.frames)) < row_of(game, frame)
    return replace(
        game,
        fighters=tuple(
            replace(one, pre_rows=there, post_rows=there)
            if one.port == port and one.follower == follower
            else one
            for one in game.fighters
        ),
    )


def row_of(game: Game, frame: int) -> int:
    """The last row of a frame id. Raises ReplayError when the game has no such frame."""
    rows = np.flatnonzero(game.frames == frame)
    if not len(rows):
        raise ReplayError(f"the game has no frame {frame}")
    return int(rows[-1])
