"""Where a checkpoint comes from: training set, shards, games, archives, URLs.

Lineage is taken from the records that every stamp keeps of its upstream, so it says what was
used then, whatever has been made again or deleted since. It lies as `lineage.json` beside each
checkpoint and needs neither Dagster nor the rest of the data root to be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from melee_pipeline.errors import ArtefactError
from melee_pipeline.store import ARCHIVE, GAMES, REPLAYS, SHARDS, Stamp, read_json

FILE_NAME = "lineage.json"
KEYS = frozenset({"training_set", "games", "data_fingerprint"})


@dataclass(frozen=True, slots=True)
class SourceLineage:
    """One source's part in a training set, back to where it was fetched from."""

    source: str
    location: str  # URL, or path of a local archive or folder
    sha256: str  # of the archive; of a local folder, the hash of its listing
    bytes: int
    fetched_at: str
    replays: str  # data versions of the steps between
    parsed: str
    shards: str
    md5s: tuple[str, ...]  # the games used


def collect(training_set: Stamp, games: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What `lineage.json` holds of a run on `games`: MD5s by source, out of a training set."""
    by_source = {source: sorted(md5s) for source, md5s in sorted(games.items())}
    return {"training_set": training_set.record(), "games": by_source}


def run_folder(checkpoint: Path) -> Path:
    """The folder of a checkpoint's run; `checkpoint` is its file, or that folder.

    Raises ArtefactError when there is no lineage in it.
    """
    if not checkpoint.exists():
        raise ArtefactError(f"{checkpoint} does not exist")
    folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
    if not (folder / FILE_NAME).exists():
        raise ArtefactError(
            f"{checkpoint} has no {FILE_NAME} beside it; a checkpoint lies in "
            "<data root>/runs/<experiment>/<version>/"
        )
    return folder


def read_lineage(checkpoint: Path) -> dict[str, Any]:
    """The lineage beside a checkpoint (the file, or the folder of its run).

    Raises ArtefactError when there is none, or something else lies under its name.
    """
    path = run_folder(checkpoint) / FILE_NAME
    found = read_json(path)
    if not isinstance(found, dict) or not found.keys() >= KEYS:
        raise ArtefactError(
            f"{path} is not a run's lineage: expected an object with {', '.join(sorted(KEYS))}"
        )
    return found


def steps_of(lineage: Mapping[str, Any]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """The records of all steps of every source in the training set: source -> stage -> record."""
    return {
        shards["name"]: {record["stage"]: record for record in _ancestors(shards)}
        for shards in lineage["training_set"]["upstream"]
    }


def sources_of(lineage: Mapping[str, Any]) -> list[SourceLineage]:
    """The walk from the training set to its archives, one row for each source."""
    found = []
    for source, chain in steps_of(lineage).items():
        facts = chain[ARCHIVE]["facts"]
        found.append(
            SourceLineage(
                source=source,
                location=str(facts.get("url") or facts.get("path")),
                sha256=chain[ARCHIVE]["version"],
                bytes=int(facts.get("bytes", 0)),
                fetched_at=chain[ARCHIVE]["made_at"],
                replays=chain[REPLAYS]["version"],
                parsed=chain[GAMES]["version"],
                shards=chain[SHARDS]["version"],
                md5s=tuple(lineage["games"].get(source, ())),
            )
        )
    return found


def _ancestors(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield record
    for parent in record["upstream"]:
        yield from _ancestors(parent)
