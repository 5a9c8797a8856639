"""Google Drive, played by a local server: its confirm page, its quota page, its sign-in page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from melee_pipeline.errors import DownloadError
from melee_pipeline.progress import Progress
from melee_pipeline.sources.catalog import Source
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.sources.drive import drive_id
from melee_pipeline.sources.plan import Network
from melee_pipeline.store import Stamp, Store
from melee_pipeline_tests.sources import server
from melee_pipeline_tests.sources.archives import replay_bytes, zip_bytes
from melee_pipeline_tests.sources.server import Answer, File, Request, Site

ID = "1pFjgh1dapX34s0T-Q1TC7JUO-qjYbQZf"
ARCHIVE = zip_bytes({f"{i}.slp": replay_bytes(i) for i in range(200)}, compression=0)
CONFIRM = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head>
<body><p class="uc-warning-caption">Google Drive can't scan this file for viruses.</p>
<form id="search" action="/elsewhere"><input type="hidden" name="q" value="no"></form>
<form id="download-form" action="{base}" method="get">
<input type="submit" id="uc-download-link" value="Download anyway"/>
<input type="hidden" name="id" value="{id}"><input type="hidden" name="export" value="download">
<input type="hidden" name="confirm" value="t"><input type="hidden" name="uuid" value="a&amp;b">
</form></body></html>"""
QUOTA = b"""<html><head><title>Google Drive - Quota exceeded</title></head><body>
<p class="uc-error-caption">Sorry, you can't view or download this file at this time.</p>
<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.</p>
</body></html>"""
PRIVATE = b"<html><head><title>Google Drive: Sign-in</title></head><body></body></html>"


@dataclass
class Drive:
    """A site that plays Google Drive: large files are behind the page that asks to confirm."""

    site: Site
    file: File

    def answer(self, file: File, request: Request) -> Answer:
        """The confirm page, or the file for who has filled the form in."""
        query = parse_qs(request.query)
        assert query["id"] == [ID]
        if query.get("confirm") == ["t"] and query.get("uuid") == ["a&b"]:
            fault = self.file.faults.pop(0) if self.file.faults else server.good
            return fault(self.file, request)
        page = CONFIRM.format(base=f"{self.site.url}/download", id=ID).encode()
        return server.page(page)(file, request)


@pytest.fixture
def drive() -> Iterator[Drive]:
    with server.site() as site:
        headers = {
            "Content-Disposition": 'attachment; filename="Ranked games.zip"',
            "Last-Modified": "Sat, 01 Feb 2020 10:00:00 GMT",
        }
        found = Drive(site, File(ARCHIVE, None, headers))
        site.files["/download"] = File(b"", faults=[found.answer] * 50)
        yield found


def get(store: Store, drive: Drive, progress: Progress, location: str = ID) -> Stamp:
    network = Network(tries=3, first_wait=0.01, drive=f"{drive.site.url}/download")
    source = Source(name="ranked-1", kind="google_drive", location=location)
    return fetch_archive(store, source, progress, network)


def test_the_confirm_page_is_answered(store: Store, drive: Drive, quiet: Progress) -> None:
    stamp = get(store, drive, quiet)
    path = Path(stamp.facts["file"])
    assert path.read_bytes() == ARCHIVE
    assert path.name == "Ranked games.zip"
    assert stamp.facts["url"] == ID
    assert not get(store, drive, quiet).fresh


def test_a_small_file_comes_at_once(store: Store, drive: Drive, quiet: Progress) -> None:
    drive.site.files["/download"] = drive.file
    assert Path(get(store, drive, quiet).facts["file"]).read_bytes() == ARCHIVE
    assert len(drive.site.requests) == 1


def test_a_broken_download_is_resumed_behind_the_page(
    store: Store, drive: Drive, quiet: Progress
) -> None:
    drive.file.faults.append(server.reset_after(300_000))
    stamp = get(store, drive, quiet)
    assert Path(stamp.facts["file"]).read_bytes() == ARCHIVE
    assert stamp.report["resumed_from"] > 0


@pytest.mark.parametrize("behind_the_form", [False, True])
def test_the_quota_page_says_when_to_come_back(
    store: Store, drive: Drive, quiet: Progress, behind_the_form: bool
) -> None:
    if behind_the_form:
        drive.file.faults.append(server.page(QUOTA))
    else:
        drive.site.files["/download"] = File(QUOTA, headers={"Content-Type": "text/html"})
    with pytest.raises(DownloadError, match=r"ranked-1: .*Quota exceeded.*within 24 hours"):
        get(store, drive, quiet)
    assert [p for p in store.archives("ranked-1").iterdir() if not p.name.startswith(".")] == []


def test_another_page_is_named_by_its_title(store: Store, drive: Drive, quiet: Progress) -> None:
    drive.site.files["/download"] = File(PRIVATE, headers={"Content-Type": "text/html"})
    with pytest.raises(DownloadError, match=r"a page \(Google Drive: Sign-in\)"):
        get(store, drive, quiet)


def test_a_file_that_is_gone_is_named(store: Store, drive: Drive, quiet: Progress) -> None:
    drive.site.files.clear()
    with pytest.raises(DownloadError, match=r"ranked-1: .* answered 404"):
        get(store, drive, quiet)


@pytest.mark.parametrize(
    "location",
    [
        ID,
        f"https://drive.google.com/file/d/{ID}/view?usp=sharing",
        f"https://drive.google.com/file/d/{ID}",
        f"https://drive.google.com/open?id={ID}",
        f"https://drive.google.com/uc?export=download&id={ID}",
        f"https://drive.usercontent.google.com/download?id={ID}&confirm=t",
    ],
)
def test_ids_are_read_off_links_of_any_form(location: str) -> None:
    assert drive_id("ranked-1", location) == ID


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("https://drive.google.com/drive/folders/abcdefghijkl", "is a folder on Google Drive"),
        ("https://drive.google.com/", "holds no Google Drive file id"),
        ("not an id", "holds no Google Drive file id"),
        ("", "holds no Google Drive file id"),
    ],
)
def test_what_holds_no_id_is_named(location: str, says: str) -> None:
    with pytest.raises(DownloadError, match=says):
        drive_id("ranked-1", location)
