"""Replays out of an archive onto the disk, one after another, without leaving the folder."""

from __future__ import annotations

import errno
import gzip
import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from melee_pipeline.errors import ExtractError
from melee_pipeline.sources.kinds import is_archive_name, is_junk, is_replay
from melee_pipeline.sources.members import DAMAGED, Member, is_damage, members
from melee_pipeline.sources.names import Names, safe_name
from melee_pipeline.sources.receive import disk_message

_CHUNK = 1 << 20
_SMALL = 1 << 30  # bytes that any archive may become, however well it is packed
_CHECKPOINT = 1 << 26  # bytes between looks at the disk
JUNK, NOT_A_REPLAY, TOO_LARGE = "macOS metadata", "not a replay", "too large for a replay"


@dataclass(frozen=True, slots=True)
class Limits:
    """How far an archive may swell: beyond that it is a bomb, or a mistake."""

    total: int = 1 << 42  # bytes of replays from one archive
    ratio: float = 200.0  # of those to the archive's own bytes, once they are over 1 GiB
    replay: int = 1 << 29  # bytes of one replay; a longer one is skipped and counted
    members: int = 5_000_000  # files in one archive
    depth: int = 3  # archives inside archives
    spare: int = 1 << 28  # bytes of disk to leave free


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
    renamed: int = 0  # replays whose own name could not be used
    members: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    damage: list[str] = field(default_factory=list)  # where archives broke off
    hashes: list[tuple[str, str]] = field(default_factory=list)  # name and SHA-256 of each replay


def reason_to_skip(member: Member, depth: int, limits: Limits) -> str | None:
    """Why a member is not unpacked; None for replays, and for archives that may hold some."""
    if is_junk(member.name):
        return JUNK
    if is_replay(member.name):
        return member.skip
    if not is_archive_name(member.name):
        return NOT_A_REPLAY
    return "archive too deep" if depth + 1 >= limits.depth else member.skip


class _DamagedError(Exception):
    """A member whose bytes are not what they should be."""


class _TooLargeError(Exception):
    """A member that is larger than any replay."""


class Unpacker:
    """Writes the replays of one archive into a folder; counts as it goes.

    Raises ExtractError for what is no archive or cannot be opened, for an archive that swells
    beyond the limits, and for a full disk. Damage is counted, and what can be read is kept.
    """

    def __init__(self, path: Path, folder: Path, limits: Limits | None = None) -> None:
        self.found = Extraction()
        self._path, self._folder = path, folder
        self._limits = limits or Limits()
        self._packed = max(path.stat().st_size, 1)
        self._names = Names()
        self._unpacked = self._unchecked = 0

    def replays(self) -> Iterator[ReplayFile]:
        """Each replay when it has been written; the next is unpacked only when it is asked for."""
        yield from self._all(self._path, "", 0)

    def _all(self, archive: Path, prefix: str, depth: int) -> Iterator[ReplayFile]:
        opened = False
        try:
            for member in members(archive):
                opened = True
                self._count(member)
                if reason := reason_to_skip(member, depth, self._limits):
                    self.found.skipped[reason] += 1
                elif is_replay(member.name):
                    yield from self._replay(member, prefix)
                else:
                    yield from self._nested(member, prefix, depth)
        except Exception as error:
            if not is_damage(error):
                raise
            if not opened:
                raise ExtractError(
                    f"{archive} cannot be extracted: it is damaged ({type(error).__name__}: "
                    f"{error}); delete it and download it again"
                ) from error
            self._broke_off(prefix, error)

    def _count(self, member: Member) -> None:
        self.found.members += 1
        if self.found.members > self._limits.members:
            raise ExtractError(
                f"{self._path} holds more than {self._limits.members:,} files, the limit for one "
                f"archive; the last was {member.name!r}. {_RAISE}"
            )

    def _replay(self, member: Member, prefix: str) -> Iterator[ReplayFile]:
        own = member.name[:-3] if member.name.lower().endswith(".gz") else member.name
        name = self._names.take(safe_name(f"{prefix}{own}"))
        target = self._folder / name
        try:
            sha256 = self._write(member, target, self._limits.replay, packed=own != member.name)
        except (_DamagedError, _TooLargeError) as error:
            target.unlink(missing_ok=True)
            if isinstance(error, _TooLargeError):
                self.found.skipped[TOO_LARGE] += 1
            else:
                self.found.skipped[DAMAGED] += 1
                self._note_damage(f"{prefix}{member.name}", error)
            return
        self.found.replays += 1
        self.found.bytes += target.stat().st_size
        self.found.renamed += name != f"{prefix}{own}"
        self.found.hashes.append((name, sha256))
        yield ReplayFile(target, name)

    def _nested(self, member: Member, prefix: str, depth: int) -> Iterator[ReplayFile]:
        """The replays of an archive inside the archive, which lies on the disk meanwhile."""
        with tempfile.TemporaryDirectory(prefix=".nested-", dir=self._folder) as temporary:
            inner = Path(temporary) / "archive"
            try:
                self._write(member, inner, self._limits.total, packed=False)
                yield from self._all(inner, f"{prefix}{member.name}/", depth + 1)
            except (_DamagedError, _TooLargeError) as error:
                self.found.skipped[DAMAGED] += 1
                self._note_damage(f"{prefix}{member.name}", error)
            except ExtractError as error:
                if not str(error).startswith(str(inner)):
                    raise
                self.found.skipped["archive that cannot be opened"] += 1
                reason = str(error).removeprefix(f"{inner} ")
                self.found.damage.append(f"{prefix}{member.name} {reason}")

    def _write(self, member: Member, target: Path, limit: int, *, packed: bool) -> str:
        """Write a member; its SHA-256."""
        digest, size = hashlib.sha256(), 0
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with _reading(member, packed) as source, target.open("wb") as out:
                while chunk := _read(source):
                    size += len(chunk)
                    if size > limit:
                        raise _TooLargeError(f"more than {limit:,} bytes")
                    self._weigh(len(chunk))
                    digest.update(chunk)
                    out.write(chunk)
        except OSError as error:
            raise ExtractError(f"{self._path}: {disk_message(error, target)}") from error
        return digest.hexdigest()

    def _weigh(self, count: int) -> None:
        """Stop before an archive has filled the disk."""
        self._unpacked += count
        limit = min(self._limits.total, max(_SMALL, self._limits.ratio * self._packed))
        if self._unpacked > limit:
            raise ExtractError(
                f"{self._path}: its {self._packed:,} bytes have become {self._unpacked:,}, more "
                f"than an archive of replays does. {_RAISE}"
            )
        self._unchecked += count
        if self._unchecked >= _CHECKPOINT:
            self._unchecked = 0
            if shutil.disk_usage(self._folder).free < self._limits.spare:
                raise OSError(errno.ENOSPC, "less is free than is to stay free")

    def _broke_off(self, prefix: str, error: Exception) -> None:
        where = prefix.rstrip("/") or self._path.name
        self.found.skipped["rest of a damaged archive"] += 1
        self._note_damage(where, error)

    def _note_damage(self, name: str, error: Exception) -> None:
        if len(self.found.damage) < 20:
            cause = (isinstance(error, _DamagedError) and error.__cause__) or error
            self.found.damage.append(f"{name}: {type(cause).__name__}: {cause}")


_RAISE = (
    "If it is what it should be, raise the limits: melee_pipeline.sources.unpack.Limits, as an "
    "argument of extract_replays"
)


@contextmanager
def _reading(member: Member, packed: bool) -> Iterator[IO[bytes]]:
    try:
        stream = member.open()
    except Exception as error:
        if not is_damage(error):
            raise
        raise _DamagedError(str(error)) from error
    with stream:
        if not packed:
            yield stream
            return
        with gzip.open(stream) as unpacked:
            yield unpacked  # type: ignore[misc] # reads as any stream does


def _read(source: IO[bytes]) -> bytes:
    try:
        return source.read(_CHUNK)
    except Exception as error:
        if not is_damage(error):
            raise
        raise _DamagedError(str(error)) from error
