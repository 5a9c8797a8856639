"""Hashing again what a checkpoint was made from: each stage is shown to match and to fail."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from melee_pipeline.progress import Quiet
from melee_pipeline.replays.index import KEPT, read_index, write_index
from melee_pipeline.replays.source import parse_source
from melee_pipeline.sources.catalog import add_source, find_source
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.sources.extract import extract_replays
from melee_pipeline.store import Store, read_json, write_json
from melee_pipeline.tensors.join import build_training_set
from melee_pipeline.tensors.shards import build_shards
from melee_pipeline.training.loop import train
from melee_pipeline.verify import DIFFERS, GONE, MATCHES, UNKNOWN, Check, data_root_of, verify
from melee_pipeline_tests.replays.games import small_game, write_games
from melee_pipeline_tests.replays.test_tables import with_items
from melee_pipeline_tests.runs import TINY, leave_run
from melee_pipeline_tests.servers import serve
from melee_pipeline_tests.sources.archives import archive_bytes

SOURCE_STAGES = ("archive", "replays", "games", "shards")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A downloaded zip, a local archive and a local folder, and a run on all of their games."""
    root = tmp_path_factory.mktemp("world")
    (root / "served").mkdir()
    for number, name in enumerate(("web", "file", "folder")):
        games = [with_items(small_game(1800, seed=3 * number + i)) for i in range(3)]
        paths = write_games(root / name, *games)
        if name != "folder":
            packed = archive_bytes("zip", {f"deep/{p.name}": p.read_bytes() for p in paths})
            (root / "served" / f"{name}.zip").write_bytes(packed)
    store = Store(root / "data")
    with serve(root / "served") as url:
        add_source(store, "web", f"{url}/web.zip")
        add_source(store, "file", str(root / "served" / "file.zip"))
        add_source(store, "folder", str(root / "folder"))
        for name in ("web", "file", "folder"):
            make(store, name)
    build_training_set(store, Quiet())
    leave_run(store)
    return store


def make(store: Store, source: str) -> None:
    fetch_archive(store, find_source(store, source), Quiet())
    extract_replays(store, source, Quiet())
    parse_source(store, source, Quiet(), workers=0)
    build_shards(store, source, Quiet())


@pytest.fixture
def own(world: Store, tmp_path: Path) -> tuple[Store, Path]:
    """A copy of the world that a test may change, and its run."""
    shutil.copytree(world.root, tmp_path / "data")
    store = Store(tmp_path / "data")
    return store, store.run("tiny", "one")


def states(checks: list[Check]) -> dict[tuple[str, str], str]:
    """What does not match, by stage and name."""
    return {(c.stage, c.name): c.state for c in checks if c.state != MATCHES}


def check_of(checks: list[Check], stage: str, name: str) -> Check:
    [found] = [check for check in checks if (check.stage, check.name) == (stage, name)]
    return found


def test_all_that_was_used_matches(world: Store) -> None:
    checks = verify(world, world.run("tiny", "one") / "best.pt", Quiet())
    assert [(check.stage, check.name) for check in checks] == [
        *((stage, name) for name in ("file", "folder", "web") for stage in SOURCE_STAGES),
        ("training_set", "training_set"),
        ("checkpoint", "lineage.json"),
        ("checkpoint", "best.pt"),
        ("checkpoint", "final.pt"),
    ]
    assert states(checks) == {}
    for check in checks:
        assert check.detail == ""
        assert check.found == check.recorded != "", check


def flip(path: Path) -> None:
    """Change a byte in the middle of a file; its size stays."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def first(folder: Path, pattern: str) -> Path:
    return sorted(folder.rglob(pattern))[0]


CHANGES: dict[str, tuple[Callable[[Store], Path], dict[tuple[str, str], str]]] = {
    "archive": (lambda s: first(s.archives("web"), "*.zip"), {("archive", "web"): DIFFERS}),
    "replay": (lambda s: first(s.replays("web"), "*.slp"), {("replays", "web"): DIFFERS}),
    "table": (
        lambda s: sorted(s.games("file").glob("[0-9a-f]*.parquet"))[0],
        {("games", "file"): DIFFERS},
    ),
    "items": (lambda s: first(s.games("file") / "items", "*"), {("games", "file"): DIFFERS}),
    "index": (lambda s: s.index("file"), {("games", "file"): DIFFERS}),
    "shard": (lambda s: first(s.shards("web"), "*"), {("shards", "web"): DIFFERS}),
    "set": (lambda s: s.training_set, {("training_set", "training_set"): DIFFERS}),
    "best": (lambda s: s.run("tiny", "one") / "best.pt", {("checkpoint", "best.pt"): DIFFERS}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_byte_is_found_where_it_is(what: str, own: tuple[Store, Path]) -> None:
    store, run = own
    where, wanted = CHANGES[what]
    path = where(store)
    if what in ("index", "set"):  # a byte of them may be of no consequence
        path.write_bytes(path.read_bytes()[:-9])
    else:
        flip(path)
    assert states(verify(store, run, Quiet())) == wanted


@pytest.mark.parametrize("what", CHANGES)
def test_a_deleted_file_is_gone_where_it_was(what: str, own: tuple[Store, Path]) -> None:
    store, run = own
    where, wanted = CHANGES[what]
    where(store).unlink()
    [key] = wanted
    checks = verify(store, run, Quiet())
    # A table without the one beside it is damaged.
    assert states(checks) == {key: DIFFERS if what == "items" else GONE}
    assert ("not what was written" if what == "items" else "gone") in check_of(checks, *key).detail


def test_whole_stages_may_be_gone(own: tuple[Store, Path]) -> None:
    """What needs the disk most is deleted first; lineage still says where all came from."""
    store, run = own
    for name in ("archives", "replays", "games"):
        shutil.rmtree(store.root / name)
    wanted = {("archive", "web"): GONE}
    wanted |= {("replays", name): GONE for name in ("web", "file")}
    wanted |= {("games", name): GONE for name in ("web", "file", "folder")}
    assert states(verify(store, run, Quiet())) == wanted
    shutil.rmtree(store.root / "stamps")
    assert states(verify(store, run, Quiet())) == wanted


def test_a_source_that_was_made_again_differs_from_its_first_stage_on(
    own: tuple[Store, Path], tmp_path: Path
) -> None:
    """Partly made again: what lies further down is still what the checkpoint was made from."""
    store, run = own
    shutil.copytree(find_source(store, "folder").location or "", tmp_path / "folder")
    add_again(store, "folder", tmp_path / "folder")
    write_games(tmp_path / "folder" / "more", small_game(1800, seed=40))
    fetch_archive(store, find_source(store, "folder"), Quiet())
    extract_replays(store, "folder", Quiet())
    assert states(verify(store, run, Quiet())) == {}, "the run's own folder is as it was"
    parse_source(store, "folder", Quiet(), workers=0)
    checks = verify(store, run, Quiet())
    assert states(checks) == {("games", "folder"): DIFFERS}
    detail = check_of(checks, "games", "folder").detail
    assert "made again at " in detail
    assert "it holds 3 of the run's 3 games of this source" in detail
    build_shards(store, "folder", Quiet())
    build_training_set(store, Quiet())
    checks = verify(store, run, Quiet())
    assert states(checks) == {
        ("games", "folder"): DIFFERS,
        ("shards", "folder"): DIFFERS,
        ("training_set", "training_set"): UNKNOWN,
    }
    detail = check_of(checks, "training_set", "training_set").detail
    assert "joined again since; it holds 9 of the run's 9 games" in detail


def add_again(store: Store, name: str, folder: Path) -> None:
    """The source lies elsewhere from now on."""
    write_json(store.user_catalog, {name: {"kind": "local", "location": str(folder)}})


def test_a_local_folder_is_compared_by_what_its_replays_hold(
    own: tuple[Store, Path], world: Store, tmp_path: Path
) -> None:
    store, run = own
    lineage = read_json(run / "lineage.json")
    shutil.copytree(find_source(store, "folder").location or "", tmp_path / "folder")
    text = (run / "lineage.json").read_text()
    [record] = [r for r in lineage["training_set"]["upstream"] if r["name"] == "folder"]
    path = record["upstream"][0]["upstream"][0]["upstream"][0]["facts"]["path"]
    (run / "lineage.json").write_text(text.replace(f'"{path}"', f'"{tmp_path / "folder"}"'))
    assert states(verify(store, run, Quiet())) == {}
    first(tmp_path / "folder", "*.slp").touch()
    checks = verify(store, run, Quiet())
    listing = {("archive", "folder"): UNKNOWN}
    assert states(checks) == listing, "another time is not another replay"
    assert "what they hold is told under replays" in check_of(checks, "archive", "folder").detail
    flip(first(tmp_path / "folder", "*.slp"))
    assert states(verify(store, run, Quiet())) == {**listing, ("replays", "folder"): DIFFERS}
    shutil.rmtree(tmp_path / "folder")
    assert states(verify(store, run, Quiet())) == {
        ("archive", "folder"): GONE,
        ("replays", "folder"): GONE,
    }


def test_replays_that_are_gone_are_told_from_new_ones(own: tuple[Store, Path]) -> None:
    store, run = own
    (store.replays("web") / "web.zip" / "new.slp").write_bytes(b"new")
    first(store.replays("file"), "*.slp").unlink()
    checks = verify(store, run, Quiet())
    assert states(checks) == {("replays", "web"): DIFFERS, ("replays", "file"): GONE}
    assert check_of(checks, "replays", "web").detail == "1 replays are new or changed"
    assert check_of(checks, "replays", "file").detail == "1 of 3 replays are gone"


def test_an_index_that_lists_fewer_games_differs(own: tuple[Store, Path]) -> None:
    store, run = own
    rows = read_index(store.index("web"))
    write_index(store.index("web"), [row for row in rows if row.verdict == KEPT][1:])
    checks = verify(store, run, Quiet())
    assert states(checks) == {("games", "web"): DIFFERS}
    assert "it holds 2 of the run's 3 games" in check_of(checks, "games", "web").detail


def test_a_list_of_games_that_was_edited_is_found(own: tuple[Store, Path]) -> None:
    store, run = own
    lineage = read_json(run / "lineage.json")
    lineage["games"]["web"].pop()
    write_json(run / "lineage.json", lineage)
    assert states(verify(store, run, Quiet())) == {("checkpoint", "lineage.json"): DIFFERS}


def test_another_split_is_another_training_set(own: tuple[Store, Path]) -> None:
    store, run = own
    games = pl.read_parquet(store.training_set)
    games.with_columns(split=pl.lit("train")).write_parquet(store.training_set)
    assert states(verify(store, run, Quiet())) == {("training_set", "training_set"): DIFFERS}


def test_what_was_not_recorded_is_not_claimed(own: tuple[Store, Path]) -> None:
    store, run = own
    manifest = read_json(run / "manifest.json")
    del manifest["files"]
    write_json(run / "manifest.json", manifest)
    checks = verify(store, run, Quiet())
    assert states(checks) == {("checkpoint", f"{w}.pt"): UNKNOWN for w in ("best", "final")}
    (run / "manifest.json").unlink()
    assert states(verify(store, run, Quiet())) == {("checkpoint", "manifest.json"): GONE}


def test_replays_that_are_not_kept_are_not_missed(store: Store, world: Store) -> None:
    location = find_source(world, "file").location
    write_json(
        store.user_catalog,
        {"file": {"kind": "local", "location": location, "keep_replays": False}},
    )
    make(store, "file")
    build_training_set(store, Quiet())
    checks = verify(store, leave_run(store), Quiet())
    assert states(checks) == {("replays", "file"): UNKNOWN}
    assert "not kept on the disk" in check_of(checks, "replays", "file").detail


def test_only_sources_of_the_runs_games_are_asked_for(own: tuple[Store, Path]) -> None:
    store, _ = own
    run = leave_run(store, "small", max_games=1)
    [source] = read_json(run / "lineage.json")["games"]
    shutil.rmtree(store.root / "games")
    assert states(verify(store, run, Quiet())) == {("games", source): GONE}


def test_the_data_root_is_where_the_checkpoint_lies(own: tuple[Store, Path]) -> None:
    store, run = own
    for path in (run, run / "best.pt"):
        assert data_root_of(path).root == store.root


def test_a_run_that_was_trained_matches(own_store: Store) -> None:
    stamp = train(own_store, TINY, device="cpu", wandb="off", progress=Quiet())
    run = own_store.root / stamp.facts["run"]
    checks = verify(own_store, run, Quiet())
    assert states(checks) == {}
    assert [check.name for check in checks[-2:]] == ["best.pt", "final.pt"]


def test_lineage_of_more_than_a_hundred_sources(store: Store, tmp_path: Path) -> None:
    """Each of 120 sources is walked back and verified by itself."""
    entries = {}
    for number in range(120):
        name = f"source-{number:03d}"
        write_games(tmp_path / name, small_game(1800, seed=1000 + number))
        entries[name] = {"kind": "local", "location": str(tmp_path / name)}
    write_json(store.user_catalog, entries)
    for name in entries:
        make(store, name)
    build_training_set(store, Quiet())
    run = leave_run(store)
    checks = verify(store, run, Quiet())
    assert len(checks) == 120 * 4 + 4
    assert states(checks) == {}
    first(tmp_path / "source-077", "*.slp").unlink()
    flip(first(store.shards("source-101"), "*"))
    make(store, "source-003")  # nothing to do
    assert states(verify(store, run, Quiet())) == {
        ("archive", "source-077"): UNKNOWN,  # its listing is another
        ("replays", "source-077"): DIFFERS,
        ("shards", "source-101"): DIFFERS,
    }
