"""Every checkpoint of a data root, from the records that lie beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from melee_pipeline.errors import ArtefactError
from melee_pipeline.store import Store, read_json

MANIFEST, BEST = "manifest.json", "best.pt"


@dataclass(frozen=True, slots=True)
class Summary:
    """What people compare of a run. Numbers are those of its best epoch; None: not measured."""

    experiment: str
    run: str  # the name of its folder
    path: str  # of its folder
    written_at: str  # when its record was written last
    finished: bool = False
    epochs: int = 0  # trained so far
    games: int = 0
    data_fingerprint: str = ""
    validation_loss: float | None = None
    action_change_accuracy: float | None = None  # on the games that validate
    evaluated: bool = False
    problem: str = ""  # why its record cannot be read


def list_checkpoints(store: Store) -> list[Summary]:
    """All runs of a data root, finished or not, the latest last."""
    found = (summary(path.parent) for path in store.root.glob(f"runs/*/*/{MANIFEST}"))
    return sorted(found, key=lambda run: (run.written_at, run.experiment, run.run))


def summary(folder: Path) -> Summary:
    """A run in a line. A damaged record is told, and hides no other run."""
    path = folder / MANIFEST
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    place = (folder.parent.name, folder.name, str(folder))
    try:
        manifest = read_json(path)
        best = best_epoch(manifest)
        return Summary(
            *place,
            written_at=manifest.get("written_at", written),
            finished=manifest["finished"],
            epochs=len(manifest["all_epochs"]),
            games=len(manifest["game_md5s"]),
            data_fingerprint=manifest["data_fingerprint"],
            validation_loss=best.get("validation_loss"),
            action_change_accuracy=best.get("validation_action_change_accuracy"),
            evaluated=evaluation_file(folder / BEST).exists(),
        )
    except ArtefactError as error:
        return Summary(*place, written, problem=str(error))
    except (KeyError, TypeError, AttributeError) as error:
        return Summary(*place, written, problem=f"{path} is not a run's record ({error!r})")


def evaluation_file(checkpoint: Path) -> Path:
    """Where the evaluation of a checkpoint lies: beside its file."""
    return checkpoint.with_name(f"{checkpoint.stem}-evaluation.json")


def best_epoch(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The numbers of the epoch that `best.pt` holds; empty before the first has ended."""
    epochs: list[Mapping[str, Any]] = manifest["all_epochs"]
    return min(epochs, key=score, default={})


def score(epoch: Mapping[str, Any]) -> float:
    """What `best` means: the validation loss, or the loss where no game validates."""
    validation = epoch.get("validation_loss")
    return float(epoch["loss"] if validation is None else validation)
