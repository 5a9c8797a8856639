"""One `.slp` file to a Replay, whatever version of Slippi recorded it.

The events are taken as the file announces them. A field that an event has no room for is null,
and so is one that came with a later version than the file names: that covers recordings of
unreleased versions, and 3.0 to 3.6, on which the peppi library panics. What the file holds beside
its events (the recorder's metadata, with names and codes) is not looked at.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from melee_pipeline.errors import ReplayError
from melee_pipeline.replays.frames import Replay
from melee_pipeline.replays.stream import (
    Buffer,
    Header,
    Start,
    load,
    read_end,
    read_header,
    read_start,
)
from melee_pipeline.replays.walk import walk


def read_replay(path: Path) -> Replay:
    """Read a replay of any version that Slippi released, `.slp` or `.slp.gz`.

    Raises ReplayError, naming the file and what is wrong with it, for whatever cannot be read.
    """
    try:
        data = load(path)
        header = read_header(data)
        return read_frames(data, header, read_start(data, header))
    except ReplayError as error:
        raise type(error)(f"{path.name}: {error}") from error


def read_frames(data: Buffer, header: Header, start: Start) -> Replay:
    """As `read_replay`, of a file that is loaded and whose start is known."""
    found = walk(data, header)
    end = None if found.end is None else read_end(data, found.end, header)
    facts: dict[str, Any] = {field.name: getattr(start, field.name) for field in fields(Start)}
    return Replay(
        **facts,
        end_method=end.method if end else None,
        lras_initiator=end.lras_initiator if end else None,
        placements=end.placements if end else {},
        sizes=header.sizes,
        data=data,
        walk=found,
    )
