"""Every path of the data root, atomic writes, and stamps.

    <root>/sources.yaml, experiments.yaml     the user's own; inbox/: see dag/automation
    <root>/archives/<source>/…                downloaded archives
    <root>/replays/<source>/…                 extracted replays
    <root>/games/<source>/<md5>.parquet       parsed games, beside index.parquet
    <root>/shards/<source>/<nnnn>.safetensors tensor shards
    <root>/training_set/games.parquet         which games, from which shard, in which split
    <root>/runs/<experiment>/<version>/       a training run: checkpoints, manifest, lineage

Each step of each source (or experiment) leaves one *stamp*: what it made, from which inputs. A
stamp is written last, so a step without one is not done; a step whose stamp names the inputs of
today has nothing to do. Lineage is the walk from stamp to stamp.

One process at a time works on a source (locks.py) and may sweep away what a killed run left.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from melee_pipeline.errors import ArtefactError
from melee_pipeline.portable import portable

ARCHIVE, REPLAYS, GAMES, SHARDS = "archive", "replays", "games", "shards"
TRAINING_SET, CHECKPOINT, EVALUATION = "training_set", "checkpoint", "evaluation"


@contextmanager
def atomic_file(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """A temporary name beside `path`, which takes its place when the block ends without error.

    Without `sync` a power cut may leave it damaged: whoever writes many small files syncs them
    all together (`sync_files`), before anything relies on them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if sync:
            sync_files([temporary])
        # mkstemp makes files that only their owner reads; artefacts are meant to be shared.
        temporary.chmod(0o644)
        temporary.replace(path)
        if sync:
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, which replaces it when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    temporary.chmod(0o755)
    try:
        yield temporary
        _sync_tree(temporary)
        if path.exists():
            old = temporary.with_suffix(".old")
            path.rename(old)
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sync_files(paths: Iterable[Path]) -> None:
    """Make what was written to these files survive a power cut."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_tree(folder: Path) -> None:
    """Make a folder with all that is in it survive a power cut."""
    for where, _, names in os.walk(folder):
        for name in names:
            sync_folder(Path(where, name))  # a file is synced as a folder is
        sync_folder(Path(where))


def sweep(folder: Path, name: str = "") -> None:
    """Remove what killed writes left in `folder`, of any name or of one.

    A folder that was set aside for its successor and never replaced gets its name back. Only for
    whoever knows that nobody writes there now.
    """
    start = f".{name}." if name else "."
    for left in sorted(folder.glob(".*")):
        if not left.name.startswith(start) or left.suffix not in (".tmp", ".old"):
            continue
        rightful = folder / left.name[1:].rsplit(".", 2)[0]
        if left.suffix == ".old" and not rightful.exists():
            left.rename(rightful)
        elif left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


def write_json(path: Path, value: object) -> None:
    """Write JSON under its final name only when it is whole."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, default=str) + "\n")


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON is what it is
    """Read JSON. Raises ArtefactError naming the file when it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ArtefactError(f"{path} does not exist") from error
    except ValueError as why:
        raise ArtefactError(f"{path} is not valid JSON ({why}); delete it and run again") from why


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_md5(path: Path) -> str:
    """Hex MD5 of a file's bytes: the name by which the community knows a replay."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a step made, and from what.

    `inputs` is everything that decides the output: versions of upstream, code and settings.
    `version` is the output's own data version. `report` holds counts for people and decides
    nothing. `facts` travel downstream with the lineage (a url, a hash). `upstream` holds the very
    stamps it was made from, as they were then, whatever is made again or deleted later.
    """

    stage: str
    name: str
    inputs: Mapping[str, str]
    version: str
    report: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    upstream: Sequence[Mapping[str, Any]] = ()
    made_at: str = ""
    fresh: bool = False  # made by this very call, not found; never stored as true

    def record(self) -> dict[str, Any]:
        """What downstream artefacts keep of this stamp: all but the report and local paths."""
        keep = asdict(self)
        return {key: portable(keep[key]) for key in keep if key not in ("report", "fresh")}


class Store:
    """The data root. Every path that any step reads or writes is made here."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser().resolve()

    @property
    def user_catalog(self) -> Path:
        """The user's own sources, in the catalogue's format."""
        return self.root / "sources.yaml"

    @property
    def user_experiments(self) -> Path:
        """The user's own experiments."""
        return self.root / "experiments.yaml"

    def archives(self, source: str) -> Path:
        """Folder of a source's archives."""
        return self.root / "archives" / source

    def replays(self, source: str) -> Path:
        """Folder of a source's extracted replays."""
        return self.root / "replays" / source

    def games(self, source: str) -> Path:
        """Folder of a source's parsed games."""
        return self.root / "games" / source

    def index(self, source: str) -> Path:
        """The table with one row for every file met in a source."""
        return self.games(source) / "index.parquet"

    def shards(self, source: str) -> Path:
        """Folder of a source's tensor shards."""
        return self.root / "shards" / source

    @property
    def training_set(self) -> Path:
        """The table of the training set's games."""
        return self.root / "training_set" / "games.parquet"

    def runs(self, experiment: str) -> Path:
        """Folder of an experiment's training runs."""
        return self.root / "runs" / experiment

    def run(self, experiment: str, version: str) -> Path:
        """Folder of one training run."""
        return self.runs(experiment) / version

    @property
    def locks(self) -> Path:
        """Folder of the sources' locks."""
        return self.root / "locks"

    def sweep(self, source: str) -> None:
        """Remove what killed runs of a source left. Only for the holder of its lock."""
        for inside in (self.archives(source), self.replays(source), self.games(source)):
            sweep(inside)
        for folder in (self.replays(source), self.shards(source)):
            sweep(folder.parent, source)
        for stage in (ARCHIVE, REPLAYS, GAMES, SHARDS):
            sweep(self.root / "stamps" / stage, f"{source}.json")

    def _stamp_path(self, stage: str, name: str) -> Path:
        return self.root / "stamps" / stage / f"{name}.json"

    def stamp(self, stage: str, name: str) -> Stamp | None:
        """The stamp of a step's last completed run, if there was one."""
        path = self._stamp_path(stage, name)
        return Stamp(**read_json(path)) if path.exists() else None

    def need(self, stage: str, name: str, step: str) -> Stamp:
        """The stamp of a step that must have run. Raises ArtefactError that says how to run it."""
        found = self.stamp(stage, name)
        if found is None:
            first = f"run first: melee-pipeline run {step}".rstrip()
            raise ArtefactError(f"{name}: no {stage} under {self.root}; {first}")
        return found

    def current(self, stage: str, name: str, inputs: Mapping[str, str]) -> Stamp | None:
        """The stamp, if it was made from exactly these inputs."""
        found = self.stamp(stage, name)
        return found if found is not None and dict(found.inputs) == dict(inputs) else None

    def put(self, stamp: Stamp) -> Stamp:
        """Write a step's stamp, the last act of the step; gives it back dated and fresh."""
        dated = replace(stamp, made_at=datetime.now(UTC).isoformat(timespec="seconds"))
        write_json(self._stamp_path(stamp.stage, stamp.name), asdict(dated))
        return replace(dated, fresh=True)

    def forget(self, stage: str, name: str) -> None:
        """Take a step's stamp away: the step counts as not done. Its files stay."""
        self._stamp_path(stage, name).unlink(missing_ok=True)

    def names(self, stage: str) -> list[str]:
        """Names of all sources or experiments that have completed a step, sorted."""
        return sorted(p.stem for p in (self.root / "stamps" / stage).glob("*.json"))
