"""The field table: dimensions that are fixed for ever, and that nothing in it is idle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from melee_pipeline.errors import ConfigError
from melee_pipeline.schema.columns import column_names, game_schema
from melee_pipeline.schema.docs import page
from melee_pipeline.schema.encoding import encoding, hash_of
from melee_pipeline.schema.field import Kind, Predict, Scope
from melee_pipeline.schema.rows import blocks, bytes_per_frame, packed_fields, place_of
from melee_pipeline.schema.table import DERIVED, ENCODINGS, FIELDS


@pytest.mark.parametrize(
    ("version", "player", "frame"), [("v1", 56, 112), ("v2", 72, 148), ("v3", 144, 313)]
)
def test_dimensions(version: str, player: int, frame: int) -> None:
    assert encoding(version).per_player == player
    assert encoding(version).per_frame == frame


def test_names_are_unique() -> None:
    names = [name for field in FIELDS + DERIVED for name in column_names(field)]
    made = sum(len(column_names(field)) for field in DERIVED)
    assert len(names) == len(set(names)) == len(game_schema()) + made
    features = [feature.name for field in FIELDS + DERIVED for feature in field.features]
    assert len(features) == len(set(features))


def test_every_declared_feature_is_used_by_an_encoding() -> None:
    used = {slot.name for version in ENCODINGS for slot in encoding(version).slots}
    assert used == {feature.name for field in FIELDS + DERIVED for feature in field.features}


def test_every_use_names_a_known_encoding_and_fits_its_kind() -> None:
    for field in FIELDS + DERIVED:
        for feature in field.features:
            assert set(feature.uses) <= set(ENCODINGS), feature.name
            for use in feature.uses.values():
                category = feature.kind is Kind.CATEGORY
                assert (use.vocabulary is not None) == category, feature.name
                assert (use.width > 1) == category, feature.name
                if use.predict is not Predict.NO:
                    wanted = {
                        Kind.CONTINUOUS: Predict.DELTA,
                        Kind.BINARY: Predict.VALUE,
                        Kind.CATEGORY: Predict.CLASS,
                    }
                    assert use.predict is wanted[feature.kind], feature.name


def test_every_packed_field_has_one_place() -> None:
    places = [place_of(field.name) for field in packed_fields()]
    assert len(set(places)) == len(places)
    assert sum(len(block.fields) for block in blocks()) == len(places)


def test_bytes_per_frame_is_what_the_blocks_take() -> None:
    frame = sum(np.zeros(block.row_shape, block.dtype).nbytes for block in blocks())
    assert bytes_per_frame() == frame <= 100


def test_shared_fields_are_not_players() -> None:
    assert {s.name for s in encoding("v2").shared} == {"stage"}
    assert all(s.field.scope is Scope.FRAME for s in encoding("v2").shared)


def test_schema_hashes_tell_versions_apart_and_ignore_key_order() -> None:
    assert encoding("v1").schema_hash != encoding("v2").schema_hash
    assert hash_of({"a": 1, "b": 2}) == hash_of({"b": 2, "a": 1})


def test_unknown_version_is_named() -> None:
    with pytest.raises(ConfigError, match="'v9' is unknown; there are v1, v2, v3"):
        encoding("v9")


def test_the_reference_page_is_what_the_table_says() -> None:
    written = Path(__file__).parents[2] / "docs" / "fields.md"
    assert written.read_text() == page(), "run `make docs`"
