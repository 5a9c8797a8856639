"""Records: a frame's blocks as consecutive bytes, so that a window is one run of a file.

A window of eleven frames is then some 900 bytes in one place: one copy, and one or two pages of
the file, whatever the number of blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from melee_pipeline.schema.rows import blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Blocks: TypeAlias = "dict[str, Tensor]"  # block (schema.rows) -> (..., *row_shape), as packed


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block lies in a record."""

    name: str
    start: int  # byte of the record
    stop: int
    dtype: str  # a name that numpy and torch share
    row_shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """The blocks of a record, one after another without gaps."""

    places: tuple[Place, ...]

    @classmethod
    def of(cls, kinds: Iterable[tuple[str, str, tuple[int, ...]]]) -> RecordLayout:
        """The layout of blocks given as (name, dtype as in numpy, shape of a row)."""
        places: list[Place] = []
        start = 0
        for name, dtype, row_shape in kinds:
            stop = start + np.dtype(dtype).itemsize * int(np.prod(row_shape))
            places.append(Place(name, start, stop, np.dtype(dtype).name, row_shape))
            start = stop
        return cls(tuple(places))

    @property
    def width(self) -> int:
        """Bytes of a record."""
        return self.places[-1].stop

    def join(self, rows: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
        """Blocks, each (N, *row_shape), to records (N, width)."""
        records = np.empty((len(rows[self.places[0].name]), self.width), np.uint8)
        for place in self.places:
            block = np.ascontiguousarray(rows[place.name]).view(np.uint8)
            records[:, place.start : place.stop] = block.reshape(-1, place.stop - place.start)
        return records

    def split(self, records: Tensor) -> Blocks:
        """Records (…, width) uint8 to blocks, each (…, *row_shape): the inverse of `join`."""
        import torch

        return {
            place.name: records[..., place.start : place.stop]
            # A number must start where its dtype may; in a record it starts anywhere.
            .clone(memory_format=torch.contiguous_format)
            .view(getattr(torch, place.dtype))
            .view(*records.shape[:-1], *place.row_shape)
            for place in self.places
        }


@cache
def shard_layout() -> RecordLayout:
    """The records of shards: all blocks of schema.rows, in its order."""
    return RecordLayout.of((block.name, block.dtype, block.row_shape) for block in blocks())
