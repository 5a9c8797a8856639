"""A source's archives in the data root, whatever its kind."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

from melee_pipeline.errors import DownloadError
from melee_pipeline.locks import source_lock
from melee_pipeline.progress import Progress
from melee_pipeline.sources.catalog import REMOVED, Source, dropbox_file
from melee_pipeline.sources.drive import drive_id, drive_url, open_drive
from melee_pipeline.sources.http import download, forget
from melee_pipeline.sources.local import find_local, look
from melee_pipeline.sources.plan import Network, Remote, open_url
from melee_pipeline.store import ARCHIVE, Stamp, Store, file_sha256
from melee_pipeline.versions import FETCHER_VERSION


def fetch_archive(
    store: Store, source: Source, progress: Progress, network: Network | None = None
) -> Stamp:
    """Make a source's archives available: download them, or find them on this machine.

    What was fetched from the same location before is not fetched again. Raises DownloadError that
    names the source, what went wrong and what to do, and BusyError when another process is at it.
    """
    with source_lock(store, source.name):
        store.forget(REMOVED, source.name)
        if source.kind == "local" and source.location:
            return find_local(store, source, Path(source.location).expanduser(), progress)
        folder = store.archives(source.name)
        if source.kind == "manual" or source.location is None:
            if not folder.is_dir() or not look(folder).files:
                folder.mkdir(parents=True, exist_ok=True)
                raise DownloadError(_by_hand(source, folder))
            return find_local(store, source, folder, progress)
        return _fetch(store, source, progress, network or Network())


def _fetch(store: Store, source: Source, progress: Progress, network: Network) -> Stamp:
    inputs = {
        "location": " ".join(source.locations),
        "announced_sha256": source.sha256 or "",
        "fetcher": FETCHER_VERSION,
    }
    found = store.current(ARCHIVE, source.name, inputs)
    if found and all(_size(a["file"]) == a["bytes"] for a in found.facts["archives"]):
        return found
    started = time.monotonic()
    folder = store.archives(source.name)
    archives, resumed_from = [], 0
    remotes = [_remote(source, i, network) for i in range(len(source.locations))]
    for remote, location in zip(remotes, source.locations, strict=True):
        path, resumed = download(remote, folder, progress, network)
        resumed_from += resumed
        archives.append(_verified(source, location, path))
    _remove_others(folder, {str(archive["file"]) for archive in archives})
    put = store.put(_stamp(source, inputs, folder, archives, resumed_from, started))
    for remote in remotes:
        forget(folder, remote.url)
    return put


def _stamp(
    source: Source,
    inputs: dict[str, str],
    folder: Path,
    archives: list[dict[str, Any]],
    resumed_from: int,
    started: float,
) -> Stamp:
    several = len(archives) > 1
    hashes = [str(archive["sha256"]) for archive in archives]
    version = hashlib.sha256("\n".join(hashes).encode()).hexdigest() if several else hashes[0]
    size = sum(archive["bytes"] for archive in archives)
    return Stamp(
        ARCHIVE,
        source.name,
        inputs,
        version,
        report={
            "bytes": size,
            "archives": len(archives),
            "seconds": round(time.monotonic() - started, 2),
            "resumed_from": resumed_from,
        },
        facts={
            "kind": source.kind,
            "url": " ".join(source.locations),
            "file": str(folder) if several else archives[0]["file"],
            "bytes": size,
            "sha256": version,
            "archives": archives,
            "loose": 0,
        },
    )


def _remote(source: Source, number: int, network: Network) -> Remote:
    """How one of a source's archives is asked for."""
    location, several = source.locations[number], bool(source.further)
    label = f"{source.name} {number + 1} of {len(source.locations)}" if several else source.name
    prefix = f"{number + 1:03d}-" if several else ""
    if source.kind == "google_drive":
        url = drive_url(network.drive, drive_id(label, location))
        return Remote(label, url, open_drive(label, url), source.bytes, prefix)
    url = dropbox_file(location) if source.kind == "dropbox" else location
    return Remote(label, url, open_url(url), source.bytes, prefix)


def _by_hand(source: Source, folder: Path) -> str:
    if source.location is None:
        lines = [
            f"{source.name}: no link to it is known. {source.note}",
            f"  - With its link: melee-pipeline sources add {source.name} LINK",
            f"  - Or put what you have of it (archives or replays) into {folder}",
        ]
    else:
        lines = [
            f"{source.name}: it cannot be fetched by a program. {source.note}",
            f"  - Open {source.location} in a browser and download what it holds",
            f"  - Put that (archives or replays) into {folder}",
        ]
    return "\n".join([*lines, f"Then: melee-pipeline run --source {source.name}"])


def _size(path: str) -> int | None:
    return Path(path).stat().st_size if Path(path).is_file() else None


def _verified(source: Source, location: str, path: Path) -> dict[str, Any]:
    """What is recorded of an archive. One that is not what was announced is deleted."""
    sha256 = file_sha256(path)
    if source.sha256 and source.sha256 != sha256:
        path.unlink()
        raise DownloadError(
            f"{source.name}: {path.name} has sha256 {sha256}, announced was {source.sha256}; it "
            "was deleted. Run again, or correct the catalogue"
        )
    size = path.stat().st_size
    return {
        "name": path.name,
        "url": location,
        "file": str(path),
        "bytes": size,
        "sha256": sha256,
    }


def _remove_others(folder: Path, keep: set[str]) -> None:
    """Archives that these replace are of no more use."""
    for other in folder.iterdir():
        if other.is_file() and str(other) not in keep and not other.name.startswith("."):
            other.unlink()
