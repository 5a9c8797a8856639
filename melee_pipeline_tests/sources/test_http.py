"""Downloads from a real server that does all that servers do to large files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from melee_pipeline.errors import DownloadError
from melee_pipeline.progress import Progress
from melee_pipeline.sources.catalog import Source
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.sources.plan import Network
from melee_pipeline.store import Stamp, Store
from melee_pipeline_tests.sources import server
from melee_pipeline_tests.sources.archives import replay_bytes, zip_bytes
from melee_pipeline_tests.sources.server import HTML, Site

SOON = Network(tries=3, first_wait=0.01, timeout=5)
ARCHIVE = zip_bytes({f"{i}.slp": replay_bytes(i) for i in range(200)}, compression=0)
OTHER = zip_bytes({f"new-{i}.slp": replay_bytes(i + 50) for i in range(240)}, compression=0)
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()


@pytest.fixture
def site() -> Iterator[Site]:
    with server.site() as found:
        yield found


def get(store: Store, url: str, progress: Progress, **entry: str) -> Stamp:
    source = Source(name="s", kind="http", location=url, **entry)  # type: ignore[arg-type]
    return fetch_archive(store, source, progress, SOON)


def arrived(stamp: Stamp) -> bytes:
    return Path(stamp.facts["file"]).read_bytes()


def left(store: Store) -> list[str]:
    return sorted(p.name for p in store.archives("s").glob("*") if not p.name.startswith("."))


def test_a_file_arrives_whole_and_is_recorded(store: Store, site: Site, quiet: Progress) -> None:
    url = site.serve("/dump/games%20%C3%A9.zip", ARCHIVE)
    stamp = get(store, url, quiet)
    assert arrived(stamp) == ARCHIVE
    assert stamp.version == SHA256
    assert (stamp.facts["url"], stamp.facts["bytes"], stamp.facts["sha256"]) == (
        url,
        len(ARCHIVE),
        SHA256,
    )
    assert left(store) == ["games é.zip"]


def test_what_is_there_is_not_fetched_again(store: Store, site: Site, quiet: Progress) -> None:
    url = site.serve("/a.zip", ARCHIVE)
    get(store, url, quiet)
    assert not get(store, url, quiet).fresh
    assert len(site.requests) == 1


def test_an_archive_that_was_deleted_or_cut_is_fetched_again(
    store: Store, site: Site, quiet: Progress
) -> None:
    url = site.serve("/a.zip", ARCHIVE)
    path = Path(get(store, url, quiet).facts["file"])
    path.unlink()
    assert arrived(get(store, url, quiet)) == ARCHIVE
    path.write_bytes(ARCHIVE[:-1])
    assert arrived(get(store, url, quiet)) == ARCHIVE
    assert len(site.requests) == 3


def test_a_connection_that_is_reset_is_resumed(store: Store, site: Site, quiet: Progress) -> None:
    url = site.serve("/a.zip", ARCHIVE, server.reset_after(300_000), server.reset_after(150_000))
    stamp = get(store, url, quiet)
    assert arrived(stamp) == ARCHIVE
    first, second, third = site.ranges()
    assert first is None
    assert second is not None
    assert third is not None
    # A reset may throw away what the client had not read yet, so less can be there than was sent.
    starts = [int(r.removeprefix("bytes=").removesuffix("-")) for r in (second, third)]
    assert 0 < starts[0] <= 300_000
    assert starts[0] <= starts[1] <= starts[0] + 150_000
    assert [r.headers.get("If-Range") for r in site.requests] == [None, '"v1"', '"v1"']


def test_a_later_run_resumes_what_an_earlier_one_left(
    store: Store, site: Site, quiet: Progress
) -> None:
    url = site.serve("/a.zip", ARCHIVE, server.reset_after(300_000), *[server.status(503)] * 9)
    with pytest.raises(DownloadError, match=r"s: .* failed 3 times.*run again to go on"):
        get(store, url, quiet)
    assert left(store) == []
    site.files["/a.zip"].faults.clear()
    stamp = get(store, url, quiet)
    assert arrived(stamp) == ARCHIVE
    assert stamp.report["resumed_from"] > 0
    assert site.ranges()[-1] == f"bytes={stamp.report['resumed_from']}-"


def test_a_server_that_ignores_ranges_starts_over(
    store: Store, site: Site, quiet: Progress
) -> None:
    url = site.serve("/a.zip", ARCHIVE, server.reset_after(300_000), server.ignore_range)
    assert arrived(get(store, url, quiet)) == ARCHIVE


def test_a_file_that_changes_between_tries_starts_over(
    store: Store, site: Site, quiet: Progress
) -> None:
    changed = server.changed_to(OTHER, '"v2"')
    url = site.serve("/a.zip", ARCHIVE, server.reset_after(300_000), changed)
    assert arrived(get(store, url, quiet)) == OTHER


def test_without_a_validator_nothing_is_resumed(store: Store, site: Site, quiet: Progress) -> None:
    url = site.serve("/a.zip", ARCHIVE, server.reset_after(300_000), etag=None)
    assert arrived(get(store, url, quiet)) == ARCHIVE
    assert site.ranges() == [None, None]


def test_too_short_a_body_is_not_taken_for_the_file(
    store: Store, site: Site, quiet: Progress
) -> None:
    lie = server.says_length(len(ARCHIVE) + 1000)
    url = site.serve("/a.zip", ARCHIVE, *[lie] * 9)
    with pytest.raises(DownloadError, match="failed 3 times"):
        get(store, url, quiet)
    assert left(store) == []


def test_no_length_at_all_is_fine(store: Store, site: Site, quiet: Progress) -> None:
    url = site.serve("/a.zip", ARCHIVE, server.no_length)
    assert arrived(get(store, url, quiet)) == ARCHIVE


def test_a_redirect_is_followed(store: Store, site: Site, quiet: Progress) -> None:
    site.serve("/there/real.zip", ARCHIVE)
    url = site.serve("/a", b"", server.status(302, Location="/there/real.zip"))
    stamp = get(store, url, quiet)
    assert arrived(stamp) == ARCHIVE
    assert stamp.facts["url"] == url


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504, 408])
def test_a_passing_failure_is_tried_again(
    store: Store, site: Site, quiet: Progress, code: int
) -> None:
    url = site.serve("/a.zip", ARCHIVE, server.status(code))
    assert arrived(get(store, url, quiet)) == ARCHIVE


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_lasting_failure_is_named_at_once(
    store: Store, site: Site, quiet: Progress, code: int
) -> None:
    url = site.serve("/a.zip", ARCHIVE, server.status(code))
    with pytest.raises(DownloadError, match=rf"s: {url} answered {code}.*browser"):
        get(store, url, quiet)
    assert len(site.requests) == 1


def test_a_web_page_with_status_200_is_refused(store: Store, site: Site, quiet: Progress) -> None:
    url = site.serve("/a.zip", ARCHIVE, server.page(HTML))
    with pytest.raises(DownloadError, match="web page"):
        get(store, url, quiet)
    assert left(store) == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (HTML, "application/octet-stream"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "application/xml"),
        (b'{"error": "rate limited"}', "application/json"),
        (b"Too many requests", "text/plain"),
        (b"", "application/zip"),
    ],
)
def test_an_error_body_with_status_200_is_refused(
    store: Store, site: Site, quiet: Progress, body: bytes, kind: str
) -> None:
    url = site.serve("/a.zip", ARCHIVE, *[server.page(body, kind)] * 9)
    with pytest.raises(DownloadError, match="s: "):
        get(store, url, quiet)
    assert left(store) == []


def test_an_announced_hash_is_verified(store: Store, site: Site, quiet: Progress) -> None:
    url = site.serve("/a.zip", ARCHIVE)
    with pytest.raises(DownloadError, match=rf"sha256 {SHA256}, announced was {'0' * 64}"):
        get(store, url, quiet, sha256="0" * 64)
    assert left(store) == []
    assert get(store, url, quiet, sha256=SHA256).version == SHA256


def test_a_name_given_by_the_server_stays_in_the_folder(
    store: Store, site: Site, quiet: Progress
) -> None:
    url = site.serve("/get", ARCHIVE)
    site.files["/get"].headers["Content-Disposition"] = 'attachment; filename="../../evil.zip"'
    get(store, url, quiet)
    assert left(store) == ["evil.zip"]


def test_nobody_there_is_named(store: Store, quiet: Progress) -> None:
    with pytest.raises(DownloadError, match=r"s: http://127\.0\.0\.1:9/a\.zip failed 3 times"):
        get(store, "http://127.0.0.1:9/a.zip", quiet)
