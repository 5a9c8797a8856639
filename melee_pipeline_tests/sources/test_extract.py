"""Replays out of archives of every kind; nothing outside the folder, junk counted."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from melee_pipeline.errors import ExtractError
from melee_pipeline.progress import Progress
from melee_pipeline.sources.catalog import Source
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.sources.extract import (
    extract_archive,
    extract_replays,
    folder_replays,
    replay_files,
)
from melee_pipeline.sources.kinds import archive_kind
from melee_pipeline.store import Store
from melee_pipeline_tests.sources.archives import KINDS, archive_bytes, replay_bytes, write

MEMBERS = {
    "Game_1.slp": replay_bytes(1),
    "día 2/spaces here/Game é.slp": replay_bytes(2),
    "packed.slp.gz": gzip.compress(replay_bytes(3)),
    "empty.slp": b"",
    "notes.txt": b"not a replay",
    "__MACOSX/._Game_1.slp": b"finder",
    "día 2/._Game é.slp": b"finder",
}
EXPECTED = {
    "Game_1.slp": replay_bytes(1),
    "día 2/spaces here/Game é.slp": replay_bytes(2),
    "packed.slp": replay_bytes(3),
    "empty.slp": b"",
}


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.path.read_bytes() for file in folder_replays(folder)}


@pytest.mark.parametrize("kind", KINDS)
def test_replays_come_out_whole_and_junk_is_counted(
    tmp_path: Path, quiet: Progress, kind: str
) -> None:
    path = write(tmp_path, f"games.{kind}", archive_bytes(kind, MEMBERS))
    out = tmp_path / "out"
    out.mkdir()
    found = extract_archive(path, out, quiet)
    assert contents(out) == EXPECTED
    assert found.replays == 4
    assert found.bytes == sum(map(len, EXPECTED.values()))
    assert found.skipped == {"macOS metadata": 2, "not a replay": 1}
    assert {p.name for p in tmp_path.iterdir()} == {path.name, "out"}


def test_the_kind_is_read_off_the_bytes_not_the_name(tmp_path: Path, quiet: Progress) -> None:
    path = write(tmp_path, "games.zip", archive_bytes("7z", MEMBERS))
    assert archive_kind(path) == "7z"
    (tmp_path / "out").mkdir()
    extract_archive(path, tmp_path / "out", quiet)
    assert contents(tmp_path / "out") == EXPECTED


@pytest.mark.parametrize("body", [b"", b"text", b"<html></html>", b"PK", b"7z\xbc\xaf\x27"])
def test_what_is_no_archive_is_named(tmp_path: Path, quiet: Progress, body: bytes) -> None:
    path = write(tmp_path, "games.7z", body)
    with pytest.raises(ExtractError, match=r"games\.7z is not an archive"):
        extract_archive(path, tmp_path, quiet)


def local(store: Store, path: Path) -> Source:
    return Source(name="mine", kind="local", location=str(path))


def test_extracting_leaves_a_stamp_and_is_not_done_twice(
    store: Store, tmp_path: Path, quiet: Progress
) -> None:
    path = write(tmp_path, "games.7z", archive_bytes("7z", MEMBERS))
    archive = fetch_archive(store, local(store, path), quiet)
    stamp = extract_replays(store, "mine", quiet)
    assert stamp.fresh
    assert stamp.report["replays"] == 4
    assert stamp.report["skipped"] == {"macOS metadata": 2, "not a replay": 1}
    assert [record["version"] for record in stamp.upstream] == [archive.version]
    assert not extract_replays(store, "mine", quiet).fresh
    files = replay_files(store, "mine")
    assert sorted(f.path.read_bytes() for f in files) == sorted(EXPECTED.values())


def test_a_folder_is_used_in_place(store: Store, tmp_path: Path, quiet: Progress) -> None:
    folder = tmp_path / "Slippi"
    for name, body in MEMBERS.items():
        write(folder, name, body)
    fetch_archive(store, local(store, folder), quiet)
    stamp = extract_replays(store, "mine", quiet)
    assert stamp.report["replays"] == 4
    assert not store.replays("mine").exists()
    assert stamp.facts["folder"] == str(folder)
    assert {f.path for f in replay_files(store, "mine")} == {
        folder / name for name in MEMBERS if ".slp" in name and "._" not in name
    }
    write(folder, "Game_9.slp", replay_bytes(9))
    fetch_archive(store, local(store, folder), quiet)
    assert extract_replays(store, "mine", quiet).report["replays"] == 5


def test_an_archive_without_replays_is_refused(
    store: Store, tmp_path: Path, quiet: Progress
) -> None:
    path = write(tmp_path, "games.zip", archive_bytes("zip", {"a.txt": b"x"}))
    fetch_archive(store, local(store, path), quiet)
    with pytest.raises(ExtractError, match=r"holds no replay \(\.slp\): 1 × not a replay"):
        extract_replays(store, "mine", quiet)
    assert store.stamp("replays", "mine") is None


@pytest.mark.replays
def test_real_archives_give_every_sample_game(
    replays_folder: Path, real_replays: dict[str, Path]
) -> None:
    with (replays_folder / "samples.csv").open(newline="") as file:
        listed = {row["md5"] for row in csv.DictReader(file)}
    assert len(listed) == 145
    assert listed <= real_replays.keys()
