"""The walk over a replay's events: where each lies, and on which row of the game.

Event after event would take longer than all the rest of parsing. But frames repeat: most have
the same events in the same order as the frame before. So one look tells whether the next frame
may be alike, and in the end all frames that were taken for alike are compared at once, byte by
byte of what names an event. Where that fails, the walk is done again, event after event.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from melee_pipeline.errors import ReplayError
from melee_pipeline.replays.events import FRAME_END, GAME_END
from melee_pipeline.replays.steps import OF_FRAME, Steps
from melee_pipeline.replays.stream import Buffer, Header

Offsets = NDArray[np.int64]


class CutShortError(ReplayError):
    """A replay ends before its first frame is complete."""


@dataclass(frozen=True, slots=True)
class Events:
    """All events of one kind, in the order in which they were recorded."""

    offsets: Offsets  # (n,) of their code bytes
    rows: Offsets  # (n,) the row that each belongs to


@dataclass(frozen=True)
class Walk:
    """The frames of a replay, as recorded: a row each, repeats by rollback included."""

    ids: NDArray[np.int32]  # (rows,) frame ids
    events: dict[int, Events]  # by event code
    end: int | None  # offset of the game end event
    truncated: bool

    @cached_property
    def straight(self) -> bool:
        """Whether each frame follows on the one before: there was no rollback."""
        return bool((np.diff(self.ids) == 1).all())

    def of(self, code: int) -> Events:
        """All events of a kind."""
        return self.events.get(code) or Events(np.zeros(0, np.int64), np.zeros(0, np.int64))


def walk(data: Buffer, header: Header) -> Walk:
    """Step through a replay's frames.

    A file that ends too early is `truncated`; its last frame is left out unless it is complete.
    Raises ReplayError naming the byte at which the file is damaged, and CutShortError when it
    ends within its first frame.
    """
    try:
        return _walk(data, header, guess=True)
    except CutShortError:
        raise
    except ReplayError:
        return _walk(data, header, guess=False)


def _walk(data: Buffer, header: Header, *, guess: bool) -> Walk:
    steps = Steps(data, header)
    runs, layouts = _frames(steps, guess=guess)
    truncated = not steps.whole and steps.ended is None
    if runs and steps.ended is None and not _complete(layouts[runs[-1].layout], steps, truncated):
        last = runs.pop()
        runs += [replace(last, count=last.count - 1)] if last.count > 1 else []
    if not runs:
        kind = CutShortError if truncated else ReplayError
        raise kind(f"it has no complete frame: it ends at byte {steps.at}")
    begins, which = _spread(runs)
    events = _events(begins, which, layouts, header.sizes)
    source = np.frombuffer(data, np.uint8)
    return Walk(_checked_ids(source, begins, events), events, steps.ended, truncated)


@dataclass(frozen=True, slots=True)
class _Run:
    """Frames of one layout that follow each other."""

    at: int
    length: int  # of each
    layout: int
    count: int


def _frames(steps: Steps, *, guess: bool) -> tuple[list[_Run], list[bytes]]:
    """All frames up to the game's end or the file's, and all layouts."""
    begin = steps.to_the_first_frame()
    runs: list[_Run] = []
    layouts: dict[bytes, int] = {}
    while steps.at < steps.stop and not steps.cut:
        at = steps.at
        if steps.data[at] == GAME_END.code:
            if steps.step() > 0:
                steps.ended = at
            break
        layout = steps.known(begin, layouts) if guess else None
        if layout is None:
            layout = steps.frame(begin)
            if steps.cut:
                break
        length = steps.at - at
        more = steps.alike(begin, layout[-1], length) if guess else 0
        runs.append(_Run(at, length, layouts.setdefault(layout, len(layouts)), 1 + more))
        steps.at += more * length
    return runs, list(layouts)


def _spread(runs: list[_Run]) -> tuple[Offsets, Offsets]:
    """Where each frame begins, and its layout."""
    at, length, layout, count = np.array(
        [(run.at, run.length, run.layout, run.count) for run in runs], np.int64
    ).T
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return np.repeat(at, count) + within * np.repeat(length, count), np.repeat(layout, count)


def _complete(layout: bytes, steps: Steps, truncated: bool) -> bool:
    """Whether the last frame of a recording without an end was recorded whole.

    From 3.0 on a frame says where it ends. Before, only the beginning of another one tells.
    """
    if FRAME_END.code in steps.sizes:
        return layout[-1] == FRAME_END.code
    return not truncated or steps.cut


def _events(
    begins: Offsets, which: Offsets, layouts: list[bytes], sizes: dict[int, int]
) -> dict[int, Events]:
    places: dict[int, list[Offsets]] = {code: [] for layout in layouts for code in layout}
    for layout in layouts:
        steps = np.array([1 + sizes[code] for code in layout])
        codes = np.frombuffer(layout, np.uint8)
        for code, each in places.items():
            each.append((np.cumsum(steps) - steps)[codes == code])
    return {code: _of_kind(begins, which, each) for code, each in places.items()}


def _of_kind(begins: Offsets, which: Offsets, places: list[Offsets]) -> Events:
    """The events of one kind, from their places in each layout."""
    counts = {len(mine) for mine in places}
    if len(counts) == 1:  # as many in each frame: each has its place
        [count] = counts
        offsets = begins[:, None] + np.array(places)[which]
        return Events(offsets.ravel(), np.repeat(np.arange(len(begins)), count))
    groups = [np.flatnonzero(which == number) for number in range(len(places))]
    found = [(begins[rows, None] + mine).ravel() for rows, mine in zip(groups, places, strict=True)]
    rows = [np.repeat(rows, len(mine)) for rows, mine in zip(groups, places, strict=True)]
    every = np.concatenate(found)
    order = np.argsort(every, kind="stable")
    return Events(every[order], np.concatenate(rows)[order])


def _checked_ids(
    source: NDArray[np.uint8], begins: Offsets, events: dict[int, Events]
) -> NDArray[np.int32]:
    """The rows' frame ids, when every event is where it should be and names its row's frame."""
    raw = _raw_words(source, begins + 1)
    ids = raw.view(">i4").astype(np.int32)
    # A frame follows on the one before, or rollback takes it a little back.
    wrong = (np.diff(ids, prepend=ids[:1]) > 1) | (ids < ids[0])
    if wrong.any():
        raise _misfit(begins[np.argmax(wrong)])
    first = source[begins[0]]  # each frame's id was taken from this event of it
    for code, these in events.items():
        wrong = source[these.offsets] != code
        if code in OF_FRAME and not (len(these.offsets) == len(begins) and code == first):
            wrong |= _raw_words(source, these.offsets + 1) != raw[these.rows]
        if wrong.any():
            raise _misfit(these.offsets[np.argmax(wrong)])
    return ids


def _misfit(offset: np.int64) -> ReplayError:
    return ReplayError(f"it is damaged: the event at byte {offset} does not fit the one before")


def _raw_words(source: NDArray[np.uint8], offsets: Offsets) -> NDArray[np.uint32]:
    """The four bytes at each of `offsets`, as they are."""
    # A view with a number at every byte, whatever its alignment.
    everywhere: NDArray[np.uint32] = np.ndarray((len(source) - 3,), np.uint32, source, strides=(1,))
    return everywhere[offsets]
