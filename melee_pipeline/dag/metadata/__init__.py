"""Stamps to what the UI shows: numbers under stable keys, tables and pictures.

Here is what all assets have in common; `sources.py` and `models.py` have a function for each asset.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from melee_pipeline.store import Stamp

Row = Mapping[str, Any]

if TYPE_CHECKING:
    Result = dg.MaterializeResult[None]
else:
    Result = dg.MaterializeResult  # Dagster reads annotations, and knows the bare class only


def result(
    stamp: Stamp,
    found: Sequence[dg.AssetCheckResult],
    metadata: Mapping[str, Any],
) -> Result:
    """What an asset gives back: its own metadata, and what every stamp knows."""
    common: dict[str, Any] = {
        "made_now": stamp.fresh,
        "made_at": dg.MetadataValue.timestamp(datetime.fromisoformat(stamp.made_at)),
        "data_version": stamp.version,
        "made_from": table([{"input": k, "version": v} for k, v in stamp.inputs.items()]),
    }
    return dg.MaterializeResult(
        metadata={key: _short(value) for key, value in {**metadata, **common}.items()},
        data_version=dg.DataVersion(stamp.version),
        check_results=list(found),
    )


def table(rows: Sequence[Row]) -> dg.MetadataValue[Any]:
    """Rows of equal keys as a table; what is missing is a dash."""
    if not rows:
        return dg.MetadataValue.text("none")
    return dg.MetadataValue.table(
        [dg.TableRecord({key: _cell(value) for key, value in row.items()}) for row in rows]
    )


def _cell(value: object) -> int | float | str:
    if value is None:
        return "–"
    return _short(value) if isinstance(value, (int, float, str)) else str(value)


def _short(value: Any) -> Any:  # noqa: ANN401 - what it is given, as it is unless it is a float
    """Six digits of a float: artefacts keep the rest, which only makes pages wide."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
