"""The folder of a training run: what lies in it, and the record that survives without Dagster.

best.pt        weights of the lowest validation loss
final.pt       weights after the last epoch
resume.pt      all that a cut-off run needs to go on; gone when the run is finished
manifest.json  games, settings, machine, git commit, every epoch's numbers
lineage.json   the walk back to archives and URLs
curves.png     losses and measures over the epochs
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melee_pipeline import lineage
from melee_pipeline.checkpoints import BEST, MANIFEST
from melee_pipeline.schema.encoding import hash_of
from melee_pipeline.store import read_json, write_json
from melee_pipeline.tensors.training_set import VALIDATION_SHARE, TrainingSet
from melee_pipeline.training.config import TrainConfig

if TYPE_CHECKING:
    import polars as pl

Epoch = dict[str, float | int | None]


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of a run."""

    path: Path

    @property
    def best(self) -> Path:
        return self.path / BEST

    @property
    def final(self) -> Path:
        return self.path / "final.pt"

    @property
    def resume(self) -> Path:
        return self.path / "resume.pt"

    @property
    def curves(self) -> Path:
        return self.path / "curves.png"

    @property
    def manifest(self) -> Path:
        return self.path / MANIFEST

    def finished(self) -> bool:
        """Whether the run came to its end."""
        there = self.best.exists() and self.final.exists()
        return there and bool(read_json(self.manifest).get("finished"))

    def epochs(self) -> list[Epoch]:
        """The numbers of every epoch. Raises ArtefactError when the run has no manifest."""
        rows: list[Epoch] = read_json(self.manifest)["all_epochs"]
        return rows


@dataclass(frozen=True, slots=True)
class Games:
    """Which games a run uses."""

    train: pl.DataFrame
    validation: pl.DataFrame

    @classmethod
    def of(cls, training_set: TrainingSet, config: TrainConfig) -> Games:
        """The games that `max_games` leaves."""
        most = config.validation_games(VALIDATION_SHARE)
        validation = training_set.split("validation", most)
        rest = None if config.max_games is None else config.max_games - len(validation)
        return cls(training_set.split("train", rest), validation)

    def __len__(self) -> int:
        return len(self.train) + len(self.validation)

    @property
    def md5s(self) -> list[str]:
        """All of them, sorted."""
        return sorted([*self.train["md5"], *self.validation["md5"]])

    @property
    def fingerprint(self) -> str:
        """Short hash of the set of games."""
        return hash_of(self.md5s)

    def by_source(self) -> dict[str, list[str]]:
        """MD5s by source."""
        import polars as pl

        both = pl.concat([self.train, self.validation])
        grouped = both.group_by("source").agg("md5").iter_rows()
        return {str(source): list(md5s) for source, md5s in grouped}


def write_lineage(folder: RunFolder, training_set: TrainingSet, games: Games) -> None:
    """The walk back, as it is on the day of the run."""
    found = lineage.collect(training_set.stamp, games.by_source())
    write_json(folder.path / lineage.FILE_NAME, {**found, "data_fingerprint": games.fingerprint})


def write_manifest(
    folder: RunFolder,
    training_set: TrainingSet,
    games: Games,
    config: TrainConfig,
    epochs: list[Epoch],
    facts: Mapping[str, Any],
) -> None:
    """The record of a run so far."""
    write_json(
        folder.manifest,
        {
            "experiment": config.experiment,
            "data_fingerprint": games.fingerprint,
            "training_set": training_set.version,
            "game_md5s": games.md5s,
            "validation_md5s": sorted(games.validation["md5"]),
            "contents": {
                "train": sorted(games.train["content"]),
                "validation": sorted(games.validation["content"]),
            },
            "config": config.to_dict(),
            "all_epochs": epochs,
            "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
            **facts,
        },
    )


def machine(device: str) -> dict[str, Any]:
    """Where a run was made: no name of the machine or of its user."""
    import torch

    gpu = torch.cuda.get_device_name(device) if device.startswith("cuda") else None
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "cores": os.cpu_count(),
        "device": gpu or device,
    }


def git_commit() -> str | None:
    """The commit of this code, with `+` when the tree differs from it; None outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        commit = _git(here, "rev-parse", "HEAD")
        changed = _git(here, "status", "--porcelain", "--untracked-files=no", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+" if changed else commit


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()
