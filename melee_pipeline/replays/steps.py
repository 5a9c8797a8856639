"""Steps over a replay's events, one by one or, where frames repeat, many at once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from melee_pipeline.errors import ReplayError
from melee_pipeline.replays.events import EVENTS, GAME_END, GAME_START, PAYLOADS_CODE
from melee_pipeline.replays.stream import RAW, Buffer, Header

OF_FRAME = frozenset(event.code for event in EVENTS if event.key)
# What an event must hold to say which row it belongs to; of the game's end, the method.
_LEAST = {
    event.code: sum(np.dtype(field.dtype).itemsize for field in event.key or event.fields[:1])
    for event in EVENTS
    if event is not GAME_START
}
_OUT_OF_PLACE = frozenset({PAYLOADS_CODE, GAME_START.code})
_COUNT = np.arange(1, 2049)  # as many frames are looked at in one go


class Steps:
    """Steps from event to event; says where and why it stopped."""

    def __init__(self, data: Buffer, header: Header) -> None:
        self.data = data
        self.source = np.frombuffer(data, np.uint8)
        self.whole = 0 < header.announced <= len(data) - RAW
        self.stop = header.end if self.whole else len(data)
        self.sizes = header.sizes
        self.steps = [1 + header.sizes[code] if code in header.sizes else 0 for code in range(256)]
        for code in _OUT_OF_PLACE:
            self.steps[code] = 0
        for code, least in _LEAST.items():
            if header.sizes.get(code, least) < least:
                raise ReplayError(
                    f"it is damaged: event {code:#04x} has {header.sizes[code]} bytes"
                )
        self.at = header.start + 1 + header.sizes[GAME_START.code]
        self.ended: int | None = None  # where the game end event lies
        self.cut = False  # the file ends within an event
        self.lengths: dict[bytes, int] = {}  # of the layouts that were met

    def step(self) -> int:
        """Step over one event; its code, or −1 if it is not there whole."""
        code = self.data[self.at]
        step = self.steps[code]
        if not step:
            raise ReplayError(f"it is damaged: byte {self.at} cannot begin an event ({code:#04x})")
        if self.at + step > self.stop:
            if self.whole:
                raise ReplayError(f"it is damaged: its events end at byte {self.stop}, inside one")
            self.cut = True
            return -1
        self.at += step
        return code

    def to_the_first_frame(self) -> int:
        """Step over what precedes the frames; the code with which they begin."""
        while self.at < self.stop:
            code = self.data[self.at]
            if code in OF_FRAME or code == GAME_END.code:
                return code
            if self.step() < 0:
                break
        return -1

    def frame(self, begin: int) -> bytes:
        """Step over a frame; the codes of its events."""
        data, steps, at, stop = self.data, self.steps, self.at, self.stop
        codes = bytearray()
        before = begin
        while at < stop:
            code = data[at]
            if codes and (code == GAME_END.code or (code == begin and before != begin)):
                break
            step = steps[code]
            if not step or at + step > stop:
                self.at = at
                self.step()  # says what is wrong
                break
            codes.append(code)
            before = code
            at += step
        self.at = at
        return bytes(codes)

    def known(self, begin: int, layouts: Iterable[bytes]) -> bytes | None:
        """Step over a frame that seems to have one of these layouts, if it does."""
        for layout in layouts:
            last = layout[-1]
            behind = self.at + self.length_of(layout)
            if (
                behind < self.stop
                and self.data[behind] == begin
                and self.data[behind - 1 - self.sizes[last]] == last
            ):
                self.at = behind
                return layout
        return None

    def length_of(self, layout: bytes) -> int:
        """Bytes of a frame with this layout."""
        if layout not in self.lengths:
            self.lengths[layout] = sum(self.steps[code] for code in layout)
        return self.lengths[layout]

    def alike(self, begin: int, last: int, length: int) -> int:
        """How many of the next frames seem to have the layout of the one before.

        Such a frame ends with the event `last`, and another one begins behind it.
        """
        tail = 1 + self.sizes[last]
        room = (self.stop - 1 - self.at) // length  # frames with something behind them
        found, chunk = 0, 128
        while found < room:
            behind = self.at + length * (found + _COUNT[: min(chunk, room - found)])
            fits = (self.source[behind] == begin) & (self.source[behind - tail] == last)
            first = int(fits.argmin())
            if not fits[first]:
                return found + first
            found += len(fits)
            chunk = len(_COUNT)
        return found
