"""A run that is told to end saves itself first."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupt:
    """Holds back a signal until whoever works comes to a place where it can end."""

    def __init__(self) -> None:
        self._held: int | None = None
        self._before = {one: signal.getsignal(one) for one in SIGNALS}

    @property
    def requested(self) -> bool:
        """Whether somebody has asked to end."""
        return self._held is not None

    def hold(self, number: int, frame: FrameType | None) -> None:
        """The handler. A second signal does not wait."""
        if self._held is not None:
            self.let_go()
        else:
            self._held = number

    def let_go(self) -> None:
        """Let a signal that is held do what it would have done at once."""
        self.restore()
        held, self._held = self._held, None
        if held is not None:
            os.kill(os.getpid(), held)

    def restore(self) -> None:
        """Whoever handled the signals before does so again."""
        for one, handler in self._before.items():
            signal.signal(one, handler)


@contextmanager
def held_back() -> Iterator[Interrupt]:
    """Signals to end are held back, in the main thread; in any other they never arrive.

    One that is ignored (Ctrl-C, of a job in the background) stays ignored.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    for one in SIGNALS:
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, interrupt.hold)
    try:
        yield interrupt
    finally:
        interrupt.let_go()
