"""One file over HTTP: planned, then done; resumed, verified, never half under its name."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import requests

from melee_pipeline.errors import DownloadError, PassingDownloadError
from melee_pipeline.progress import Progress
from melee_pipeline.sources.kinds import cut_off
from melee_pipeline.sources.plan import Network, Partial, Plan, Remote, plan_download
from melee_pipeline.sources.receive import (
    PassingError,
    UselessPartError,
    plain_reason,
    receive,
)
from melee_pipeline.store import read_json, sync_folder, write_json

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses that may pass by themselves


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a download lies on its way. The names are hidden: no server names a file so."""

    folder: Path
    key: str

    @property
    def part(self) -> Path:
        return self.folder / f".{self.key}.part"

    @property
    def note(self) -> Path:
        return self.folder / f".{self.key}.json"

    def partial(self) -> Partial | None:
        """What an earlier try left, if its note and its bytes are both there."""
        if not self.note.exists():
            return None
        noted = Partial(**read_json(self.note))
        file = self.folder / noted.name if noted.name else self.part
        if noted.name and self.part.exists():
            file = self.part  # it was whole, and killed before it got its name
        return replace(noted, size=file.stat().st_size) if file.exists() else None


def download(
    remote: Remote, folder: Path, progress: Progress, network: Network
) -> tuple[Path, int]:
    """Fetch a file into `folder`: its path, and from which byte it was resumed.

    A file that arrived whole in an earlier run is not fetched again until `forget` is called.
    Raises DownloadError that names the source, what went wrong and what to do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = _Place(folder, key_of(remote.url))
    failures, wait, most = 0, network.first_wait, 0
    while True:
        partial = place.partial()
        if partial and partial.name and partial.size == partial.total:
            return _finish(place, partial)
        try:
            return _try_once(remote, place, partial, progress, network)
        except (PassingError, requests.ConnectionError, requests.Timeout) as error:
            left = place.partial()
            if left is not None and left.size > most:
                failures, wait, most = 0, network.first_wait, left.size
            failures += 1
            reason = plain_reason(error, remote.url, network.timeout)
            if failures >= network.tries:
                then = "What has arrived is kept; run again to go on" if most else "Run again later"
                raise PassingDownloadError(
                    f"{remote.label}: {remote.url} failed {failures} times, last: {reason}. {then}"
                ) from error
            if isinstance(error, UselessPartError):
                place.part.unlink(missing_ok=True)
            seconds = _wait(error, wait, remote, network)
            label = f"{remote.label}: {reason}; before try {failures + 1} of {network.tries}"
            with progress.task(label, round(seconds), "seconds") as advance:
                network.sleep(seconds)
                advance(round(seconds))
            wait *= 2
        except requests.RequestException as error:
            raise DownloadError(f"{remote.label}: {remote.url}: {error}") from error


def key_of(url: str) -> str:
    """A short name for what lies on its way from a URL."""
    return sha256(url.encode()).hexdigest()[:12]


def forget(folder: Path, url: str) -> None:
    """Remove the note that a file has arrived whole: whoever fetched it has recorded it."""
    _Place(folder, key_of(url)).note.unlink(missing_ok=True)


def _wait(error: Exception, wait: float, remote: Remote, network: Network) -> float:
    asked = error.retry_after if isinstance(error, PassingError) else 0.0
    if asked > network.longest_wait:
        raise DownloadError(
            f"{remote.label}: {remote.url}: {error}, and to come back in {asked:,.0f} s. What has "
            "arrived is kept; run again then"
        ) from error
    return max(asked, min(wait, network.longest_wait))


def _try_once(
    remote: Remote, place: _Place, partial: Partial | None, progress: Progress, network: Network
) -> tuple[Path, int]:
    plan = plan_download(remote.url, partial)
    with (
        requests.Session() as session,
        remote.open(session, plan.headers, network.timeout) as response,
    ):
        start = _accept(remote, response, plan)
        total = _announced_size(remote, response, start)
        noted = Partial(remote.url, _validator(response), total, resumed_from=start)
        if start and partial is not None and noted.validator not in ("", partial.validator):
            raise UselessPartError("the file has changed on the server")
        _need_space(remote, place.folder, (total or 0) - start, network)
        if not start:
            # Before the note: bytes of an older file must never lie beside a newer one's note.
            place.part.unlink(missing_ok=True)
        write_json(place.note, _fields(noted))
        receive(response, place.part, start, total, remote.label, progress, network.spare)
        name = remote.prefix + _file_name(response, remote)
    size = place.part.stat().st_size
    if total is not None and size != total:
        raise PassingError(f"{size:,} of {total:,} bytes arrived")
    if reason := cut_off(place.part):
        place.part.unlink()
        if total is None:
            raise PassingError(f"the archive that arrived is cut off: {reason}")
        raise DownloadError(
            f"{remote.label}: all {total:,} bytes that {remote.url} announced have arrived, but "
            f"the archive is cut off: {reason}. Run again; if it stays so, the server's own file "
            "is damaged: tell its owner"
        )
    whole = replace(noted, total=size, name=name)
    write_json(place.note, _fields(whole))
    return _finish(place, whole)


def _fields(partial: Partial) -> dict[str, object]:
    return {key: value for key, value in asdict(partial).items() if key != "size"}


def _finish(place: _Place, whole: Partial) -> tuple[Path, int]:
    """Give a file that has arrived its name."""
    target = place.folder / whole.name
    if place.part.exists():
        place.part.replace(target)
        sync_folder(place.folder)
    return target, whole.resumed_from


def _accept(remote: Remote, response: requests.Response, plan: Plan) -> int:
    """From which byte the body starts. Raises for whatever is not the file."""
    status = response.status_code
    if status in _PASSING:
        raise PassingError(
            f"the server answered {status} {response.reason}", retry_after=_retry_after(response)
        )
    if status == 416:
        raise UselessPartError("the server has no such range")
    if status not in (200, 206):
        raise DownloadError(
            f"{remote.label}: {remote.url} answered {status} {response.reason}; open it in a "
            "browser, and correct the source's location if it has moved"
        )
    kind = response.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        raise DownloadError(
            f"{remote.label}: {remote.url} answered with a web page in place of an archive: the "
            "link may be wrong, private or rate-limited. Open it in a browser; if it works there, "
            "save the file and register it: melee-pipeline sources add NAME PATH"
        )
    if status == 200:
        return 0
    begins = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    if begins != str(plan.resume_from):
        raise UselessPartError(f"bytes from {plan.resume_from} were asked for, {begins} came")
    return plan.resume_from


def _retry_after(response: requests.Response) -> float:
    """Seconds that the server asks to wait: a number or a date (RFC 9110)."""
    asked = response.headers.get("Retry-After", "").strip()
    if asked.isdigit():
        return float(asked)
    try:
        then = parsedate_to_datetime(asked)
    except ValueError:
        return 0.0
    return max(0.0, (then.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _validator(response: requests.Response) -> str:
    """What If-Range may hold: a strong ETag, else a date; empty for neither."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _announced_size(remote: Remote, response: requests.Response, start: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    total = int(length) + start if length.isdigit() else None
    if total is not None and remote.bytes is not None and total != remote.bytes:
        raise DownloadError(
            f"{remote.label}: {remote.url} has {total:,} bytes, the catalogue announces "
            f"{remote.bytes:,}: it is another file; correct the source's entry"
        )
    return total if total is not None else remote.bytes


def _need_space(remote: Remote, folder: Path, size: int, network: Network) -> None:
    free = shutil.disk_usage(folder).free
    if size + network.spare > free:
        raise DownloadError(
            f"{remote.label}: {size:,} bytes are to come, {free:,} are free in {folder}; "
            "free some, or put the data root elsewhere (--data)"
        )


def _file_name(response: requests.Response, remote: Remote) -> str:
    """The file's name as the server gives it, without any folder."""
    header = Message()
    header["Content-Disposition"] = response.headers.get("Content-Disposition", "")
    given = header.get_filename() or unquote(urlsplit(remote.url).path)
    name = PurePosixPath(given.replace("\\", "/").replace("\0", "")).name.lstrip(".")
    return name[-80:] if name else "archive"
