"""A source's archive in the data root, whatever its kind."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from melee_pipeline.errors import DownloadError
from melee_pipeline.progress import Progress
from melee_pipeline.sources.catalog import Source
from melee_pipeline.sources.extract import archive_kind
from melee_pipeline.sources.http import Patience, download
from melee_pipeline.store import ARCHIVE, Stamp, Store, file_sha256


def fetch_archive(
    store: Store, source: Source, progress: Progress, patience: Patience | None = None
) -> Stamp:
    """Make a source's archive available: download it, or find it on this machine.

    What was fetched from the same location before is not fetched again. Raises DownloadError that
    names the source, what went wrong and what to do.
    """
    if source.location is None or source.kind in ("google_drive", "manual"):
        raise DownloadError(_by_hand(source))
    if source.kind == "local":
        return _local(store, source)
    inputs = {"location": source.location, "announced_sha256": source.sha256 or ""}
    found = store.current(ARCHIVE, source.name, inputs)
    if found and _size(Path(found.facts["file"])) == found.facts["bytes"]:
        return found
    started = time.monotonic()
    path, resumed_from = download(
        source, store.archives(source.name), progress, patience or Patience()
    )
    sha256 = file_sha256(path)
    _verify(source, path, sha256)
    _remove_others(path)
    size = path.stat().st_size
    return store.put(
        Stamp(
            ARCHIVE,
            source.name,
            inputs,
            sha256,
            report={
                "bytes": size,
                "seconds": round(time.monotonic() - started, 2),
                "resumed_from": resumed_from,
            },
            facts={
                "kind": source.kind,
                "url": source.location,
                "file": str(path),
                "bytes": size,
                "sha256": sha256,
            },
        )
    )


def _by_hand(source: Source) -> str:
    add = f"melee-pipeline sources add {source.name}-archive PATH"
    if source.kind == "google_drive" and source.location is None:
        return (
            f"{source.name}: its Google Drive file id is not known yet. Put it into sources.yaml "
            f"in the data root as `{source.name}: {{kind: google_drive, location: ID}}`, or fetch "
            f"the archive with a browser and register it: {add}"
        )
    if source.location is None:
        return f"{source.name}: no link is known. {source.note}"
    link = source.location
    if source.kind == "google_drive" and "/" not in link:
        link = f"https://drive.google.com/file/d/{link}/view"
    return (
        f"{source.name}: this kind ({source.kind}) is fetched by hand: open {link} in a browser, "
        f"download the archive, then register it: {add}"
    )


def _local(store: Store, source: Source) -> Stamp:
    path = Path(source.location or "").expanduser()
    if not path.exists():
        raise DownloadError(
            f"{source.name}: {path} does not exist; put the replays there, or register where they "
            "are: melee-pipeline sources add NAME PATH"
        )
    listing = _listing(path)
    inputs = {"location": str(path), "listing": listing}
    if found := store.current(ARCHIVE, source.name, inputs):
        return found
    size = sum(p.stat().st_size for p in _files(path))
    version = listing if path.is_dir() else file_sha256(path)
    if path.is_file():
        _verify(source, path, version)
    facts = {"kind": "local", "path": str(path), "file": str(path), "bytes": size}
    return store.put(
        Stamp(ARCHIVE, source.name, inputs, version, {"bytes": size}, {**facts, "sha256": version})
    )


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def _listing(path: Path) -> str:
    """Hash of names, sizes and times: tells cheaply whether anything was added or changed."""
    digest = hashlib.sha256()
    for file in _files(path):
        stat = file.stat()
        digest.update(f"{file.relative_to(path)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _verify(source: Source, path: Path, sha256: str) -> None:
    if source.sha256 and source.sha256 != sha256:
        path.unlink()
        raise DownloadError(
            f"{source.name}: {path.name} has sha256 {sha256}, announced was {source.sha256}; it "
            "was deleted. Run again, or correct the catalogue"
        )
    if archive_kind(path) is None:
        with path.open("rb") as file:
            head = file.read(60)
        if source.kind != "local":
            path.unlink()
        raise DownloadError(
            f"{source.name}: what came is not an archive (7z, zip or tar); it begins {head!r}. "
            f"Open {source.location} in a browser to see what it is"
        )


def _remove_others(path: Path) -> None:
    """An archive that this one replaces is of no more use."""
    for other in path.parent.iterdir():
        if other != path and other.is_file():
            other.unlink()
