"""What is inside archives, one member after another, as streams; nothing is written here."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import py7zr

from melee_pipeline.errors import ExtractError
from melee_pipeline.sources.kinds import UNPACK_ERRORS, Kind, archive_kind, open_tar
from melee_pipeline.sources.seven import seven_members

LINK, ENCRYPTED, DAMAGED = "link or device", "encrypted", "damaged"
# What readers raise for bytes that are not what they should be. An OSError counts too, where the
# system has no part in it: bz2 and gzip raise it without a number.
DAMAGE: tuple[type[Exception], ...] = (
    *UNPACK_ERRORS,
    *(ValueError, RuntimeError),
    *(zipfile.BadZipFile, tarfile.TarError, py7zr.exceptions.ArchiveError, gzip.BadGzipFile),
)


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside an archive. Members are opened in order, or not at all."""

    name: str
    open: Callable[[], IO[bytes]]
    skip: str | None = None  # why it cannot be taken


def is_damage(error: Exception) -> bool:
    """Whether an error comes from an archive's bytes, not from this machine."""
    return isinstance(error, DAMAGE) or (isinstance(error, OSError) and error.errno is None)


def members(path: Path) -> Iterator[Member]:
    """The files in an archive, in its order.

    Raises ExtractError for what is no archive or cannot be opened, and one of DAMAGE where the
    archive breaks off: everything before has been given.
    """
    kind = archive_kind(path)
    if kind is None:
        raise ExtractError(f"{path} is not an archive: neither 7z, zip nor tar by its first bytes")
    if kind == "7z":
        return (Member(name, opener, skip) for name, opener, skip in seven_members(path))
    if kind == "zip":
        return _from_zip(path)
    if kind in ("slp", "slp.gz"):
        stem = path.name.split(".")[0] or "replay"
        return iter([Member(f"{stem}.{kind}", lambda: path.open("rb"))])
    return _from_tar(path, kind)


def _from_zip(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield Member(info.filename, partial(archive.open, info), _zip_skip(info))


def _zip_skip(info: zipfile.ZipInfo) -> str | None:
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return LINK
    return ENCRYPTED if info.flag_bits & 1 else None


_ReadError = tarfile.ReadError
_NO_HEADER: tuple[type[Exception], ...] = (
    tarfile.EmptyHeaderError,  # type: ignore[attr-defined]
    tarfile.TruncatedHeaderError,  # type: ignore[attr-defined]
    tarfile.InvalidHeaderError,  # type: ignore[attr-defined]
)


class _StrictHeader(tarfile.TarInfo):
    """A header that is damaged or missing is an error: tarfile would take it for the end."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> _StrictHeader:
        try:
            return super().fromtarfile(tarfile)
        except _NO_HEADER as error:
            raise _ReadError(f"it breaks off after {tarfile.offset:,} bytes: {error}") from error


def _from_tar(path: Path, kind: Kind) -> Iterator[Member]:
    with (
        open_tar(path, kind) as stream,
        tarfile.open(fileobj=stream, mode="r|", tarinfo=_StrictHeader, bufsize=1 << 18) as archive,
    ):
        for info in archive:
            if not info.isdir():
                opener = partial(_opened, archive, info)
                yield Member(info.name, opener, None if info.isreg() else LINK)
            archive.members = []  # type: ignore[attr-defined] # it would remember every header


def _opened(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    return archive.extractfile(info) or io.BytesIO()
