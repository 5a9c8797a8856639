"""A replay that has been read, and its tables: frames, items, stage events, Nana.

Columns are made one by one, from all events of a kind at once: no Python object per value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from melee_pipeline.errors import ReplayError
from melee_pipeline.replays.events import (
    FRAME_START,
    ITEM,
    POST,
    PRE,
    STAGE_EVENTS,
    Event,
)
from melee_pipeline.replays.records import Columns
from melee_pipeline.replays.stream import Buffer, Player, Start
from melee_pipeline.replays.walk import Events, Offsets, Walk
from melee_pipeline.schema.beside import COLUMNS, Beside, Column
from melee_pipeline.schema.columns import arrow_type, beside_schema, game_schema
from melee_pipeline.schema.encoding import PLAYERS
from melee_pipeline.schema.field import Scope, Version
from melee_pipeline.schema.table import FIELDS

Keep = Literal["last", "first"]
_ByFighter = dict[tuple[str, bool], Events]
_ALWAYS: Version = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Replay(Start):
    """A replay whose frames could be read.

    Rollback repeats frame ids. Tables keep the last row of each id, which was played in the end,
    or on request the first, which is what the players saw.
    """

    end_method: str | None  # None: the recording has no end
    lras_initiator: str | None
    placements: dict[str, int]  # port -> 0 for the first place
    sizes: dict[int, int]  # event code -> bytes of its payload
    data: Buffer
    walk: Walk

    @property
    def rows(self) -> int:
        """Frames as recorded, repeats by rollback included."""
        return len(self.walk.ids)

    @property
    def truncated(self) -> bool:
        """Whether the file was cut short; what is here are its complete frames."""
        return self.walk.truncated

    def frame_ids(self) -> NDArray[np.int32]:
        """(rows,) frame ids as recorded: a rollback repeats them."""
        return self.walk.ids

    def table(self, keep: Keep = "last") -> pa.Table:
        """The game's frames (schema.columns.game_schema), the players by port.

        Raises ReplayError when there are fewer than two players, or when events of one are missing.
        """
        players = len(self.players)
        if players < PLAYERS:
            raise ReplayError(f"{players} player(s) in the replay; a game has two")
        rows = self.kept(keep)
        shared = self._shared(rows)
        events = self._by_fighter()
        fighters = [self._fighter(events, player, rows) for player in self.players]
        columns = []
        for field in FIELDS:
            wanted = arrow_type(field.dtype)
            if field.path.startswith("game."):
                value = getattr(self, field.path.removeprefix("game."))
                columns.append(pa.repeat(pa.scalar(value, wanted), len(rows)))
                continue
            for source in [shared] if field.scope is Scope.FRAME else fighters:
                columns.append(source.column(field.path, field.since, wanted))
        return pa.Table.from_arrays(columns, schema=game_schema(players))

    def beside(self, table: Beside, keep: Keep = "last") -> pa.Table:
        """A table beside the frames (schema.columns.beside_schema); empty where nothing is."""
        kinds = {Beside.ITEMS: [ITEM], Beside.STAGE_EVENTS: STAGE_EVENTS}.get(table, [])
        kinds = [kind for kind in kinds if len(self.walk.of(kind.code).rows)]
        climbers = [number for number, player in enumerate(self.players) if player.follower]
        followers = climbers if table is Beside.FOLLOWERS else []
        if not kinds and not followers:
            return beside_schema(table).empty_table()
        rows = self.kept(keep)
        parts = [self._follower(number, rows) for number in followers]
        parts += [self._listed(table, kind, rows) for kind in kinds]
        # Stable, so that rows of one frame stay in the order of players or kinds.
        return parts[0] if len(parts) == 1 else pa.concat_tables(parts).sort_by("frame")

    def kept(self, keep: Keep) -> Offsets:
        """Numbers of the rows that make the game, in the order of frames."""
        ids = self.walk.ids
        if self.walk.straight:
            return np.arange(len(ids))
        return last_of_each(ids) if keep == "last" else first_of_each(ids)

    def _columns(
        self,
        rows: int,
        offsets: Sequence[tuple[Event, Offsets]],
        known: dict[str, pa.Array] | None = None,
    ) -> Columns:
        return Columns(self.data, self.sizes, self.version, rows, offsets, known)

    def _shared(self, rows: Offsets) -> Columns:
        ids = pa.array(self.walk.ids[rows])
        return self._columns(
            len(rows),
            [(FRAME_START, self._on(self.walk.of(FRAME_START.code), rows))],
            {"id": ids},
        )

    def _fighter(
        self, events: Sequence[_ByFighter], player: Player, rows: Offsets, follower: bool = False
    ) -> Columns:
        """A fighter's columns. Raises ReplayError when it has one of its two events on a row."""
        pre, post = (self._on(each[player.port, follower], rows) for each in events)
        if ((pre < 0) != (post < 0)).any():
            raise ReplayError(f"it is damaged: frames hold half of the events of {player.port}")
        return self._columns(len(rows), [(PRE, pre), (POST, post)])

    def _by_fighter(self) -> tuple[_ByFighter, _ByFighter]:
        """The pre and post events of each fighter: (port, whether it is Nana) -> events."""
        return self._split(PRE), self._split(POST)

    def _split(self, event: Event) -> _ByFighter:
        events = self.walk.of(event.code)
        source = np.frombuffer(self.data, np.uint8)
        who = 2 * source[events.offsets + 5] + (source[events.offsets + 6] != 0)
        found = {
            (player.port, follower): _where(who, 2 * (int(player.port[1]) - 1) + follower, events)
            for player in self.players
            for follower in ((False, True) if player.follower else (False,))
        }
        if sum(len(these.rows) for these in found.values()) != len(who):
            raise ReplayError("it is damaged: frames hold events of somebody who does not play")
        return found

    def _on(self, events: Events, rows: Offsets) -> Offsets:
        """(rows,) where the event of each row lies; −1 where there is none."""
        if len(events.rows) == len(rows) == self.rows and (events.rows == rows).all():
            return events.offsets
        if (np.diff(events.rows) == 0).any():
            raise ReplayError("it is damaged: a frame holds an event twice")
        offsets = np.full(self.rows, -1)
        offsets[events.rows] = events.offsets
        return offsets[rows]

    def _follower(self, number: int, rows: Offsets) -> pa.Table:
        player = self.players[number]
        events = self._by_fighter()
        there = np.zeros(self.rows, np.bool_)
        there[events[1][player.port, True].rows] = True
        rows = rows[there[rows]]
        columns = self._fighter(events, player, rows, follower=True)
        keys = [pa.array(self.walk.ids[rows]), pa.repeat(pa.scalar(number, pa.uint8()), len(rows))]
        return self._with(Beside.FOLLOWERS, keys, columns, COLUMNS[Beside.FOLLOWERS])

    def _listed(self, table: Beside, kind: Event, rows: Offsets) -> pa.Table:
        events = self.walk.of(kind.code)
        wanted = np.zeros(self.rows, np.bool_)
        wanted[rows] = True
        of_wanted = wanted[events.rows]
        offsets, ids = events.offsets[of_wanted], self.walk.ids[events.rows[of_wanted]]
        # Only the last rows of rolled-back frames are out of order.
        order = np.argsort(ids, kind="stable")
        columns = self._columns(len(offsets), [(kind, offsets[order])])
        mine = [c for c in COLUMNS[table] if c.path.startswith(f"{kind.name}.")]
        return self._with(table, [pa.array(ids[order])], columns, mine)

    def _with(
        self, table: Beside, keys: list[pa.Array], source: Columns, mine: Sequence[Column]
    ) -> pa.Table:
        # Stage events are where they are recorded: recordings made before 3.18 hold them, too.
        staged = table is Beside.STAGE_EVENTS
        arrays = [
            source.column(one.path, _ALWAYS if staged else one.since, arrow_type(one.dtype))
            if one in mine
            else pa.nulls(source.rows, arrow_type(one.dtype))
            for one in COLUMNS[table]
        ]
        return pa.Table.from_arrays(keys + arrays, schema=beside_schema(table))


def _where(who: NDArray[np.uint8], fighter: int, events: Events) -> Events:
    """The events of one fighter."""
    if len(who) % 2 == 0 and len(who):
        # Nearly always two fighters take turns, and every second event is one's.
        for first in (0, 1):
            if (who[first::2] == fighter).all() and not (who[1 - first :: 2] == fighter).any():
                return Events(events.offsets[first::2], events.rows[first::2])
    mine = who == fighter
    return Events(events.offsets[mine], events.rows[mine])


def last_of_each(ids: NDArray[np.int32]) -> Offsets:
    """Row numbers of the last row of each id, in ascending order of the id."""
    _, first_in_reverse = np.unique(ids[::-1], return_index=True)
    rows: Offsets = len(ids) - 1 - first_in_reverse
    return rows


def first_of_each(ids: NDArray[np.int32]) -> Offsets:
    """Row numbers of the first row of each id, in ascending order of the id."""
    rows: Offsets = np.unique(ids, return_index=True)[1]
    return rows
