"""The tables of docs/results.md, from runs that were evaluated: python -m benchmarks.results RUN …

A RUN is a folder of a training run under the data root, with best-evaluation.json in it, as
`melee-pipeline evaluate RUN` leaves it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from melee_pipeline.checkpoints import evaluation_file
from melee_pipeline.store import read_json
from melee_pipeline.training.config import TrainConfig
from melee_pipeline.training.metrics import MEASURES
from melee_pipeline.training.run import RunFolder

_PERCENT = ("action_accuracy", "action_change_accuracy")
_COLUMNS = {
    "action_accuracy": "action %",
    "action_change_accuracy": "action change %",
    "position_mae": "position MAE",
    "damage_mae": "damage MAE %",
    "rollout_error": "rollout error",
}


def line(cells: Iterable[object]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A Markdown table; all columns but the first are numbers."""
    return [line(columns), line(["---", *["---:"] * (len(columns) - 1)]), *map(line, rows), ""]


def shown(name: str, value: float | None) -> str:
    """A number as the table shows it."""
    if value is None:
        return ""
    return f"{100 * value:.1f}" if name in _PERCENT else f"{value:.3f}"


def effort(name: str, manifest: dict[str, Any]) -> list[object]:
    """What a run took: parameters are in `melee-pipeline describe`."""
    epochs = manifest["all_epochs"]
    config = TrainConfig.from_dict(manifest["config"])
    minutes = sum(epoch["seconds"] for epoch in epochs) / 60
    return [name, len(epochs), config.batch(len(manifest["game_md5s"])), f"{minutes:.1f}"]


def main() -> None:
    """Print effort, measures and losses by head."""
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    runs = [RunFolder(Path(path)) for path in sys.argv[1:]]
    reports = [read_json(evaluation_file(run.best)) for run in runs]
    names = [report["table"][0]["model"] for report in reports]
    manifests = [read_json(run.manifest) for run in runs]
    lines = table(("model", "epochs", "batch", "minutes"), map(effort, names, manifests))
    rows = {row["model"]: row for report in reports for row in report["table"]}
    lines += table(
        ("model", *_COLUMNS.values()),
        ([name, *(shown(c, row[c]) for c in _COLUMNS)] for name, row in rows.items()),
    )
    heads = list(dict.fromkeys(head for report in reports for head in report["losses"]))
    lines += table(
        ("validation loss of", *names),
        (
            [head, *(shown(head, report["losses"].get(head)) for report in reports)]
            for head in heads
        ),
    )
    print("\n".join(lines))


assert set(MEASURES) <= set(_COLUMNS), "a measure is missing"

if __name__ == "__main__":
    main()
