"""The vocabulary in which the field table is written.

A `Field` is one thing that a replay records on every frame. It becomes a Parquet column in game
units, a packed number in the tensor shards, and, through its `Feature`s, inputs and predictions
of the models. Nothing else in the package knows an offset, a scale or a column number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

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
    """How a feature is read off its recorded column."""

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
class Scheme:
    """What an encoding version feeds beside its features, and what predictions start from."""

    conditioned: bool = False  # fed: the controllers that act next, not those that acted last
    changes: bool = False  # fed: how what is predicted as a change has just changed, in `Use.step`s
    masks: bool = False  # fed: which fields the replay records
    ego: bool = False  # each player is foretold from its own side: itself first, then the other
    persistent: bool = False  # predictions start from what was: the same class, flag and change


@dataclass(frozen=True, slots=True)
class Use:
    """How one encoding version uses a feature.

    A change is predicted in the unit of the input, or in `step`s: what the field typically
    changes by in a frame, in the field's own unit, so that all changes are of one size.
    """

    scale: float = 1.0
    vocabulary: Vocabulary | None = None
    width: int = 1  # numbers per value in the input: 1, or the embedding's width
    predict: Predict = Predict.NO
    step: float = 0.0  # 0: changes are predicted in the unit of the input

    @property
    def unit(self) -> float:
        """A predicted change of 1, in the field's unit."""
        return self.step or 1 / self.scale

    @property
    def fed_unit(self) -> float:
        """The same, as it is fed."""
        return self.scale * self.unit


@dataclass(frozen=True, slots=True)
class Feature:
    """One number (or id) that a model sees, read off a field by `op`."""

    name: str
    kind: Kind
    uses: Mapping[str, Use]
    op: Op = Op.SAME
    bit: int = 0  # of the recorded value


@dataclass(frozen=True, slots=True)
class Pack:
    """How a shard stores a column: a NumPy dtype and, for fixed point, steps per unit.

    `per_unit` 0 stores the value itself; 80 stores round(80 × value), which is exact for sticks,
    whose values the game makes by dividing by 80. `bits` keeps only these bits of an integer,
    side by side. `other` is what an id that does not fit is stored as; no vocabulary holds it.
    """

    dtype: str  # f4, f2, i2, i1 or u1
    per_unit: int = 0
    bits: tuple[int, ...] = ()
    other: int | None = None

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
    `game.<name>` for a constant of the whole game. Of a derived field it says from what.
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
