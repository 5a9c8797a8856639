"""An encoding version, derived from the field table: what a model is fed and what it predicts.

The layout of one frame's input vector, which every version shares:

    for each player: continuous states · their changes (v3) · binary states · controls ·
                     embeddings of categories
    then once:       what the frame shares (the stage) · masks (v3)
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache

from melee_pipeline.errors import ConfigError
from melee_pipeline.schema.field import (
    Feature,
    Field,
    Kind,
    Predict,
    Role,
    Scheme,
    Scope,
    Use,
    Vocabulary,
)
from melee_pipeline.schema.table import DERIVED, ENCODINGS, FIELDS

PLAYERS = 2
EVERY_REPLAY = (0, 1, 0)  # the first Slippi version: every replay has what is as old


@dataclass(frozen=True, slots=True)
class Slot:
    """A feature as one encoding uses it."""

    field: Field
    feature: Feature
    use: Use

    @property
    def name(self) -> str:
        return self.feature.name

    @property
    def vocabulary(self) -> Vocabulary:
        """Only categories have one; the table's tests hold that."""
        assert self.use.vocabulary is not None, self.name
        return self.use.vocabulary


@dataclass(frozen=True, slots=True)
class Encoding:
    """One version's slots, in the table's order."""

    version: str
    scheme: Scheme
    slots: tuple[Slot, ...]

    def _player(self, kind: Kind, role: Role) -> tuple[Slot, ...]:
        return tuple(
            s
            for s in self.slots
            if s.field.scope is Scope.PLAYER and s.feature.kind is kind and s.field.role is role
        )

    @property
    def continuous(self) -> tuple[Slot, ...]:
        """Continuous states of a player."""
        return self._player(Kind.CONTINUOUS, Role.STATE)

    @property
    def binary(self) -> tuple[Slot, ...]:
        """Binary states of a player."""
        return self._player(Kind.BINARY, Role.STATE)

    @property
    def control(self) -> tuple[Slot, ...]:
        """A player's controller: sticks and shoulder, then buttons."""
        return self._player(Kind.CONTINUOUS, Role.CONTROL) + self._player(Kind.BINARY, Role.CONTROL)

    @property
    def category(self) -> tuple[Slot, ...]:
        """Categorical states of a player."""
        return self._player(Kind.CATEGORY, Role.STATE)

    @property
    def shared(self) -> tuple[Slot, ...]:
        """Categories of the frame."""
        return tuple(s for s in self.slots if s.field.scope is Scope.FRAME)

    def predicted(self, how: Predict) -> tuple[Slot, ...]:
        """Slots that are predicted this way."""
        return tuple(s for s in self.slots if s.use.predict is how)

    @property
    def masks(self) -> tuple[Field, ...]:
        """Fields that some replays do not record, where the encoding tells the model."""
        if not self.scheme.masks:
            return ()
        late = {s.field.name: s.field for s in self.slots if s.field.since > EVERY_REPLAY}
        return tuple(late.values())

    @property
    def per_player(self) -> int:
        """Numbers that one player adds to a frame's input."""
        changes = len(self.predicted(Predict.DELTA)) if self.scheme.changes else 0
        return changes + sum(s.use.width for s in self.slots if s.field.scope is Scope.PLAYER)

    @property
    def per_frame(self) -> int:
        """Numbers in a frame's input."""
        once = sum(s.use.width for s in self.shared) + len(self.masks)
        return PLAYERS * self.per_player + once

    @property
    def schema_hash(self) -> str:
        """Twelve hex digits that change when anything a checkpoint depends on changes."""
        slots = [_slot_record(s) for s in self.slots]
        # v1 and v2 have nothing but slots, and hashes that old checkpoints know.
        return hash_of(slots if self.scheme == Scheme() else [asdict(self.scheme), slots])


def _slot_record(slot: Slot) -> dict[str, object]:
    vocabulary = slot.use.vocabulary
    step = {"step": slot.use.step} if slot.use.step else {}
    return {
        **step,
        "feature": slot.name,
        "path": slot.field.path,
        "scope": slot.field.scope,
        "role": slot.field.role,
        "kind": slot.feature.kind,
        "op": [slot.feature.op, slot.feature.bit],
        "scale": slot.use.scale,
        "vocabulary": [vocabulary.size, vocabulary.unknown] if vocabulary else None,
        "width": slot.use.width,
        "predict": slot.use.predict,
    }


def hash_of(value: object) -> str:
    """Twelve hex digits of a JSON value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


@cache
def encoding(version: str) -> Encoding:
    """The encoding called `version`. Raises ConfigError for a name the table does not have."""
    if version not in ENCODINGS:
        raise ConfigError(f"encoding {version!r} is unknown; there are {', '.join(ENCODINGS)}")
    return Encoding(
        version,
        ENCODINGS[version],
        tuple(
            Slot(field, feature, feature.uses[version])
            for field in FIELDS + DERIVED
            for feature in field.features
            if version in feature.uses
        ),
    )
