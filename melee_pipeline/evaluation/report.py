"""Measuring a checkpoint on the games it was not trained on, against trivial baselines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melee_pipeline.checkpoints import evaluation_file
from melee_pipeline.errors import ArtefactError
from melee_pipeline.evaluation.baselines import BASELINES
from melee_pipeline.evaluation.pictures import draw_paths, draw_rollouts
from melee_pipeline.evaluation.rollout import (
    HORIZON,
    Rollout,
    pick_starts,
    roll_out,
    rollout_windows,
)
from melee_pipeline.models.base import WorldModel
from melee_pipeline.progress import Progress
from melee_pipeline.schema.encoding import hash_of
from melee_pipeline.store import (
    CHECKPOINT,
    EVALUATION,
    Stamp,
    Store,
    file_sha256,
    read_json,
    write_json,
)
from melee_pipeline.tensors.training_set import load_training_set, open_games
from melee_pipeline.training.checkpoint import load_checkpoint
from melee_pipeline.training.config import TrainConfig
from melee_pipeline.training.device import pick_device, settle
from melee_pipeline.training.losses import Objective
from melee_pipeline.training.measure import measure, measured_windows
from melee_pipeline.training.metrics import MEASURES, Measures, Tally
from melee_pipeline.training.run import RunFolder
from melee_pipeline.versions import EVALUATOR_VERSION

if TYPE_CHECKING:
    import polars as pl

BATCH = 1024  # frames that are predicted at a time
_LESS_IS_BETTER = ("position_mae", "damage_mae", "rollout_error")
_MORE_IS_BETTER = ("action_accuracy", "action_change_accuracy")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Held:
    """The games that a checkpoint is measured on."""

    split: str  # validation, or train when no game validates
    games: pl.DataFrame


def evaluate(store: Store, path: Path, *, device: str = "auto", progress: Progress) -> Stamp:
    """Measure a checkpoint: `path` is its file, or the folder of a run, which means its best.pt.

    Nothing is done when this very checkpoint was measured on these very games before. Raises
    ArtefactError when the checkpoint or its games are gone.
    """
    if path.is_dir():
        path = RunFolder(path).best
    checkpoint = load_checkpoint(path, pick_device(device))
    folder = RunFolder(path.resolve().parent)
    if not folder.path.is_relative_to(store.root):
        raise ArtefactError(
            f"{path} is not in the data root {store.root}, whose games it would be measured on; "
            "name the right one with --data or MELEE_DATA"
        )
    experiment = checkpoint.config.experiment
    held = held_games(store, folder)
    inputs = {
        "checkpoint": f"{folder.path.name}/{path.name}",
        "sha256": file_sha256(path),
        "games": hash_of(sorted(held.games["packed"])),
        "evaluator": EVALUATOR_VERSION,
    }
    found = store.current(EVALUATION, experiment, inputs)
    written = evaluation_file(folder.path / path.name)
    if found and all(
        (folder.path / name).exists() for name in (*found.facts["pictures"], written.name)
    ):
        return found
    config, model = checkpoint.config, checkpoint.model
    models: dict[str, WorldModel] = {experiment: model}
    for name, kind in BASELINES.items():
        models[name] = kind(model.encoding, _context(config)).to(model.device).eval()
    table, losses, rollouts = _measure_all(store, models, held, config, progress)
    pictures = _draw(folder.path, path.stem, rollouts)
    lost = lost_to_baselines(table)
    report = _plain(
        {
            "split": held.split,
            "games": len(held.games),
            "table": table,
            "losses": losses,  # of the model, by head
            "model": {key: value for key, value in table[0].items() if key != "model"},
            "beats_baselines": not lost,
            "lost_to_baselines": lost,
            "horizons": {n: r.position_error.tolist() for n, r in rollouts.items()},
        }
    )
    write_json(written, report)
    facts = {"run": str(folder.path.relative_to(store.root)), "pictures": pictures}
    trained = store.stamp(CHECKPOINT, experiment)
    upstream = [trained.record()] if trained and trained.version == folder.path.name else []
    version = hash_of({"table": report["table"], "horizons": report["horizons"]})
    return store.put(Stamp(EVALUATION, experiment, inputs, version, report, facts, upstream))


def _context(config: TrainConfig) -> int:
    """Frames before the first that is foretold: a velocity takes two, whatever the model sees."""
    return max(2, config.model.context)


def held_games(store: Store, folder: RunFolder) -> Held:
    """The validation games of a run; of a run that has none, its training games.

    Raises ArtefactError when the training set no longer has them.
    """
    import polars as pl

    manifest = read_json(folder.manifest)
    # By content: another copy of a game may have taken its place in the set.
    split = "validation" if manifest["contents"]["validation"] else "train"
    contents = manifest["contents"][split]
    games = load_training_set(store).games
    found = games.filter(pl.col("content").is_in(contents)).sort("order")
    if len(found) < len(contents):
        raise ArtefactError(
            f"{folder.path}: {len(contents) - len(found)} of the {len(contents)} games that it is "
            "measured on are not in the training set any more; add their source again, then: "
            "melee-pipeline run"
        )
    return Held(split, found)


def _measure_all(
    store: Store,
    models: dict[str, WorldModel],
    held: Held,
    config: TrainConfig,
    progress: Progress,
) -> tuple[list[Row], dict[str, float | None], dict[str, Rollout]]:
    device = next(iter(models.values())).device
    games = settle(open_games(store, held.games), device)
    long = rollout_windows(games, _context(config))
    starts = pick_starts(long)
    table: list[Row] = []
    losses: dict[str, float | None] = {}
    rollouts: dict[str, Rollout] = {}
    for name, model in models.items():
        tally = Tally(
            Objective(model.encoding, config.loss_weights).to(model.device),
            Measures(model.encoding).to(model.device),
            f"{name}: evaluate",
        )
        windows = measured_windows(model, games)
        with progress.task(f"{name}: evaluate", len(windows), "windows") as advance:
            means = measure(model, tally, windows, -(-BATCH // windows.count), advance)
        with progress.task(f"{name}: roll out", HORIZON, "frames") as advance:
            rollouts[name] = roll_out(model, long, starts, advance)
        # A baseline is certain of everything, so its loss says nothing beside a model's.
        loss = None if name in BASELINES else means["loss"]
        parts = {part: means[f"loss_{part}"] for part in tally.objective.parts}
        losses |= {} if name in BASELINES else parts
        measures = {key: means[key] for key in MEASURES}
        table.append({"model": name, "loss": loss, **measures, **_rollout_row(rollouts[name])})
    return table, losses, rollouts


def _rollout_row(rollout: Rollout) -> Row:
    return {"rollout_error": rollout.error, "rollout_starts": len(rollout.positions)}


def lost_to_baselines(table: list[Row]) -> list[str]:
    """The measures in which the first row is not better than every other row."""
    mine, others = table[0], table[1:]

    def worse(key: str, sign: int) -> bool:
        known = [row[key] for row in others if row[key] is not None]
        # Written so that a model whose error is no number has lost.
        return mine[key] is not None and any(not sign * mine[key] > sign * v for v in known)

    return [
        *(key for key in _MORE_IS_BETTER if worse(key, 1)),
        *(key for key in _LESS_IS_BETTER if worse(key, -1)),
    ]


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    """The same with null for what is no finite number, as a rollout may end: JSON knows none."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _draw(folder: Path, stem: str, rollouts: dict[str, Rollout]) -> list[str]:
    pictures = {f"{stem}-rollout.png": draw_rollouts, f"{stem}-paths.png": draw_paths}
    for name, draw in pictures.items():
        draw(rollouts, folder / name)
    return list(pictures)
