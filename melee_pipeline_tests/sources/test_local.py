"""Files and folders on this machine, archives fetched by hand, and sources of several archives."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from melee_pipeline.errors import CatalogError, DownloadError
from melee_pipeline.lineage import sources_of
from melee_pipeline.progress import Progress
from melee_pipeline.sources.catalog import Source, load_catalog
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.sources.extract import extract_replays, replay_files
from melee_pipeline.sources.plan import Network
from melee_pipeline.store import GAMES, SHARDS, Stamp, Store
from melee_pipeline_tests.sources import server
from melee_pipeline_tests.sources.archives import archive_bytes, replay_bytes, write
from melee_pipeline_tests.sources.server import Site

SOON = Network(tries=2, first_wait=0.01)
ONE = archive_bytes("7z", {"same name.slp": replay_bytes(1), "only one.slp": replay_bytes(2)})
TWO = archive_bytes("zip", {"same name.slp": replay_bytes(3)})


@pytest.fixture
def site() -> Iterator[Site]:
    with server.site() as found:
        yield found


def local(path: Path) -> Source:
    return Source(name="mine", kind="local", location=str(path))


def names(store: Store, source: str = "mine") -> dict[str, bytes]:
    return {file.name: file.path.read_bytes() for file in replay_files(store, source)}


def test_an_archive_is_used_where_it_lies(store: Store, tmp_path: Path, quiet: Progress) -> None:
    path = write(tmp_path, "games.7z", ONE)
    stamp = fetch_archive(store, local(path), quiet)
    assert (stamp.facts["file"], stamp.facts["bytes"]) == (str(path), len(ONE))
    assert stamp.version == stamp.facts["sha256"] == hashlib.sha256(ONE).hexdigest()
    assert not store.archives("mine").exists()
    assert not fetch_archive(store, local(path), quiet).fresh
    path.write_bytes(TWO)
    assert fetch_archive(store, local(path), quiet).version == hashlib.sha256(TWO).hexdigest()


def test_a_folder_of_archives_and_replays_gives_all_of_them(
    store: Store, tmp_path: Path, quiet: Progress
) -> None:
    folder = tmp_path / "replays été"
    write(folder, "deep/one.7z", ONE)
    write(folder, "two.zip", TWO)
    loose = write(folder, "loose.slp", replay_bytes(9))
    write(folder, "notes.zip", b"not an archive, whatever it is called")
    fetch_archive(store, local(folder), quiet)
    stamp = extract_replays(store, "mine", quiet)
    assert stamp.report["replays"] == 4
    assert names(store) == {
        "deep_one.7z/only one.slp": replay_bytes(2),
        "deep_one.7z/same name.slp": replay_bytes(1),
        "loose.slp": replay_bytes(9),
        "two.zip/same name.slp": replay_bytes(3),
    }
    assert loose in {file.path for file in replay_files(store, "mine")}


def test_only_what_is_new_in_a_folder_is_extracted(
    store: Store, tmp_path: Path, quiet: Progress
) -> None:
    write(tmp_path / "in", "one.7z", ONE)
    fetch_archive(store, local(tmp_path / "in"), quiet)
    extract_replays(store, "mine", quiet)
    before = {file.path: file.path.stat().st_ino for file in replay_files(store, "mine")}
    two = write(tmp_path / "in", "two.zip", TWO)
    fetch_archive(store, local(tmp_path / "in"), quiet)
    extract_replays(store, "mine", quiet)
    after = {file.path: file.path.stat().st_ino for file in replay_files(store, "mine")}
    assert after.items() > before.items()
    two.unlink()
    fetch_archive(store, local(tmp_path / "in"), quiet)
    extract_replays(store, "mine", quiet)
    assert {file.path for file in replay_files(store, "mine")} == before.keys()


@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_a_place_without_replays_is_named(
    store: Store, tmp_path: Path, quiet: Progress, kind: str
) -> None:
    path = tmp_path / "x.7z"
    if kind == "file":
        path.write_bytes(b"text")
    elif kind == "folder":
        write(path, "notes.txt", b"x")
    says = {"file": "is not an archive", "folder": "holds no replay", "nothing": "does not exist"}
    with pytest.raises(DownloadError, match=rf"mine: .*x\.7z {says[kind]}"):
        fetch_archive(store, local(path), quiet)


def test_a_wrong_hash_of_a_local_file_deletes_nothing(
    store: Store, tmp_path: Path, quiet: Progress
) -> None:
    path = write(tmp_path, "games.7z", ONE)
    source = Source(name="mine", kind="local", location=str(path), sha256="0" * 64)
    with pytest.raises(DownloadError, match="announced was 000"):
        fetch_archive(store, source, quiet)
    assert path.read_bytes() == ONE


def test_what_is_fetched_by_hand_is_picked_up(store: Store, quiet: Progress) -> None:
    nikki = load_catalog(store)["nikki"]
    with pytest.raises(DownloadError, match=r"Open https://1drv\.ms/(.|\n)*Put that") as caught:
        fetch_archive(store, nikki, quiet)
    folder = store.archives("nikki")
    assert str(folder) in str(caught.value)
    assert folder.is_dir()
    write(folder, "OneDrive_1.zip", TWO)
    write(folder, "loose.slp", replay_bytes(4))
    stamp = fetch_archive(store, nikki, quiet)
    assert stamp.facts["url"] == nikki.location
    extract_replays(store, "nikki", quiet)
    assert names(store, "nikki").keys() == {"OneDrive_1.zip/same name.slp", "loose.slp"}
    write(folder, "OneDrive_2.7z", ONE)
    fetch_archive(store, nikki, quiet)
    assert extract_replays(store, "nikki", quiet).report["replays"] == 4


def several(site: Site, *faults: server.Fault) -> Source:
    urls = [site.serve("/x/replays.7z", ONE), site.serve("/y/replays.7z", TWO, *faults)]
    return Source(name="mine", kind="http", location=urls)  # type: ignore[arg-type]


def test_several_archives_form_one_source(store: Store, site: Site, quiet: Progress) -> None:
    source = several(site)
    stamp = fetch_archive(store, source, quiet, SOON)
    assert stamp.facts["url"] == " ".join(source.locations)
    assert stamp.facts["bytes"] == len(ONE) + len(TWO)
    hashes = [hashlib.sha256(body).hexdigest() for body in (ONE, TWO)]
    assert [a["sha256"] for a in stamp.facts["archives"]] == hashes
    assert stamp.version == stamp.facts["sha256"]
    assert stamp.version not in hashes
    assert Path(stamp.facts["file"]).is_dir()
    extract_replays(store, "mine", quiet)
    assert names(store) == {
        "001-replays.7z/only one.slp": replay_bytes(2),
        "001-replays.7z/same name.slp": replay_bytes(1),
        "002-replays.7z/same name.slp": replay_bytes(3),
    }
    assert not fetch_archive(store, source, quiet, SOON).fresh
    assert len(site.requests) == 2


def test_of_several_archives_only_the_missing_one_is_fetched(
    store: Store, site: Site, quiet: Progress
) -> None:
    source = several(site, server.status(404))
    with pytest.raises(DownloadError, match=r"mine 2 of 2: .* answered 404"):
        fetch_archive(store, source, quiet, SOON)
    fetch_archive(store, source, quiet, SOON)
    assert [request.path for request in site.requests] == [
        "/x/replays.7z",
        "/y/replays.7z",
        "/y/replays.7z",
    ]


def test_lineage_names_all_places(store: Store, site: Site, quiet: Progress) -> None:
    fetch_archive(store, several(site), quiet, SOON)
    replays = extract_replays(store, "mine", quiet)
    games = store.put(Stamp(GAMES, "mine", {}, "g", upstream=[replays.record()]))
    shards = store.put(Stamp(SHARDS, "mine", {}, "s", upstream=[games.record()]))
    [row] = sources_of({"training_set": {"upstream": [shards.record()]}, "games": {}})
    assert row.location.split() == [f"{site.url}/x/replays.7z", f"{site.url}/y/replays.7z"]
    assert row.bytes == len(ONE) + len(TWO)


def test_a_list_of_locations_is_read_from_the_catalogue(store: Store) -> None:
    store.root.mkdir()
    store.user_catalog.write_text("x: {kind: google_drive, location: [aaaaaaaaaaa, bbbbbbbbbbb]}")
    assert load_catalog(store)["x"].locations == ("aaaaaaaaaaa", "bbbbbbbbbbb")
    store.user_catalog.write_text("x: {kind: http, location: [a, b], bytes: 3}")
    with pytest.raises(CatalogError, match="of one archive: leave them out"):
        load_catalog(store)
