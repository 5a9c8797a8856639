"""A random order that is computed, not stored.

A shuffled list of the windows of 22,000 games takes 1.6 GB and close to a minute an epoch. A
keyed permutation takes nothing: it says which window stands in any place of the order, so an
epoch that was cut off can also go on from the middle at no cost.

It is a Feistel network over pairs (Black and Rogaway, "Ciphers with Arbitrary Finite Domains",
2002): a number is written as (left, right) with left < a and right < b, and in turn each half is
shifted by a hash of the other, which can be undone. a · b is at least `size` and hardly more; a
result that is outside is put through again until it is inside ("cycle walking").
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

ROUNDS = 8


class Shuffle:
    """The permutation of 0 … size − 1 that belongs to a seed."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self._a = np.uint64(math.isqrt(max(size - 1, 0)) + 1)
        self._b = np.uint64(-(-size // int(self._a)) or 1)
        self._keys = np.random.SeedSequence(seed).generate_state(ROUNDS, np.uint64)

    def __call__(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """What stands in these places, (N,) -> (N,); both within 0 … size − 1."""
        found = self._once(places.astype(np.uint64))
        while (outside := np.flatnonzero(found >= self.size)).size:
            found[outside] = self._once(found[outside])
        return found.astype(np.int64)

    def _once(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = np.divmod(numbers, self._b)
        for turn, key in enumerate(self._keys):
            if turn % 2:
                right = (right + _hash(left, key) % self._b) % self._b
            else:
                left = (left + _hash(right, key) % self._a) % self._a
        return left * self._b + right


def _hash(values: NDArray[np.uint64], key: np.uint64) -> NDArray[np.uint64]:
    """SplitMix64's finisher over value + key: every bit of both moves every bit of the result."""
    mixed = values + key
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
