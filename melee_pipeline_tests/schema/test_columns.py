"""What tells that tables were written with other columns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from melee_pipeline.schema import columns
from melee_pipeline.schema.beside import COLUMNS, Beside
from melee_pipeline.schema.field import Scope
from melee_pipeline.schema.table import FIELDS

uncached = columns.columns_hash.__wrapped__
CHANGES: list[dict[str, Any]] = [
    {"name": "other"},
    {"path": "other.place"},
    {"dtype": "i1"},
    {"unit": "furlongs"},
    {"since": (9, 9, 9)},
]


@pytest.mark.parametrize("change", [*CHANGES, {"scope": Scope.FRAME}], ids=str)
def test_any_change_of_a_field_changes_the_hash(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = uncached()
    [at] = [i for i, field in enumerate(FIELDS) if field.name == "x"]
    changed = [replace(field, **change) if i == at else field for i, field in enumerate(FIELDS)]
    monkeypatch.setattr(columns, "FIELDS", tuple(changed))
    assert uncached() != before
    monkeypatch.undo()
    assert uncached() == before == columns.columns_hash()


@pytest.mark.parametrize("change", CHANGES, ids=str)
@pytest.mark.parametrize("table", list(Beside))
def test_any_change_of_a_table_beside_changes_the_hash(
    table: Beside, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *rest = COLUMNS[table]
    changed = {**COLUMNS, table: (replace(first, **change), *rest)}
    monkeypatch.setattr(columns, "COLUMNS", changed)
    assert uncached() != columns.columns_hash()
