"""One file over HTTP: planned, then done; resumed, verified, never half under its name."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from email.message import Message
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import requests

from melee_pipeline.errors import DownloadError
from melee_pipeline.progress import Progress
from melee_pipeline.sources.catalog import Source
from melee_pipeline.store import sync_folder, write_json

_CHUNK = 1 << 16  # what a connection that is reset may lose
_PART, _NOTE = ".download.part", ".download.json"  # hidden: no server names a file so
_SPARE = 1 << 28  # bytes of disk to leave free
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses that may pass by themselves


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a download is tried, and how long it waits between tries (doubling)."""

    tries: int = 5
    first_wait: float = 2.0
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class Partial:
    """What an earlier try left: so many bytes of the file that had this validator."""

    url: str
    validator: str  # ETag or Last-Modified; empty when the server sent neither
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask the server for."""

    headers: dict[str, str]
    resume_from: int


def plan_download(url: str, partial: Partial | None) -> Plan:
    """Resume only where the server can tell that the file is still the same (RFC 9110)."""
    whole = {"Accept-Encoding": "identity"}
    if partial is None or partial.url != url or not partial.validator or not partial.size:
        return Plan(whole, 0)
    ask = {"Range": f"bytes={partial.size}-", "If-Range": partial.validator}
    return Plan({**whole, **ask}, partial.size)


class _PassingError(Exception):
    """A try failed in a way that another try may mend."""


class _PartUselessError(_PassingError):
    """The server has no such range: the part is as long as the file, or longer."""


def download(
    source: Source, folder: Path, progress: Progress, patience: Patience
) -> tuple[Path, int]:
    """Fetch a source's archive into `folder`: its path, and from which byte it was resumed.

    Raises DownloadError that names the source, what went wrong and what to do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wait = patience.first_wait
    for attempt in range(1, patience.tries + 1):
        try:
            return _try_once(source, folder, progress, patience)
        except (_PassingError, requests.ConnectionError, requests.Timeout) as error:
            if attempt == patience.tries:
                raise DownloadError(
                    f"{source.name}: {source.url} failed {attempt} times, last: {error}. What has "
                    "arrived is kept; run again to go on"
                ) from error
            if isinstance(error, _PartUselessError):
                (folder / _PART).unlink()
            time.sleep(wait)
            wait *= 2
    raise AssertionError("tries is at least 1")


def _try_once(
    source: Source, folder: Path, progress: Progress, patience: Patience
) -> tuple[Path, int]:
    part, note = folder / _PART, folder / _NOTE
    plan = plan_download(source.url, _partial(part, note))
    with requests.get(
        source.url, headers=plan.headers, stream=True, timeout=patience.timeout
    ) as response:
        resumed = _accept(source, response, plan)
        total = _announced_size(response, resumed)
        _need_space(source, folder, (total or 0) - resumed)
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        write_json(note, {"url": source.url, "validator": validator})
        _stream(response, part, resumed, total, source.name, progress)
        name = _file_name(response, source)
    if total is not None and part.stat().st_size != total:
        raise _PassingError(f"{part.stat().st_size:,} of {total:,} bytes arrived")
    target = folder / name
    part.replace(target)
    note.unlink()
    sync_folder(folder)
    return target, resumed


def _partial(part: Path, note: Path) -> Partial | None:
    if not (part.exists() and note.exists()):
        return None
    facts = json.loads(note.read_text())
    return Partial(facts["url"], facts["validator"], part.stat().st_size)


def _accept(source: Source, response: requests.Response, plan: Plan) -> int:
    """From which byte the body starts. Raises for whatever is not the file."""
    status = response.status_code
    if status in _PASSING:
        raise _PassingError(f"the server answered {status} {response.reason}")
    if status == 416:
        raise _PartUselessError
    if status not in (200, 206):
        raise DownloadError(
            f"{source.name}: {source.url} answered {status} {response.reason}; open it in a "
            "browser, and correct the source's location if it has moved"
        )
    kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        raise DownloadError(
            f"{source.name}: {source.url} answered with a web page in place of an archive: the "
            "link may be wrong, private or rate-limited. Open it in a browser; if it works there, "
            "save the file and register it: melee-pipeline sources add NAME PATH"
        )
    return plan.resume_from if status == 206 else 0


def _announced_size(response: requests.Response, resumed: int) -> int | None:
    length = response.headers.get("Content-Length")
    return int(length) + resumed if length is not None else None


def _need_space(source: Source, folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size + _SPARE > free:
        raise DownloadError(
            f"{source.name}: {size:,} bytes are to come, {free:,} are free in {folder}; "
            "free some, or put the data root elsewhere (--data)"
        )


def _stream(
    response: requests.Response,
    part: Path,
    resumed: int,
    total: int | None,
    label: str,
    progress: Progress,
) -> None:
    with (
        part.open("ab" if resumed else "wb") as out,
        progress.task(f"{label}: download", total, "bytes") as advance,
    ):
        advance(resumed)
        try:
            for chunk in response.iter_content(_CHUNK):
                out.write(chunk)
                advance(len(chunk))
            out.flush()
            os.fsync(out.fileno())
        except requests.RequestException as error:
            raise _PassingError(str(error)) from error
        except OSError as error:
            raise DownloadError(f"{label}: writing {part} failed: {error}") from error


def _file_name(response: requests.Response, source: Source) -> str:
    """The file's name as the server gives it, without any folder."""
    header = Message()
    header["Content-Disposition"] = response.headers.get("Content-Disposition", "")
    given = header.get_filename() or unquote(urlsplit(source.url).path)
    name = PurePosixPath(given.replace("\\", "/")).name.lstrip(".")
    return name if name and name != _PART else f"{source.name}.archive"
