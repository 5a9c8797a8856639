"""The vocabulary in which the field table is written.

A `Field` is one thing that a replay records on every frame. It becomes a Parquet column in game
units, a packed number in the tensor shards, and, through its `Feature`s, inputs and predictions
of the models. Nothing else in the package knows an offset, a scale or a column number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Version = tuple[int, int, int]
FAR = 1e5  # of a number without limits of its own: still finite


class Role(StrEnum):
    """What part a field plays in (state up to t−1, control of t) → state of t."""

    STATE = "state"
    CONTROL = "control"
    STATIC = "static"  # constant over a game
    TIME = "time"  # bookkeeping of the recording itself


class Scope(StrEnum):
    """Whose a field is: one value for each player, or one for the frame."""

    PLAYER = "player"
    FRAME = "frame"


class Kind(StrEnum):
    """How a feature enters a network."""

    CONTINUOUS = "continuous"
    BINARY = "binary"
    CATEGORY = "category"


class Predict(StrEnum):
    """How a feature is predicted: not at all, as a change, as a value or as a class."""

    NO = "no"
    DELTA = "delta"
    VALUE = "value"
    CLASS = "class"


class Op(StrEnum):
    """How a feature is read off its recorded column; works alike on NumPy and torch."""

    SAME = "same"
    POSITIVE = "> 0"
    ZERO = "= 0"
    NONZERO = "≠ 0"
    BIT = "bit"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Ids 0 … size−1. `unknown` stands for every id that the vocabulary does not hold."""

    name: str
    size: int
    unknown: int

    def __post_init__(self) -> None:
        assert 0 <= self.unknown < self.size, self


@dataclass(frozen=True, slots=True)
class Use:
    """How one encoding version uses a feature."""

    scale: float = 1.0
    vocabulary: Vocabulary | None = None
    width: int = 1  # numbers per value in the input: 1, or the embedding's width
    predict: Predict = Predict.NO


@dataclass(frozen=True, slots=True)
class Feature:
    """One number (or id) that a model sees, read off a field by `op`."""

    name: str
    kind: Kind
    uses: Mapping[str, Use]
    op: Op = Op.SAME
    bit: int = 0

    def read(self, values: Any) -> Any:  # noqa: ANN401 - NumPy array or torch tensor, as given
        """The feature's values from the recorded ones, elementwise, of the same shape."""
        match self.op:
            case Op.SAME:
                return values
            case Op.POSITIVE:
                return values > 0
            case Op.ZERO:
                return values == 0
            case Op.NONZERO:
                return values != 0
            case Op.BIT:
                return (values >> self.bit) & 1


@dataclass(frozen=True, slots=True)
class Pack:
    """How a shard stores a column: a NumPy dtype and, for fixed point, steps per unit.

    `per_unit` 0 stores the value itself; 80 stores round(80 × value), which is exact for sticks,
    whose values the game makes by dividing by 80. `mask` keeps only some bits of an integer.
    """

    dtype: str  # f4, f2, i2, i1 or u1
    per_unit: int = 0
    mask: int = 0

    @property
    def tolerance(self) -> tuple[float, float]:
        """Largest round-trip error as (absolute, relative to the value)."""
        if self.per_unit:
            return 0.5 / self.per_unit, 2.0**-22  # half a step, and float32's own rounding
        return (2.0**-24, 2.0**-11) if self.dtype == "f2" else (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Field:
    """One recorded thing. `path` is its place in peppi's frame struct (Arrow), dotted:

    under `ports.<port>.leader` for a player's field, under the frame for a shared one, and
    `game.<name>` for a constant of the whole game.
    """

    name: str
    path: str
    dtype: str  # Parquet's: f4, u1, u2, u4, i1 or i4
    role: Role
    scope: Scope
    unit: str
    since: Version = (0, 1, 0)
    pack: Pack | None = None
    features: tuple[Feature, ...] = ()
    kept_for: str = ""  # why it stays in the tables though no encoding reads it yet
    limits: tuple[float, float] = (-FAR, FAR)  # what no sound replay goes beyond, in its unit

    def __post_init__(self) -> None:
        assert bool(self.features) == (self.pack is not None), f"{self.name}: pack what is fed"
        assert bool(self.features) != bool(self.kept_for), f"{self.name}: fed, or kept for a reason"
