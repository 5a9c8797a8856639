"""Parsing without keeping the replays: the same games, on a fraction of the disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from melee_pipeline.errors import ExtractError
from melee_pipeline.progress import Progress
from melee_pipeline.replays.index import read_index
from melee_pipeline.replays.source import parse_source
from melee_pipeline.replays.write import to_bytes
from melee_pipeline.sources.catalog import find_source
from melee_pipeline.sources.chunks import replay_chunks
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.sources.extract import extract_replays
from melee_pipeline.store import Stamp, Store, file_sha256
from melee_pipeline_tests.replays.games import small_game
from melee_pipeline_tests.sources.archives import KINDS, archive_bytes, replay_bytes, write

SIZE = 3000


def register(store: Store, path: Path, keep: bool) -> None:
    store.root.mkdir(parents=True, exist_ok=True)
    kept = str(keep).lower()
    store.user_catalog.write_text(f"mine: {{kind: local, location: {path}, keep_replays: {kept}}}")


def extracted(store: Store, path: Path, quiet: Progress, keep: bool = False) -> Stamp:
    register(store, path, keep)
    fetch_archive(store, find_source(store, "mine"), quiet)
    return extract_replays(store, "mine", quiet)


def on_disk(store: Store) -> int:
    """Bytes below the source's folder of replays."""
    return sum(p.stat().st_size for p in store.replays("mine").rglob("*") if p.is_file())


@dataclass
class Place:
    """A folder of replays and archives of all sorts, and what is in them."""

    folder: Path
    replays: dict[str, bytes]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    inside = {f"d/{i}.slp": replay_bytes(i, SIZE) for i in range(10)}
    expected = {"loose.slp": replay_bytes(99, SIZE)}
    for number, kind in enumerate(KINDS):
        members = {name: body + bytes([number]) for name, body in inside.items()}
        write(tmp_path / "in", f"{number}.{kind}", archive_bytes(kind, members))
        expected |= {f"{number}.{kind}/{name}": body for name, body in members.items()}
    nested = archive_bytes("zip", {"deep.7z": archive_bytes("7z", {"n.slp": b"nested"})})
    write(tmp_path / "in", "nested.zip", nested)
    write(tmp_path / "in", "loose.slp", expected["loose.slp"])
    return Place(tmp_path / "in", expected | {"nested.zip/deep.7z/n.slp": b"nested"})


def test_chunks_give_every_replay_once_and_hold_few_at_a_time(
    store: Store, place: Place, quiet: Progress
) -> None:
    stamp = extracted(store, place.folder, quiet)
    assert stamp.report["replays"] == len(place.replays) - 1  # what is nested is not looked into
    assert not store.replays("mine").exists()
    found: dict[str, bytes] = {}
    for chunk in replay_chunks(store, "mine", quiet, size=3 * SIZE):
        assert on_disk(store) <= 4 * SIZE
        new = {file.name: file.path.read_bytes() for file in chunk}
        assert not new.keys() & found.keys()
        found |= new
    assert found == place.replays
    assert on_disk(store) == 0
    assert (place.folder / "loose.slp").exists()


def test_kept_replays_are_one_chunk_of_the_same_names(
    store: Store, place: Place, quiet: Progress
) -> None:
    extracted(store, place.folder, quiet, keep=True)
    [chunk] = replay_chunks(store, "mine", quiet, size=1)
    assert {file.name: file.path.read_bytes() for file in chunk} == place.replays


def test_changing_ones_mind_extracts_or_removes(
    store: Store, place: Place, quiet: Progress
) -> None:
    extracted(store, place.folder, quiet, keep=True)
    assert on_disk(store) > 0
    assert extracted(store, place.folder, quiet, keep=False).fresh
    assert on_disk(store) == 0
    assert extracted(store, place.folder, quiet, keep=True).fresh
    assert on_disk(store) > 0


def test_an_archive_that_holds_no_replay_after_all_is_named(
    store: Store, tmp_path: Path, quiet: Progress
) -> None:
    inner = archive_bytes("zip", {"notes.txt": b""})
    path = write(tmp_path, "x.zip", archive_bytes("zip", {"inner.zip": inner}))
    extracted(store, path, quiet)
    with pytest.raises(ExtractError, match=r"mine holds no replay"):
        list(replay_chunks(store, "mine", quiet))


def games(store: Store) -> dict[str, str]:
    return {p.name: file_sha256(p) for p in store.games("mine").iterdir()}


def test_parsing_from_chunks_gives_the_same_games(tmp_path: Path, quiet: Progress) -> None:
    members = {f"{i}.slp": to_bytes(small_game(2000 + i, seed=i)) for i in range(5)}
    members |= {"again.slp": members["0.slp"], "empty.slp": b"", "bad.slp": b"garbage"}
    path = write(tmp_path, "games.7z", archive_bytes("7z", members))
    kept, streamed = Store(tmp_path / "kept"), Store(tmp_path / "streamed")
    extracted(kept, path, quiet, keep=True)
    first = parse_source(kept, "mine", quiet, workers=1)
    extracted(streamed, path, quiet)
    second = parse_source(streamed, "mine", quiet, workers=1)
    assert games(kept) == games(streamed)
    assert first.version == second.version
    assert second.report == first.report
    assert first.report["games"] == 5
    assert list(streamed.replays("mine").iterdir()) == []
    assert not parse_source(streamed, "mine", quiet, workers=1).fresh
    # A new run after the stamp was lost unpacks again, and reads no game twice.
    (streamed.root / "stamps" / "games" / "mine.json").unlink()
    assert parse_source(streamed, "mine", quiet, workers=1).report["parsed_now"] == 0
    assert len(read_index(streamed.index("mine"))) == len(members)
