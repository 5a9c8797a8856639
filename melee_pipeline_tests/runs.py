"""Runs as training leaves them, without the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from melee_pipeline.models.config import MLPConfig
from melee_pipeline.store import Store, file_sha256
from melee_pipeline.tensors.training_set import load_training_set
from melee_pipeline.training.config import TrainConfig, override
from melee_pipeline.training.run import Games, RunFolder, write_lineage, write_manifest

TINY = TrainConfig(
    experiment="tiny", model=MLPConfig(encoding="v1", context=2, hidden=(16,)), epochs=2
)
EPOCHS: list[dict[str, Any]] = [
    {
        "epoch": number,
        "loss": 1.0 / number,
        "validation_loss": loss,
        "validation_action_change_accuracy": loss / 2,
    }
    for number, loss in enumerate((0.75, 0.5, 0.625), 1)
]


def leave_run(
    store: Store,
    name: str = "one",
    *,
    epochs: int = 3,
    weights: str = "weights",
    facts: dict[str, Any] | None = None,
    **knobs: Any,  # noqa: ANN401 - whatever the knob takes
) -> Path:
    """The folder of a run on the store's training set: record, lineage, files that are no model."""
    config = override(TINY, knobs)
    training_set = load_training_set(store)
    games = Games.of(training_set, config)
    folder = RunFolder(store.run(config.experiment, name))
    folder.path.mkdir(parents=True)
    for path in (folder.best, folder.final):
        path.write_text(f"{path.stem} {weights}")
    write_lineage(folder, training_set, games)
    more: dict[str, Any] = {
        "finished": True,
        "git_commit": "0" * 40,
        "trainer": "2",
        "machine": {"system": "Linux", "device": "cpu"},
        "files": {path.name: file_sha256(path) for path in (folder.best, folder.final)},
    }
    write_manifest(folder, training_set, games, config, EPOCHS[:epochs], {**more, **(facts or {})})
    return folder.path
