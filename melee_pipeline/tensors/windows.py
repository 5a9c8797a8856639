"""Windows of consecutive frames, gathered a whole batch at a time.

A sample is one window, all of one game. Samples are numbered 0 … len−1 over all games; no list of
them is ever held, so memory does not grow with the number of frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from melee_pipeline.errors import ArtefactError
from melee_pipeline.tensors.records import Blocks, RecordLayout
from melee_pipeline.tensors.shuffle import Shuffle

ORDERED_AT_ONCE = 128  # batches whose places in the order are computed together


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of windows, still packed."""

    records: Tensor  # (B, T, width) uint8; the last ones are to be predicted
    available: Tensor  # (B, F) bool: what the game's replay records, as rows.packed_fields()
    new: Tensor  # (B,) how many frames at the window's end no other window predicts
    layout: RecordLayout

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device: one transfer, whatever the number of blocks."""
        return Batch(
            self.records.to(device, non_blocking=True),
            self.available.to(device, non_blocking=True),
            self.new.to(device, non_blocking=True),
            self.layout,
        )

    @property
    def frames(self) -> Blocks:
        """The windows' blocks, each (B, T, *row_shape), taken apart where the batch is."""
        return self.layout.split(self.records)


class OpenGames:
    """Games that lie in one or more opened shards; nothing is copied."""

    def __init__(
        self,
        shards: Sequence[Tensor],
        layout: RecordLayout,
        shard: Tensor,
        start: Tensor,
        lengths: Tensor,
        available: Tensor,
    ) -> None:
        """`shards`: each (rows, width) uint8, records as `layout` says.

        `shard`, `start`, `lengths`: (G,) int64, place and frames of each game. `available`: (G, F)
        bool, the fields that each game's replay records.
        """
        self.shards, self.layout = list(shards), layout
        self.lengths, self.available = lengths, available
        # A row is known by its number in all shards, one after another.
        rows = torch.tensor([0, *(len(records) for records in shards)], device=start.device)
        self._shard_starts = rows.cumsum(0)
        self._starts = self._shard_starts[shard] + start
        self._runs: dict[int, list[NDArray[np.uint8]]] = {}  # by length, views of the shards

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def device(self) -> torch.device:
        """Where the games are, and where batches of them are made."""
        return self.lengths.device

    @property
    def nbytes(self) -> int:
        """Bytes of all frames of these games."""
        return int(self.lengths.sum()) * self.layout.width

    def to(self, device: torch.device | str) -> OpenGames:
        """The games' frames copied into the memory of a device, as one shard."""
        ends = self.lengths.cumsum(0)
        records = torch.empty(
            (int(self.lengths.sum()), self.layout.width), dtype=torch.uint8, device=device
        )
        shard = torch.searchsorted(self._shard_starts, self._starts, right=True) - 1
        inside = self._starts - self._shard_starts[shard]
        places = torch.stack([shard, inside, self.lengths, ends], 1).tolist()
        for number, first, length, end in places:
            records[end - length : end] = self.shards[number][first : first + length]
        start, lengths = (ends - self.lengths).to(device), self.lengths.to(device)
        return OpenGames(
            [records],
            self.layout,
            torch.zeros_like(start),
            start,
            lengths,
            self.available.to(device),
        )

    def gather(self, game: Tensor, first: Tensor, length: int) -> Tensor:
        """Records of `length` frames each, from frame `first` of `game`, both (B,).

        Gives (B, length, width) uint8. The frames must be within their games.
        """
        rows = self._starts[game] + first
        if len(self.shards) > 1:
            return self._gather_mapped(rows, length)
        every = (rows[:, None] + torch.arange(length, device=rows.device)).flatten()
        return self.shards[0].index_select(0, every).view(len(rows), length, self.layout.width)

    def _gather_mapped(self, rows: Tensor, length: int) -> Tensor:
        """As `gather`, of rows in many shards: one copy from each shard that is touched.

        numpy, since there are hundreds of small copies in a batch, and a call of it costs a
        fraction of one of torch.
        """
        if length not in self._runs:
            self._runs[length] = [runs_of(records, length) for records in self.shards]
        shards, starts = self._runs[length], self._shard_starts.numpy()
        out = np.empty((len(rows), length * self.layout.width), np.uint8)
        order = np.argsort(rows.numpy())
        in_order = rows.numpy()[order]
        shard = np.searchsorted(starts, in_order, side="right") - 1
        inside = in_order - starts[shard]
        borders = [0, *(np.flatnonzero(np.diff(shard)) + 1).tolist(), len(rows)]
        for first, end in pairwise(borders):
            out[order[first:end]] = shards[shard[first]][inside[first:end]]
        return torch.from_numpy(out).view(len(rows), length, self.layout.width)


def runs_of(records: Tensor, length: int) -> NDArray[np.uint8]:
    """Every run of `length` records as one row, overlapping: (N, W) -> (N − length + 1, length·W).

    A view: row i is what starts at record i.
    """
    count, width = records.shape
    shape = (max(count - length + 1, 0), length * width)
    return np.ndarray(shape, np.uint8, records.numpy().data, strides=(width, 1))


class Windows:
    """Windows of some games: `context` frames that are only read, then `count` to be predicted.

    Every frame from frame `first` of its game on is predicted in one window. A game's last window
    is set back to end with the game; of its predicted frames the last ones alone are new.
    """

    def __init__(
        self, games: OpenGames, context: int, count: int = 1, first: int | None = None
    ) -> None:
        """`first`: the context where it is None or less. Raises ArtefactError for no window."""
        self.games, self.context, self.count = games, context, count
        self.first = max(context, first or 0)
        self.length = context + count
        long_enough = (games.lengths >= self.length) & (games.lengths > self.first)
        frames = torch.where(long_enough, games.lengths - self.first, 0)
        self._counts = (frames + count - 1) // count
        self._ends = torch.cumsum(self._counts, 0)  # samples of the games up to and with each
        self._total = int(self._ends[-1]) if len(self._ends) else 0
        self.frames = int(frames.sum())  # predicted, each counted once
        if self._total == 0:
            raise ArtefactError(
                f"none of the {len(games)} games has the {max(self.length, self.first + 1)} frames "
                "of a window: nothing to learn"
            )

    def __len__(self) -> int:
        return self._total

    def locate(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Game numbers and last frames of samples: (B,) int64 -> two of (B,) int64."""
        game, last = self._place(samples)
        return game, torch.minimum(last, self.games.lengths[game] - 1)

    def _place(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """As `locate`, the last frame beyond the game's end where its last window is set back."""
        game = torch.searchsorted(self._ends, samples, right=True)
        number = samples - (self._ends[game] - self._counts[game])
        return game, self.first + (number + 1) * self.count - 1

    def batch(self, samples: Tensor) -> Batch:
        """The windows of samples (B,) int64 as one gather, where the games are."""
        game, wanted = self._place(samples.to(self.games.device))
        last = torch.minimum(wanted, self.games.lengths[game] - 1)
        records = self.games.gather(game, last + 1 - self.length, self.length)
        new = self.count - (wanted - last)
        return Batch(records, self.games.available[game], new, self.games.layout)

    def batches(self, size: int, seed: int | None, skip: int = 0) -> Iterator[Batch]:
        """One epoch in batches of `size`: in order, or in the random order of `seed`.

        The first `skip` batches are left out: an epoch that was cut off goes on after them.
        """
        shuffle = None if seed is None else Shuffle(len(self), seed)
        for first in range(skip * size, len(self), ORDERED_AT_ONCE * size):
            samples = np.arange(first, min(first + ORDERED_AT_ONCE * size, len(self)))
            order = torch.from_numpy(samples if shuffle is None else shuffle(samples))
            for some in torch.split(order.to(self.games.device), size):
                yield self.batch(some)
