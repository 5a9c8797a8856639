"""Downloads from a real server that does all that servers do to large files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from melee_pipeline.errors import DownloadError
from melee_pipeline.progress import Advance, Progress, Quiet
from melee_pipeline.sources.catalog import Source
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.sources.http import download
from melee_pipeline.sources.plan import Network, Remote, open_url
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
    refused = (
        r"s: http://127\.0\.0\.1:9/a\.zip failed 3 times, last: no connection to 127\.0\.0\.1: "
    )
    with pytest.raises(DownloadError, match=rf"^{refused}Connection refused\. Run again later$"):
        get(store, "http://127.0.0.1:9/a.zip", quiet)
    unknown = r"no machine is known as nowhere\.invalid \(a wrong link, or no network here\)"
    with pytest.raises(DownloadError, match=rf"{unknown}\. Run again later$"):
        get(store, "http://nowhere.invalid/a.zip", quiet)


def test_a_wait_before_another_try_is_told(store: Store) -> None:
    told: list[tuple[str, int | None, str]] = []

    class Telling(Quiet):
        @contextmanager
        def task(self, label: str, total: int | None, unit: str) -> Iterator[Advance]:
            told.append((label, total, unit))
            yield lambda count, note="": None

    with pytest.raises(DownloadError):
        get(store, "http://127.0.0.1:9/a.zip", Telling())
    why = "s: no connection to 127.0.0.1: Connection refused"
    assert [label for label, *_ in told] == [f"{why}; before try {n} of 3" for n in (2, 3)]
    assert {unit for *_, unit in told} == {"seconds"}


def test_a_resume_that_is_answered_with_another_file_starts_over(
    store: Store, site: Site, quiet: Progress
) -> None:
    def change(file: server.File, request: server.Request) -> server.Answer:
        file.body, file.etag = OTHER, '"v2"'
        return server.ignore_if_range(file, request)

    url = site.serve("/a.zip", ARCHIVE, server.reset_after(300_000), change)
    assert arrived(get(store, url, quiet)) == OTHER


def test_a_change_that_is_killed_at_its_start_mixes_nothing(
    store: Store, site: Site, quiet: Progress
) -> None:
    """The new file's validator must never stand beside the old one's bytes."""

    def change(file: server.File, request: server.Request) -> server.Answer:
        file.body, file.etag = OTHER, '"v2"'
        return server.reset_after(0)(file, request)

    url = site.serve("/a.zip", ARCHIVE, server.reset_after(300_000), change)
    assert arrived(get(store, url, quiet)) == OTHER
    assert site.ranges()[-1] is None


def test_a_range_that_was_not_asked_for_starts_over(
    store: Store, site: Site, quiet: Progress
) -> None:
    url = site.serve("/a.zip", ARCHIVE, server.reset_after(300_000), server.wrong_range)
    assert arrived(get(store, url, quiet)) == ARCHIVE


def test_a_file_that_has_become_shorter_starts_over(
    store: Store, site: Site, quiet: Progress
) -> None:
    short = zip_bytes({"1.slp": replay_bytes(1)})

    def change(file: server.File, request: server.Request) -> server.Answer:
        file.body = short  # with the same validator, as bad servers do
        return file.asked(request)

    url = site.serve("/a.zip", ARCHIVE, server.reset_after(300_000), change)
    assert arrived(get(store, url, quiet)) == short


def test_a_weak_etag_is_no_validator_but_a_date_is(
    store: Store, site: Site, quiet: Progress
) -> None:
    url = site.serve("/a.zip", ARCHIVE, server.reset_after(300_000), etag='W/"v1"')
    date = "Sat, 01 Feb 2020 10:00:00 GMT"
    site.files["/a.zip"].headers["Last-Modified"] = date
    assert arrived(get(store, url, quiet)) == ARCHIVE
    assert site.requests[1].headers["If-Range"] == date


@pytest.mark.parametrize("missing", [1, 40, 100_000])
def test_too_long_a_body_is_not_cut_to_what_was_announced(
    store: Store, site: Site, quiet: Progress, missing: int
) -> None:
    url = site.serve("/a.zip", ARCHIVE, server.says_length(len(ARCHIVE) - missing))
    with pytest.raises(DownloadError, match="the archive is cut off"):
        get(store, url, quiet)
    assert left(store) == []
    assert arrived(get(store, url, quiet)) == ARCHIVE


def test_an_end_that_comes_too_early_in_good_order_is_noticed(
    store: Store, site: Site, quiet: Progress
) -> None:
    url = site.serve("/a.zip", ARCHIVE, server.cut_without_length(200_000))
    assert arrived(get(store, url, quiet)) == ARCHIVE


def test_a_connection_that_falls_silent_is_given_up_and_resumed(
    store: Store, site: Site, quiet: Progress
) -> None:
    url = site.serve("/a.zip", ARCHIVE, server.stall_after(300_000))
    source = Source(name="s", kind="http", location=url)
    stamp = fetch_archive(store, source, quiet, replace(SOON, timeout=0.3))
    assert arrived(stamp) == ARCHIVE
    assert stamp.report["resumed_from"] > 0


def test_tries_are_counted_from_the_last_progress(
    store: Store, site: Site, quiet: Progress
) -> None:
    url = site.serve("/a.zip", ARCHIVE, *[server.reset_after(100_000)] * 5)
    assert arrived(get(store, url, quiet)) == ARCHIVE
    assert len(site.requests) > SOON.tries


def test_redirects_in_a_circle_are_named(store: Store, site: Site, quiet: Progress) -> None:
    url = site.serve("/a", b"", *[server.status(302, Location="/a")] * 99)
    with pytest.raises(DownloadError, match=r"s: .*/a: .*redirects"):
        get(store, url, quiet)


@pytest.mark.parametrize("url", ["http://", "http://exa mple/x", "gopher://x/y"])
def test_a_url_that_cannot_be_is_named(store: Store, quiet: Progress, url: str) -> None:
    with pytest.raises(DownloadError, match="s: "):
        get(store, url, quiet)


def test_the_wait_that_a_server_asks_for_is_kept(store: Store, site: Site, quiet: Progress) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    busy = [
        server.status(429, Retry_After="7"),
        server.status(503, Retry_After=later),
        server.status(503, Retry_After="soon"),
    ]
    url = site.serve("/a.zip", ARCHIVE, *busy)
    waits: list[float] = []
    network = Network(tries=9, first_wait=0.5, sleep=waits.append)
    fetch_archive(store, Source(name="s", kind="http", location=url), quiet, network)
    asked, until, own = waits
    assert (asked, own) == (7, 2.0)  # its own wait doubles: 0.5, 1, 2
    assert 90 < until <= 100


def test_too_long_a_wait_is_left_to_the_user(store: Store, site: Site, quiet: Progress) -> None:
    url = site.serve("/a.zip", ARCHIVE, server.status(429, Retry_After="86400"))
    with pytest.raises(DownloadError, match=r"429.*come back in 86,400 s.*run again then"):
        get(store, url, quiet)


def test_an_announced_size_is_verified(store: Store, site: Site, quiet: Progress) -> None:
    url = site.serve("/a.zip", ARCHIVE)
    wrong = Source(name="s", kind="http", location=url, bytes=5)
    with pytest.raises(DownloadError, match=r"the catalogue announces 5: it is another file"):
        fetch_archive(store, wrong, quiet, SOON)
    right = Source(name="s", kind="http", location=url, bytes=len(ARCHIVE))
    assert arrived(fetch_archive(store, right, quiet, SOON)) == ARCHIVE


def test_a_file_that_arrived_but_was_not_recorded_is_not_fetched_again(
    store: Store, site: Site, quiet: Progress
) -> None:
    """A run may be killed after the last byte: of a hundred gigabytes, that hurts."""
    url = site.serve("/a.zip", ARCHIVE)
    remote = Remote("s", url, open_url(url))
    path, _ = download(remote, store.archives("s"), quiet, SOON)
    assert get(store, url, quiet).facts["file"] == str(path)
    assert len(site.requests) == 1
    assert {p.name for p in store.archives("s").iterdir()} == {"a.zip"}


def test_a_download_that_does_not_fit_is_refused_before_it_starts(
    store: Store, site: Site, quiet: Progress
) -> None:
    url = site.serve("/a.zip", ARCHIVE)
    network = replace(SOON, spare=1 << 60)
    with pytest.raises(DownloadError, match=rf"{len(ARCHIVE):,} bytes are to come, .* are free"):
        fetch_archive(store, Source(name="s", kind="http", location=url), quiet, network)
    assert left(store) == []


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ('attachment; filename="download.json"', "download.json"),
        ("attachment; filename*=UTF-8''%C3%A9t%C3%A9.zip", "été.zip"),
        ('attachment; filename=".hidden.zip"', "hidden.zip"),
        (f'attachment; filename="{"x" * 300}.zip"', "x" * 76 + ".zip"),
        ('attachment; filename=""', "get"),
    ],
)
def test_odd_names_of_servers(
    store: Store, site: Site, quiet: Progress, given: str, name: str
) -> None:
    url = site.serve("/get", ARCHIVE)
    site.files["/get"].headers["Content-Disposition"] = given
    get(store, url, quiet)
    assert left(store) == [name]


def test_a_new_location_replaces_the_old_archive(store: Store, site: Site, quiet: Progress) -> None:
    get(store, site.serve("/a.zip", ARCHIVE), quiet)
    stamp = get(store, site.serve("/b.zip", OTHER), quiet)
    assert arrived(stamp) == OTHER
    assert left(store) == ["b.zip"]
