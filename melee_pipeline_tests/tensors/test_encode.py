"""Packing: every field comes back within its stated tolerance, or is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from melee_pipeline.errors import ArtefactError
from melee_pipeline.schema.columns import column_names
from melee_pipeline.schema.field import Field, Version
from melee_pipeline.schema.rows import blocks, pack_of, packed_fields, place_of
from melee_pipeline.tensors.encode import (
    PackedGame,
    implausible,
    pack_game,
    pack_values,
    round_trip_errors,
    unpack_values,
)
from melee_pipeline_tests.tensors.games import NEW, OLD, rich_game, table_of

if TYPE_CHECKING:
    import pyarrow as pa

FIELDS = {field.name: field for field in packed_fields()}
NUMBERS = [name for name, field in FIELDS.items() if field.dtype == "f4"]
IDS = [
    name
    for name, field in FIELDS.items()
    if field.dtype != "f4" and not pack_of(field).bits and pack_of(field).other is None
]


def limits(field: Field) -> tuple[float, float]:
    """Smallest and largest value that a field's pack can hold."""
    pack = pack_of(field)
    kind = np.dtype(pack.dtype)
    info = np.iinfo(kind) if kind.kind in "iu" else np.finfo(kind)
    return float(info.min) / (pack.per_unit or 1), float(info.max) / (pack.per_unit or 1)


def floats_of(name: str) -> st.SearchStrategy[NDArray[np.float32]]:
    """Values in the field's range, as float32."""
    low, high = (float(np.float32(limit)) for limit in limits(FIELDS[name]))
    inside = st.floats(low, high, width=32, allow_subnormal=True)
    return st.lists(inside, min_size=1, max_size=20).map(lambda v: np.array(v, "f4"))


def column(table: pa.Table, name: str, values: NDArray[Any] | list[Any]) -> pa.Table:
    """The table with another column of that name."""
    import pyarrow as pa

    place = table.schema.get_field_index(name)
    field = table.schema.field(place)
    return table.set_column(place, field, [pa.array(values, field.type)])


@given(st.data())
def test_numbers_come_back_within_the_stated_tolerance(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NUMBERS))
    values = data.draw(floats_of(name))
    field = FIELDS[name]
    stored = pack_values(field, values)
    assert stored.dtype == np.dtype(pack_of(field).dtype)
    absolute, relative = pack_of(field).tolerance
    true = values.astype("f8")
    error = np.abs(unpack_values(field, stored).astype("f8") - true)
    assert (error <= absolute + relative * np.abs(true)).all()


@given(st.data())
def test_ids_come_back_exactly(data: st.DataObject) -> None:
    field = FIELDS[data.draw(st.sampled_from(IDS))]
    high = min(int(limits(field)[1]), np.iinfo(field.dtype).max)
    values = np.array(data.draw(st.lists(st.integers(0, high), min_size=1)), field.dtype)
    assert unpack_values(field, pack_values(field, values)).tolist() == values.tolist()


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1))
def test_of_the_buttons_those_of_the_controller_stay(bits: list[int]) -> None:
    field = FIELDS["buttons"]
    stored = unpack_values(field, pack_values(field, np.array(bits, "u4")))
    fed = sum(1 << bit for bit in (3, 4, 5, 6, 8, 9, 10, 11))
    assert stored.tolist() == [value & fed for value in bits]


def test_a_ground_that_does_not_fit_is_no_other_ground() -> None:
    field = FIELDS["ground"]
    stored = pack_values(field, np.array([0, 134, 254, 255, 256, 65535], "u2"))
    assert stored.tolist() == [0, 134, 254, 255, 255, 255]
    sizes = [f.uses["v3"].vocabulary.size for f in field.features if f.uses["v3"].vocabulary]
    assert max(sizes) <= 255, "255 must stand for what is not known"


@given(st.integers(-80, 80), st.integers(0, 140))
def test_sticks_and_triggers_are_exact(stick: int, trigger: int) -> None:
    """The game makes sticks by dividing by 80 and triggers by 140: nothing is lost."""
    for name, count, parts in (("main_stick_x", stick, 80), ("shoulder", trigger, 140)):
        values = np.array([count], "f4") / np.float32(parts)
        assert unpack_values(FIELDS[name], pack_values(FIELDS[name], values))[0] == values[0]


@given(st.data())
def test_a_value_that_does_not_fit_is_named_with_its_row(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([n for n in NUMBERS if pack_of(FIELDS[n]).dtype != "f4"]))
    low, high = limits(FIELDS[name])
    step = 1 / (pack_of(FIELDS[name]).per_unit or 1 / 64)
    bad = data.draw(st.sampled_from([low - step, high + step, np.nan, np.inf, -np.inf]))
    values = data.draw(floats_of(name))
    row = data.draw(st.integers(0, len(values) - 1))
    values[row] = bad
    with pytest.raises(ArtefactError, match=rf"^{name}: .* in row {row} does not fit"):
        pack_values(FIELDS[name], values)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_positions_must_be_finite(bad: float) -> None:
    with pytest.raises(ArtefactError, match=rf"^x: {bad} in row 1 does not fit i2 in steps"):
        pack_values(FIELDS["x"], np.array([0, bad], "f4"))


def test_an_action_that_does_not_fit_is_not_wrapped() -> None:
    with pytest.raises(ArtefactError, match="action_state: 40000 in row 0 does not fit i2"):
        pack_values(FIELDS["action_state"], np.array([40000], "u2"))


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_game_comes_back_and_says_what_it_records(version: Version, tmp_path: Path) -> None:
    table = table_of(rich_game(version=version), tmp_path)
    game = pack_game(table)
    assert game.frames == table.num_rows == 200
    assert round_trip_errors(table, game) == []
    recorded = dict(zip(FIELDS, game.available.tolist(), strict=True))
    assert recorded == {name: field.since <= version for name, field in FIELDS.items()}
    for name, there in recorded.items():
        block, index = place_of(name)
        assert bool(game.rows[block][..., index].any()) == there, f"{name}: not recorded is 0"


def test_a_column_that_is_null_on_some_frames_is_refused(tmp_path: Path) -> None:
    table = table_of(rich_game(), tmp_path)
    for name in ("p1_speed_y", "p0_airborne", "stage"):
        values = table.column(name).to_pylist()
        values[3] = values[5] = None
        with pytest.raises(ArtefactError, match=f"^{name} is null on 2 of 200 frames$"):
            pack_game(column(table, name, values))


def test_a_field_that_only_one_player_has_is_refused(tmp_path: Path) -> None:
    table = table_of(rich_game(), tmp_path)
    with pytest.raises(ArtefactError, match=r"^p0_hitlag is null on 200 of 200 frames$"):
        pack_game(column(table, "p0_hitlag", [None] * 200))


def test_an_error_in_any_field_is_found(tmp_path: Path) -> None:
    table = table_of(rich_game(), tmp_path)
    game = pack_game(table)
    for block in blocks():
        for k, field in enumerate(block.fields):
            for player, name in enumerate(column_names(field)):
                rows = {n: part.copy() for n, part in game.rows.items()}
                cell = rows[block.name][17, ...].reshape(-1, len(block.fields))[player]
                cell[k] = cell[k].item() + (-2 if cell[k] > 100 else 2)
                [problem] = round_trip_errors(table, PackedGame(rows, game.available))
                assert problem.startswith(f"{name} differs by"), problem


@pytest.mark.parametrize("version", [OLD, NEW])
def test_an_error_in_any_mask_is_found(version: Version, tmp_path: Path) -> None:
    table = table_of(rich_game(version=version), tmp_path)
    game = pack_game(table)
    for number, name in enumerate(FIELDS):
        available = game.available.copy()
        available[number] = not available[number]
        [problem, *_] = round_trip_errors(table, PackedGame(game.rows, available))
        assert problem.startswith(f"{name} is ") and "recorded" in problem


def test_what_no_replay_holds_is_implausible(tmp_path: Path) -> None:
    game = pack_game(table_of(rich_game(), tmp_path))
    assert implausible(game) == []
    bad = {"speed_air_x": np.nan, "speed_y": np.inf, "stocks": 100, "x": 32_001}
    for name, value in bad.items():
        block, column = place_of(name)
        rows = {n: part.copy() for n, part in game.rows.items()}
        rows[block][7, 1, column] = value
        [problem] = implausible(PackedGame(rows, game.available))
        assert problem.startswith(f"{name}: ")
