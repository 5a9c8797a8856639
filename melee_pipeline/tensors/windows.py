"""Windows of consecutive frames, gathered a whole batch at a time.

A sample is one target frame with the `context` frames before it, all of one game. Samples are
numbered 0 … len−1 over all games; no list of them is ever held, so memory does not grow with the
number of frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from melee_pipeline.errors import ArtefactError

Blocks = dict[str, Tensor]  # block name (schema.rows) -> (..., *row_shape), as packed


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of windows, still packed."""

    frames: Blocks  # each (B, T, *row_shape); frame T−1 is the target
    available: Tensor  # (B, F) bool: what the game's replay records, as rows.packed_fields()

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(
            {name: block.to(device, non_blocking=True) for name, block in self.frames.items()},
            self.available.to(device, non_blocking=True),
        )


class OpenGames:
    """Games that lie in one or more opened shards; nothing is copied."""

    def __init__(
        self,
        shards: Sequence[Blocks],
        shard: Tensor,
        start: Tensor,
        lengths: Tensor,
        available: Tensor,
    ) -> None:
        """`shard`, `start`, `lengths`: (G,) int64, place and frames of each game.

        `available`: (G, F) bool, the fields that each game's replay records.
        """
        self.shards = list(shards)
        self.shard, self.start, self.lengths = shard, start, lengths
        self.available = available

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def from_blocks(cls, blocks: Blocks, lengths: Sequence[int], available: Tensor) -> OpenGames:
        """Games that lie one after another in `blocks`: each (sum of lengths, *row_shape)."""
        sizes = torch.tensor(lengths, dtype=torch.int64)
        start = torch.cumsum(sizes, 0) - sizes
        return cls([blocks], torch.zeros_like(start), start, sizes, available)

    def gather(self, game: Tensor, frame: Tensor) -> Blocks:
        """Packed rows. `game`: (B,) game numbers; `frame`: (B, T) frame numbers in those games."""
        rows = self.start[game, None] + frame
        shard = self.shard[game]
        used = torch.unique(shard).tolist()
        if len(used) == 1:
            return {name: block[rows] for name, block in self.shards[used[0]].items()}
        out: Blocks = {}
        for number in used:
            mine = (shard == number).nonzero().squeeze(1)
            for name, block in self.shards[number].items():
                if name not in out:
                    out[name] = block.new_empty((*rows.shape, *block.shape[1:]))
                out[name][mine] = block[rows[mine]]
        return out


class Windows:
    """All windows of `context` + 1 frames in some games."""

    def __init__(self, games: OpenGames, context: int) -> None:
        self.games, self.context = games, context
        counts = (games.lengths - context).clamp(min=0)
        self._ends = torch.cumsum(counts, 0)  # samples of the games up to and with each
        self._counts = counts
        if len(self) == 0:
            raise ArtefactError(
                f"none of the {len(games)} games has more than {context} frames: nothing to learn"
            )

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def locate(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Game numbers and target frames of samples: (B,) int64 -> two of (B,) int64."""
        game = torch.searchsorted(self._ends, samples, right=True)
        return game, samples - (self._ends[game] - self._counts[game]) + self.context

    def batch(self, samples: Tensor) -> Batch:
        """The windows of samples (B,) int64 as one gather."""
        game, target = self.locate(samples)
        frames = target[:, None] + torch.arange(-self.context, 1)
        return Batch(self.games.gather(game, frames), self.games.available[game])

    def batches(
        self, size: int, generator: torch.Generator | None, skip: int = 0
    ) -> Iterator[Batch]:
        """One epoch in batches of `size`, in order, or shuffled by `generator`.

        The first `skip` batches are left out: an epoch that was cut off goes on after them.
        """
        total = len(self)
        order = (
            torch.arange(total) if generator is None else torch.randperm(total, generator=generator)
        )
        for first in range(skip * size, total, size):
            yield self.batch(order[first : first + size])
