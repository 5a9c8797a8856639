"""The catalogue: every source of the package, the user's own, and refusals that say what to do."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import yaml

from melee_pipeline.errors import BusyError, CatalogError, DownloadError
from melee_pipeline.locks import alone, source_lock
from melee_pipeline.progress import Progress
from melee_pipeline.sources import catalog as catalog_module
from melee_pipeline.sources.catalog import (
    CATALOG_LOCK,
    add_source,
    dropbox_file,
    find_source,
    load_catalog,
    remove_source,
)
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.store import SHARDS, Stamp, Store

GOOGLE = "https://storage.googleapis.com/slippi.appspot.com"


def test_every_known_source_is_there(store: Store) -> None:
    catalog = load_catalog(store)
    assert {name: (s.kind, s.replays) for name, s in catalog.items()} == {
        "phillip-matchups": ("dropbox", 596),
        "gang": ("http", 3561),
        "full-bloom-5": ("http", 4502),
        "fight-pitt-9": ("http", 1150),
        "pound-2019": ("http", 11019),
        "nma-2": ("http", 2817),
        "summit-11": ("http", 419),
        "local": ("local", None),
        "test-dataset-32": ("dropbox", 32),
        **{f"ranked-{i}": ("google_drive", None) for i in range(1, 7)},
        "nikki": ("manual", None),
    }
    where = {name: s.location for name, s in catalog.items()}
    assert where["gang"] == f"{GOOGLE}/dump/gang-replays.7z"
    assert where["nma-2"] == f"{GOOGLE}/dump/national-melee-arcadian-2.7z"
    assert where["summit-11"] == f"{GOOGLE}/replays/bundles/Summit-11.zip"
    assert where["ranked-1"] == "1pFjgh1dapX34s0T-Q1TC7JUO-qjYbQZf"
    assert where["ranked-6"] == "1g8yZ-Q4ldyhDEmXLSPBoWxywJRMRVGc3"
    assert [n for n, at in where.items() if at is None] == [
        "phillip-matchups",
        *(f"ranked-{i}" for i in range(2, 6)),
    ]


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("https://www.dropbox.com/s/x/a.zip", "https://www.dropbox.com/s/x/a.zip?dl=1"),
        ("https://www.dropbox.com/s/x/a.zip?dl=0", "https://www.dropbox.com/s/x/a.zip?dl=1"),
        (
            "https://www.dropbox.com/scl/fi/x/a.zip?rlkey=k&st=&dl=0",
            "https://www.dropbox.com/scl/fi/x/a.zip?rlkey=k&st=&dl=1",
        ),
    ],
)
def test_a_dropbox_link_asks_for_the_file(link: str, url: str) -> None:
    assert dropbox_file(link) == url


def test_the_users_file_comes_first(store: Store) -> None:
    store.root.mkdir()
    store.user_catalog.write_text(
        "ranked-2: {kind: google_drive, location: anid}\nmine: {kind: local, location: /x}\n"
    )
    catalog = load_catalog(store)
    assert catalog["ranked-2"].location == "anid"
    assert catalog["mine"].kind == "local"
    assert catalog["gang"].kind == "http"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x: [", "not valid YAML"),
        ("- a\n- b\n", "expected `name:"),
        ("Big_Name: {kind: http, location: 'http://x'}", "'Big_Name': a name is 1 to 64"),
        ("x: {kind: ftp, location: 'ftp://x'}", "source x: kind:"),
        ("x: {kind: http, location: 'http://x', colour: red}", "source x: colour:"),
        ("x: {kind: http, location: 'http://x', sha256: abc}", "source x: sha256:"),
        ("x: just text", "source x:"),
    ],
)
def test_a_bad_entry_is_named_with_its_file(store: Store, text: str, says: str) -> None:
    store.root.mkdir()
    store.user_catalog.write_text(text)
    with pytest.raises(CatalogError) as caught:
        load_catalog(store)
    assert says in str(caught.value)
    assert str(store.user_catalog) in str(caught.value)


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("https://example.org/a.7z", "http"),
        ("https://www.dropbox.com/s/x/a.zip", "dropbox"),
        ("https://drive.google.com/file/d/abc/view", "google_drive"),
        ("https://1drv.ms/f/s!x", "manual"),
        ("https://onedrive.live.com/?id=x", "manual"),
    ],
)
def test_adding_reads_the_kind_off_the_location(store: Store, location: str, kind: str) -> None:
    assert add_source(store, "mine", location).kind == kind
    assert find_source(store, "mine").location == location


def test_adding_a_folder_keeps_its_full_path(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Slippi games é").mkdir()
    monkeypatch.chdir(tmp_path)
    assert add_source(store, "mine", "Slippi games é").location == str(tmp_path / "Slippi games é")


def test_adding_twice_changes_nothing_and_another_place_is_refused(store: Store) -> None:
    add_source(store, "mine", "https://example.org/a.7z")
    before = store.user_catalog.read_bytes()
    add_source(store, "mine", "https://example.org/a.7z")
    assert store.user_catalog.read_bytes() == before
    with pytest.raises(CatalogError, match=r"mine exists already, at https://example.org/a\.7z"):
        add_source(store, "mine", "https://example.org/b.7z")


def test_adding_fills_in_a_source_without_a_link(store: Store) -> None:
    add_source(store, "phillip-matchups", "https://www.dropbox.com/s/x/a.zip")
    assert find_source(store, "phillip-matchups").kind == "dropbox"


MINE = """\
# Where my own games are.
mine: {kind: local, location: /x}  # not on the laptop
2024: {kind: local, location: /y}"""


def test_adding_leaves_what_the_user_wrote_as_it_is(store: Store) -> None:
    store.root.mkdir()
    store.user_catalog.write_text(MINE)
    add_source(store, "more", "https://example.org/more.7z")
    assert store.user_catalog.read_text().startswith(f"{MINE}\nmore:\n")
    assert {"mine", "2024", "more"} < set(load_catalog(store))
    remove_source(store, "2024")
    own = yaml.safe_load(store.user_catalog.read_text())
    assert list(own) == ["mine", "more"]


@pytest.mark.parametrize(
    "text", ['{"mine": {"kind": "local", "location": "/x"}}', f"{MINE}\n...\n", "", "# none yet\n"]
)
def test_adding_fits_a_file_of_any_form(store: Store, text: str) -> None:
    store.root.mkdir()
    store.user_catalog.write_text(text)
    before = load_catalog(store)
    added = add_source(store, "more", "https://example.org/more.7z")
    assert load_catalog(store) == {**before, "more": added}


def test_adding_a_place_keeps_the_entrys_settings(store: Store) -> None:
    store.root.mkdir()
    store.user_catalog.write_text(
        "later: {kind: manual, location: null, keep_replays: false, filters: {cpus: true}}\n"
    )
    added = add_source(store, "later", "https://example.org/a.7z")
    assert (added.kind, added.keep_replays, added.filters) == ("http", False, {"cpus": True})
    assert find_source(store, "later") == added


def test_two_that_add_at_once_lose_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first, and gives up on one that never ends."""
    with alone(store, CATALOG_LOCK):
        place = "https://example.org/b.7z"
        waiting = threading.Thread(target=add_source, args=(store, "second", place))
        waiting.start()
        store.user_catalog.write_text("first: {kind: http, location: 'http://x'}\n")
    waiting.join()
    assert {"first", "second"} < set(load_catalog(store))
    monkeypatch.setattr(catalog_module, "PATIENCE", 0.0)
    with alone(store, CATALOG_LOCK), pytest.raises(BusyError):
        add_source(store, "third", "https://example.org/c.7z")


def test_a_source_is_not_removed_while_it_is_worked_on(store: Store) -> None:
    """A step that ends after the removal would bring it back."""
    add_source(store, "mine", "https://example.org/a.7z")
    store.put(Stamp(SHARDS, "mine", {}, "1"))
    with source_lock(store, "mine"), pytest.raises(BusyError, match="mine: process"):
        remove_source(store, "mine")
    assert store.stamp(SHARDS, "mine")
    assert "mine" in load_catalog(store)
    remove_source(store, "mine")
    assert store.stamp(SHARDS, "mine") is None


@pytest.mark.parametrize("name", ["", "Upper", "a/b", "../x", "-x", "a" * 65, "é"])
def test_a_bad_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(CatalogError, match="a name is 1 to 64 lower-case letters"):
        add_source(store, name, "https://example.org/a.7z")
    assert not store.user_catalog.exists()


def test_a_place_that_does_not_exist_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="neither a URL nor a file or folder"):
        add_source(store, "mine", str(tmp_path / "nowhere"))


def test_a_file_that_holds_no_games_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no archive")
    with pytest.raises(CatalogError, match=r"notes.txt is neither an archive .* nor a replay"):
        add_source(store, "mine", str(tmp_path / "notes.txt"))
    assert not store.user_catalog.exists()


def test_an_unknown_name_gets_the_nearest(store: Store) -> None:
    with pytest.raises(CatalogError, match=r"'gangs'; did you mean gang\?"):
        find_source(store, "gangs")
    with pytest.raises(CatalogError, match="sources add NAME LOCATION"):
        find_source(store, "qqqqqq")


def test_a_source_of_the_package_is_not_removed(store: Store) -> None:
    """Where nothing of it is there; a link that was added to it can be taken out again."""
    with pytest.raises(CatalogError, match=r"gang is one of the package's .* nothing to remove"):
        remove_source(store, "gang")
    add_source(store, "phillip-matchups", "https://www.dropbox.com/s/x/a.zip")
    assert remove_source(store, "phillip-matchups") == []
    assert find_source(store, "phillip-matchups").location is None
    with pytest.raises(CatalogError, match="nothing to remove"):
        remove_source(store, "phillip-matchups")
    with pytest.raises(CatalogError, match="no source is called 'nothing'"):
        remove_source(store, "nothing")


def test_other_protocols_are_named(store: Store) -> None:
    with pytest.raises(CatalogError, match=r"ftp://x/a\.7z: ftp:// is not supported, only http://"):
        add_source(store, "mine", "ftp://x/a.7z")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("phillip-matchups", "sources add phillip-matchups LINK"),
        ("ranked-3", "sources add ranked-3 LINK"),
        ("nikki", "https://1drv.ms/f/s!Ah8e99o9nnXOg_A7hLzRRKEkjifcxw"),
    ],
)
def test_what_cannot_be_fetched_says_what_to_do(
    store: Store, quiet: Progress, name: str, says: str
) -> None:
    with pytest.raises(DownloadError) as caught:
        fetch_archive(store, find_source(store, name), quiet)
    assert name in str(caught.value)
    assert says in str(caught.value)
    assert str(store.archives(name)) in str(caught.value)
    assert str(caught.value).endswith(f"\nThen: melee-pipeline run --source {name}")


def test_a_users_file_that_is_not_utf8_is_named(store: Store, tmp_path: Path) -> None:
    store.root.mkdir()
    store.user_catalog.write_bytes("one: {kind: local, note: größer}".encode("latin-1"))
    for use in (lambda: load_catalog(store), lambda: add_source(store, "two", str(tmp_path))):
        with pytest.raises(CatalogError, match=r"sources\.yaml is not text in UTF-8 .*byte 0xf6"):
            use()
