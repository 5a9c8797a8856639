"""Replays that are on this machine already: used where they lie, never copied."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from melee_pipeline.errors import DownloadError
from melee_pipeline.progress import Progress
from melee_pipeline.sources.catalog import Source
from melee_pipeline.sources.kinds import archive_kind, is_archive_name, is_junk, is_replay
from melee_pipeline.store import ARCHIVE, Stamp, Store, file_sha256
from melee_pipeline.versions import FETCHER_VERSION


@dataclass(frozen=True, slots=True)
class Found:
    """What a path holds: archives, and replays that lie there loose."""

    archives: tuple[Path, ...]
    replays: tuple[Path, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """All of it, sorted."""
        return tuple(sorted((*self.archives, *self.replays)))


def look(path: Path) -> Found:
    """What a file or folder holds. Links to folders are not followed."""
    if path.is_file():
        return Found((path,), ())
    archives, replays = [], []
    for file in sorted(path.rglob("*")):
        if is_junk(file.relative_to(path).as_posix()) or not file.is_file():
            continue
        if is_replay(file.name):
            replays.append(file)
        elif is_archive_name(file.name) and archive_kind(file) is not None:
            archives.append(file)
    return Found(tuple(archives), tuple(replays))


def find_local(store: Store, source: Source, path: Path, progress: Progress) -> Stamp:
    """The stamp of a source that lies at `path`; nothing is read again while nothing changed.

    Raises DownloadError when nothing is there, or the file is not what was announced.
    """
    if not path.exists():
        raise DownloadError(
            f"{source.name}: {path} does not exist; put the replays there, or register where they "
            "are: melee-pipeline sources add NAME PATH"
        )
    found = look(path)
    if not found.files:
        raise DownloadError(
            f"{source.name}: {path} holds no replay (.slp, .slp.gz) and no archive (7z, zip, tar)"
        )
    listed = listing(path, found)
    inputs = {"location": str(path), "listing": listed, "fetcher": FETCHER_VERSION}
    if current := store.current(ARCHIVE, source.name, inputs):
        return current
    archives = [_archive(path, file) for file in found.archives]
    size = sum(file.stat().st_size for file in found.files)
    version = str(archives[0]["sha256"]) if path.is_file() else listed
    if path.is_file():
        _verify(source, path, version)
    facts = {
        "kind": source.kind,
        "path": str(path),
        "file": str(path),
        "bytes": size,
        "sha256": version,
        "archives": archives,
        "loose": len(found.replays),
    }
    if source.kind == "manual" and source.location:
        facts["url"] = source.location
    return store.put(Stamp(ARCHIVE, source.name, inputs, version, {"bytes": size}, facts))


def _archive(root: Path, path: Path) -> dict[str, object]:
    name = path.name if path == root else path.relative_to(root).as_posix()
    size = path.stat().st_size
    return {"name": name, "file": str(path), "bytes": size, "sha256": file_sha256(path)}


def listing(path: Path, found: Found) -> str:
    """Hash of names, sizes and times: tells cheaply whether anything was added or changed."""
    digest = hashlib.sha256()
    for file in found.files:
        stat = file.stat()
        digest.update(os.fsencode(file.relative_to(path)))
        digest.update(f"\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _verify(source: Source, path: Path, sha256: str) -> None:
    if source.sha256 and source.sha256 != sha256:
        raise DownloadError(
            f"{source.name}: {path} has sha256 {sha256}, announced was {source.sha256}; put the "
            "right file there, or correct the catalogue"
        )
    if archive_kind(path) is None:
        with path.open("rb") as file:
            head = file.read(60)
        raise DownloadError(
            f"{source.name}: {path} is not an archive (7z, zip or tar); it begins {head!r}"
        )
