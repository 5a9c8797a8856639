"""Replays out of archives: 7z, zip, tar and folders, without ever leaving the target folder."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tarfile
import tempfile
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from melee_pipeline.errors import ExtractError
from melee_pipeline.progress import Progress
from melee_pipeline.store import ARCHIVE, REPLAYS, Stamp, Store, atomic_folder, file_sha256

EXTRACTOR_VERSION = "1"  # raise it when the same archive would give other files
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ReplayFile:
    """A replay on disk, and its name inside the source."""

    path: Path
    name: str


@dataclass(slots=True)
class Extraction:
    """What came out of an archive."""

    replays: int = 0
    bytes: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


def is_replay(name: str) -> bool:
    """Whether a file's name is a replay's, compressed or not."""
    return name.lower().endswith((".slp", ".slp.gz"))


def archive_kind(path: Path) -> str | None:
    """7z, zip or tar, by the file's first bytes; None for anything else."""
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        return "7z"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    return "tar" if tarfile.is_tarfile(path) else None


def folder_replays(folder: Path) -> list[ReplayFile]:
    """Replays below a folder, sorted by name."""
    found = (
        ReplayFile(path, path.relative_to(folder).as_posix())
        for path in folder.rglob("*")
        if is_replay(path.name)
        and path.is_file()
        and not _junk(path.relative_to(folder).as_posix())
    )
    return sorted(found, key=lambda file: file.name)


def replay_files(store: Store, source: str) -> list[ReplayFile]:
    """The replays of a source that has been extracted, sorted by name."""
    stamp = store.need(REPLAYS, source, f"--source {source}")
    return folder_replays(Path(stamp.facts["folder"]))


def extract_replays(store: Store, source: str, progress: Progress) -> Stamp:
    """Extract a source's archive. A local folder is used in place: nothing is copied.

    Nothing is done when this very archive was extracted before.
    """
    archive = store.need(ARCHIVE, source, f"--source {source}")
    inputs = {"archive": archive.version, "extractor": EXTRACTOR_VERSION}
    path = Path(archive.facts["file"])
    folder = path if path.is_dir() else store.replays(source)
    if (found := store.current(REPLAYS, source, inputs)) and folder.is_dir():
        return found
    if path.is_dir():
        extraction = _in_place(path)
    else:
        with atomic_folder(folder) as temporary:
            extraction = extract_archive(path, temporary, progress, label=f"{source}: extract")
    if not extraction.replays:
        other = ", ".join(f"{count} × {why}" for why, count in extraction.skipped.items())
        raise ExtractError(f"{path} holds no replay (.slp): {other or 'it is empty'}")
    return store.put(
        Stamp(
            REPLAYS,
            source,
            inputs,
            _listing_hash(folder),
            report={
                "replays": extraction.replays,
                "bytes": extraction.bytes,
                "skipped": dict(extraction.skipped),
            },
            facts={"folder": str(folder)},
            upstream=[archive.record()],
        )
    )


def _in_place(folder: Path) -> Extraction:
    extraction = Extraction()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            if reason := _reason_to_skip(name):
                extraction.skipped[reason] += 1
            else:
                extraction.replays += 1
                extraction.bytes += path.stat().st_size
    return extraction


def _listing_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in folder_replays(folder):
        digest.update(f"{file.name}\0{file_sha256(file.path)}\n".encode())
    return digest.hexdigest()


def extract_archive(
    path: Path, folder: Path, progress: Progress, *, label: str = "extract"
) -> Extraction:
    """Write the replays of an archive into `folder`, under their own names.

    Raises ExtractError for what is no archive, is damaged or encrypted, or has a member that
    points outside the folder.
    """
    kind = archive_kind(path)
    members = {"7z": _from_7z, "zip": _from_zip, "tar": _from_tar}.get(kind or "")
    if members is None:
        raise ExtractError(f"{path} is not an archive: neither 7z, zip nor tar by its first bytes")
    extraction = Extraction()
    taken: set[str] = set()
    with progress.task(label, None, "replays") as advance:
        try:
            for name, open_member in members(path, folder):
                if reason := _reason_to_skip(name):
                    extraction.skipped[reason] += 1
                    continue
                target = folder / _free_name(_safe_name(name, path), taken)
                target.parent.mkdir(parents=True, exist_ok=True)
                _write(open_member(), name, target)
                extraction.replays += 1
                extraction.bytes += target.stat().st_size
                advance(1)
        except ExtractError:
            raise
        except (
            OSError,
            EOFError,
            RuntimeError,
            ValueError,
            zipfile.BadZipFile,
            tarfile.TarError,
        ) as error:
            raise ExtractError(f"{path} cannot be extracted: {_what(error)}") from error
    return extraction


def _what(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _reason_to_skip(name: str) -> str | None:
    if _junk(name):
        return "macOS metadata"
    return None if is_replay(name) else "not a replay"


def _junk(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return "__MACOSX" in parts or (bool(parts) and parts[-1].startswith("._"))


def _safe_name(name: str, archive: Path) -> str:
    """A member's name as a relative path. Raises ExtractError when it points elsewhere."""
    clean = unicodedata.normalize("NFC", name.replace("\\", "/"))
    parts = PurePosixPath(clean).parts
    if clean.startswith("/") or ".." in parts or "\0" in clean or (parts and ":" in parts[0]):
        raise ExtractError(
            f"{archive}: member {name!r} points outside the folder; nothing was kept"
        )
    return "/".join(part for part in parts if part != ".")


def _free_name(name: str, taken: set[str]) -> str:
    """The name, numbered when another member has it but for case."""
    if name.lower().endswith(".gz"):
        name = name[:-3]
    stem, candidate, number = name[: -len(".slp")], name, 1
    while candidate.casefold() in taken:
        number += 1
        candidate = f"{stem} ({number}).slp"
    taken.add(candidate.casefold())
    return candidate


Member = tuple[str, Callable[[], IO[bytes]]]  # a name, and how to open it


def _write(source: IO[bytes], name: str, target: Path) -> None:
    with source, target.open("wb") as out:
        if name.lower().endswith(".gz"):
            with gzip.open(source) as unpacked:
                shutil.copyfileobj(unpacked, out, _CHUNK)
        else:
            shutil.copyfileobj(source, out, _CHUNK)


def _from_zip(path: Path, folder: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield info.filename, partial(archive.open, info)


def _from_tar(path: Path, folder: Path) -> Iterator[Member]:
    with tarfile.open(path) as archive:
        for info in archive:
            if info.isfile():
                yield info.name, partial(_opened, archive, info)


def _opened(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(info)
    assert stream is not None, "regular files have content"
    return stream


def _from_7z(path: Path, folder: Path) -> Iterator[Member]:
    """Members of a 7z archive: unpacked once to a temporary folder beside `folder`.

    py7zr reads solid archives only as a whole, in order; on disk that takes no memory.
    """
    import py7zr

    try:
        with py7zr.SevenZipFile(path) as archive:
            names = [info.filename for info in archive.list() if not info.is_directory]
            wanted = [name for name in names if not _reason_to_skip(name)]
            for name in wanted:
                _safe_name(name, path)
            with tempfile.TemporaryDirectory(prefix=".7z-", dir=folder.parent) as temporary:
                if wanted:
                    archive.extract(temporary, targets=wanted)
                for name in names:
                    yield name, partial(_take, Path(temporary) / name)
    except (py7zr.exceptions.ArchiveError, py7zr.exceptions.PasswordRequired) as error:
        raise ExtractError(f"{path} cannot be extracted: {_what(error)}") from error


def _take(path: Path) -> IO[bytes]:
    """Open a file and remove its name, so that the disk never holds all replays twice."""
    stream = path.open("rb")
    path.unlink()
    return stream
