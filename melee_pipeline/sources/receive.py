"""The body of an answer to a file: looked at first, written as it comes while the disk lasts."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3

from melee_pipeline.errors import DownloadError
from melee_pipeline.progress import Progress
from melee_pipeline.sources.kinds import HEAD, kind_of

_CHUNK = 1 << 16  # bytes; what a connection that is reset may lose
_CHECKPOINT = 1 << 26  # bytes between looks at the disk


class PassingError(Exception):
    """A try failed in a way that another try may mend."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds


class UselessPartError(PassingError):
    """What has arrived is not the beginning of what the server has now."""


def receive(
    response: requests.Response,
    part: Path,
    start: int,
    total: int | None,
    label: str,
    progress: Progress,
    spare: int,
) -> None:
    """Append a body to `part` from byte `start` on. What begins like no archive is refused.

    Raises DownloadError for a full disk or another file than an archive, PassingError for a
    connection that broke.
    """
    chunks = _chunks(response)
    with progress.task(f"{label}: download", total, "bytes") as advance:
        advance(start)
        head = b"" if start else _look(chunks, response.url, label)
        unchecked = 0
        try:
            with part.open("ab") as out:
                out.truncate(start)
                for chunk in _joined(head, chunks):
                    out.write(chunk)
                    advance(len(chunk))
                    unchecked += len(chunk)
                    if unchecked >= _CHECKPOINT:
                        unchecked = 0
                        _sync_and_check(out.fileno(), part, spare)
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            raise DownloadError(f"{label}: {disk_message(error, part)}") from error


def _chunks(response: requests.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_content(_CHUNK)
    except requests.RequestException as error:
        raise PassingError(str(error)) from error


def _joined(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from chunks


def _look(chunks: Iterator[bytes], url: str, label: str) -> bytes:
    """The first bytes. Raises for what is not the beginning of an archive."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= HEAD:
            break
    if not head:
        raise PassingError("nothing arrived")
    if kind_of(head) is None:
        raise DownloadError(
            f"{label}: what came is not an archive (7z, zip or tar); it begins {head[:60]!r}. "
            f"Open {url} in a browser to see what it is"
        )
    return head


def _sync_and_check(handle: int, part: Path, spare: int) -> None:
    os.fsync(handle)
    if shutil.disk_usage(part.parent).free < spare:
        raise OSError(errno.ENOSPC, "less is free than is to stay free")


def plain_reason(error: Exception, url: str, timeout: float) -> str:
    """What went wrong with a connection, in words; libraries tell it with their own insides."""
    host = urlsplit(url).hostname
    if isinstance(error, requests.ConnectTimeout):
        return f"{host} did not answer within {timeout:.0f} s"
    if isinstance(error, requests.Timeout):
        return f"nothing came from {host} for {timeout:.0f} s"
    cause = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return f"no machine is known as {host} (a wrong link, or no network here)"
    if isinstance(cause, urllib3.exceptions.NewConnectionError):
        system = cause.__cause__ or cause.__context__
        told = system.strerror if isinstance(system, OSError) else None
        return f"no connection to {host}: {told or cause}"
    return str(error)


def disk_message(error: OSError, path: Path) -> str:
    """What a failed write means for the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        free = shutil.disk_usage(path.parent).free
        return (
            f"the disk of {path.parent} is full ({free:,} bytes are free): {error.strerror}; free "
            "some and run again, which goes on from here"
        )
    return f"writing {path} failed: {error}"
