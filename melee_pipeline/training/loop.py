"""Training a recipe on the training set, into the folder of its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from melee_pipeline.checkpoints import score
from melee_pipeline.errors import TrainingError
from melee_pipeline.lineage import read_lineage, sources_of
from melee_pipeline.locks import run_lock
from melee_pipeline.progress import Progress
from melee_pipeline.schema.encoding import encoding, hash_of
from melee_pipeline.store import CHECKPOINT, Stamp, Store, file_sha256
from melee_pipeline.tensors.training_set import TrainingSet, load_training_set, open_games
from melee_pipeline.tensors.windows import OpenGames
from melee_pipeline.training.checkpoint import save_checkpoint
from melee_pipeline.training.config import TrainConfig
from melee_pipeline.training.device import pick_device, settle
from melee_pipeline.training.interrupt import Interrupt, held_back
from melee_pipeline.training.log import Mode, open_log, resolve_mode
from melee_pipeline.training.pictures import draw_curves
from melee_pipeline.training.run import (
    Epoch,
    Games,
    RunFolder,
    git_commit,
    machine,
    write_lineage,
    write_manifest,
)
from melee_pipeline.training.trainer import Trainer
from melee_pipeline.versions import TRAINER_VERSION


def train(
    store: Store,
    config: TrainConfig,
    *,
    device: str = "auto",
    wandb: str = "auto",
    progress: Progress,
) -> Stamp:
    """Train on the training set as it was last joined.

    A run of the same games, settings and code version is not trained again; one that was cut off
    goes on where it was saved last. Raises ConfigError for a device or a mode that is not to be
    had, ArtefactError when there is no training set, TrainingError when it has no game to learn
    from or when a loss is not finite.
    """
    where, told = pick_device(device), resolve_mode(wandb)
    training_set = load_training_set(store)
    inputs = {
        "training_set": training_set.version,
        "config": config.hash,
        "schema": encoding(config.model.encoding).schema_hash,
        "trainer": TRAINER_VERSION,
    }
    version = hash_of(inputs)
    folder = RunFolder(store.run(config.experiment, version))
    found = store.current(CHECKPOINT, config.experiment, inputs)
    if found and folder.finished():
        return found
    with run_lock(store, config.experiment, version), held_back() as interrupt:
        had_to_train = not folder.finished()
        if had_to_train:
            _train(store, training_set, config, folder, where, told, progress, interrupt)
        folder.resume.unlink(missing_ok=True)
        stamp = store.put(_stamp(store, config, folder, inputs, version))
    return replace(stamp, fresh=had_to_train)


def _stamp(
    store: Store,
    config: TrainConfig,
    folder: RunFolder,
    inputs: dict[str, str],
    version: str,
) -> Stamp:
    epochs = folder.epochs()
    best = min(epochs, key=score)
    report = {
        "epochs": len(epochs),
        "best_epoch": best["epoch"],
        "best_loss": best["loss"],
        "best_validation_loss": best.get("validation_loss"),
    }
    facts = {"run": str(folder.path.relative_to(store.root))}
    # The set that the run was made from, which an older run's folder knows better than the store.
    upstream = [read_lineage(folder.path)["training_set"]]
    return Stamp(CHECKPOINT, config.experiment, inputs, version, report, facts, upstream)


def over(config: TrainConfig, epochs: Sequence[Epoch]) -> bool:
    """Whether a run has had its epochs, or for too long none that was better."""
    if len(epochs) >= config.epochs:
        return True
    if config.patience is None or not epochs:
        return False
    scores = [score(epoch) for epoch in epochs]
    return len(scores) - 1 - scores.index(min(scores)) >= config.patience


def _train(
    store: Store,
    training_set: TrainingSet,
    config: TrainConfig,
    folder: RunFolder,
    device: torch.device,
    wandb: Mode,
    progress: Progress,
    interrupt: Interrupt,
) -> None:
    games = Games.of(training_set, config)
    learned, held = _open(store, games, device)
    folder.path.mkdir(parents=True, exist_ok=True)
    write_lineage(folder, training_set, games)
    sitting = {"machine": machine(str(device)), "git_commit": git_commit()}
    batch, data = config.batch(len(games)), training_set.version
    trainer = Trainer(config, folder, learned, held, device, data, batch, sitting, interrupt)
    record = _Record(folder, training_set, games, config, trainer, sitting)
    told = {**config.to_dict(), "lineage": record.made, **sitting}
    with open_log(wandb, folder.path, config.experiment, told) as log:
        record.manifest(finished=False)
        while not over(config, trainer.epochs):
            epoch = trainer.one_epoch(progress)
            if all(score(epoch) < score(before) for before in trainer.epochs[:-1]):
                record.checkpoint(folder.best)
            log.epoch(epoch)
            trainer.save()
            record.manifest(finished=False)
            draw_curves(trainer.epochs, folder.curves)
        record.checkpoint(folder.final)
        files = {path.name: file_sha256(path) for path in (folder.best, folder.final)}
        record.manifest(finished=True, wandb_url=log.url, files=files)


def _open(store: Store, games: Games, device: torch.device) -> tuple[OpenGames, OpenGames | None]:
    """The games to learn from, and those that validate. Raises TrainingError without the first."""
    if games.train.is_empty():
        raise TrainingError("the training set has no game to learn from; add a source of games")
    learned = settle(open_games(store, games.train), device)
    # One game alone trains and has nobody to validate it.
    alone = games.validation.is_empty()
    return learned, None if alone else settle(open_games(store, games.validation), device)


class _Record:
    """What a run writes down: its manifest, and checkpoints that tell what they were made from."""

    def __init__(
        self,
        folder: RunFolder,
        training_set: TrainingSet,
        games: Games,
        config: TrainConfig,
        trainer: Trainer,
        sitting: Mapping[str, Any],
    ) -> None:
        self.folder, self.training_set, self.games = folder, training_set, games
        self.config, self.trainer = config, trainer
        found = sources_of(read_lineage(folder.path))
        self.made = {
            "data_fingerprint": games.fingerprint,
            "training_set": training_set.version,
            "archives": {one.source: one.sha256 for one in found if one.md5s},
        }
        self.facts = {**sitting, "sittings": trainer.sittings, "trainer": TRAINER_VERSION}

    def manifest(self, **more: Any) -> None:  # noqa: ANN401 - JSON
        facts, epochs = {**self.facts, **more}, self.trainer.epochs
        write_manifest(self.folder, self.training_set, self.games, self.config, epochs, facts)

    def checkpoint(self, path: Path) -> None:
        header = {**self.made, "epoch": len(self.trainer.epochs)}
        save_checkpoint(path, self.trainer.best_model.state_dict(), self.config, header)
