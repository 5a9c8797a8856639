"""Columns out of a replay's bytes: all events of a kind at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from melee_pipeline.replays.events import EVENTS, Event, Version
from melee_pipeline.replays.stream import Buffer
from melee_pipeline.replays.walk import Offsets


class Columns:
    """Columns of events, one event of each kind a row."""

    def __init__(
        self,
        data: Buffer,
        sizes: Mapping[int, int],
        version: Version,
        rows: int,
        offsets: Sequence[tuple[Event, Offsets]],
        known: dict[str, pa.Array] | None = None,
    ) -> None:
        self.rows = rows
        self._version = version
        self._known = known or {}
        self._records: dict[str, tuple[NDArray[Any], NDArray[np.bool_] | None]] = {}
        source = np.frombuffer(data, np.uint8)
        for event, where in offsets:
            layout = _layout(event.code, sizes.get(event.code, 0))
            if layout.names and len(where):
                missing = where < 0 if where.min() < 0 else None
                first = (where if missing is None else np.where(missing, 0, where)) + 1
                # A view with a record at every byte, whatever its alignment; copied as plain
                # bytes, because numpy would copy a structure field by field.
                size = layout.itemsize
                everywhere: NDArray[Any] = np.ndarray(
                    (len(source) - size + 1,), f"V{size}", source, strides=(1,)
                )
                self._records[event.name] = (everywhere[first].view(layout), missing)

    def column(self, path: str, since: Version, wanted: pa.DataType) -> pa.Array:
        """The column at `path`: null where it is not recorded."""
        if path in self._known:
            return self._known[path]
        kind, _, name = path.partition(".")
        if kind not in self._records or self._version < since:
            return pa.nulls(self.rows, wanted)
        recorded, missing = self._records[kind]
        if name not in (recorded.dtype.fields or {}):
            return pa.nulls(self.rows, wanted)
        values = recorded[name]
        return pa.array(values.astype(_native(values.dtype)), wanted, mask=missing)


@cache
def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("=")


@cache
def _layout(code: int, size: int) -> np.dtype[np.void]:
    """The payload of an event as a replay has it: the fields for which it has room."""
    [event] = [event for event in EVENTS if event.code == code]
    whole = event.dtype(max(field.since for field in (*event.key, *event.fields)))
    fields = {
        name: (dtype, offset)
        for name, (dtype, offset, *_) in (whole.fields or {}).items()
        if offset + dtype.itemsize <= size
    }
    if not fields:
        return np.dtype([])
    layout: Any = {
        "names": list(fields),
        "formats": [dtype for dtype, _ in fields.values()],
        "offsets": [offset for _, offset in fields.values()],
        "itemsize": size,
    }
    narrowed: np.dtype[np.void] = np.dtype(layout)
    return narrowed
