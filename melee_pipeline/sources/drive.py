"""Files on Google Drive: large ones are behind a page that asks to confirm, some over quota."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from urllib.parse import parse_qs, urljoin, urlsplit

import requests

from melee_pipeline.errors import DownloadError
from melee_pipeline.sources.plan import Opener

_ID = re.compile(r"[A-Za-z0-9_-]{10,}")
_PAGE = 1 << 20  # bytes of a page that are read


def drive_id(label: str, location: str) -> str:
    """The file's id, from itself or from a link of any form. Raises DownloadError for others."""
    parts = urlsplit(location)
    segments = parts.path.split("/")
    if "folders" in segments:
        raise DownloadError(
            f"{label}: {location} is a folder on Google Drive; give the files in it, as a list of "
            "their own links (Share, Copy link)"
        )
    found = location if not parts.scheme else "".join(parse_qs(parts.query).get("id", []))
    if not found and "d" in segments[:-1]:
        found = segments[segments.index("d") + 1]
    if not _ID.fullmatch(found):
        raise DownloadError(
            f"{label}: {location} holds no Google Drive file id; expected the id itself or a link "
            "such as https://drive.google.com/file/d/ID/view"
        )
    return found


def drive_url(base: str, file_id: str) -> str:
    """Where a file is asked for."""
    return f"{base}?id={file_id}&export=download"


def open_drive(label: str, url: str) -> Opener:
    """Requests for a file on Google Drive, with the page that asks to confirm answered."""

    def opener(
        session: requests.Session, headers: Mapping[str, str], timeout: float
    ) -> requests.Response:
        response = session.get(url, headers=headers, stream=True, timeout=timeout)
        if response.status_code != 200 or not _is_page(response):
            return response
        with response:
            text = response.raw.read(_PAGE, decode_content=True).decode("utf-8", "replace")
            page = _Page(text)
        if not page.action:
            raise DownloadError(f"{label}: {_why(page, text, response.url)}")
        confirmed = session.get(
            urljoin(response.url, page.action),
            params=page.fields,
            headers=headers,
            stream=True,
            timeout=timeout,
        )
        if confirmed.status_code == 200 and _is_page(confirmed):
            with confirmed:
                text = confirmed.raw.read(_PAGE, decode_content=True).decode("utf-8", "replace")
            raise DownloadError(f"{label}: {_why(_Page(text), text, confirmed.url)}")
        return confirmed

    return opener


def _is_page(response: requests.Response) -> bool:
    return response.headers.get("Content-Type", "").lower().startswith("text/html")


def _why(page: _Page, text: str, url: str) -> str:
    said = page.title or "a page without a title"
    by_hand = "download it in a browser and register the file: melee-pipeline sources add NAME PATH"
    if "quota" in text.lower() or "too many users" in text.lower():
        return (
            f"Google Drive refuses it for now ({said}): too many people have downloaded the file. "
            "The quota is freed within 24 hours: run again then. Or copy the file to a Drive of "
            f"your own, or {by_hand}"
        )
    if "accounts.google.com" in url:
        return f"this Google Drive file is not public ({said}); ask its owner, or {by_hand}"
    return f"Google Drive answered with a page ({said}) in place of the file; {by_hand}"


class _Page(HTMLParser):
    """The title of a page, and the form that downloads when it is sent."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.title, self.action = "", ""
        self.fields: dict[str, str] = {}
        self._in_title = self._in_form = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "title":
            self._in_title = True
        elif tag == "form" and values.get("id") == "download-form":
            self._in_form, self.action = True, values.get("action", "")
        elif tag == "input" and self._in_form and values.get("name"):
            self.fields[values["name"]] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        elif tag == "form":
            self._in_form = False

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data.strip()
