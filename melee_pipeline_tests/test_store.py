"""Atomic writes and stamps: a killed or failed step leaves the old artefact or the new one."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from melee_pipeline.errors import ArtefactError
from melee_pipeline.store import (
    ARCHIVE,
    REPLAYS,
    Stamp,
    Store,
    atomic_file,
    atomic_folder,
    file_md5,
    file_sha256,
    read_json,
    write_json,
)


class OnPurposeError(Exception):
    pass


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    with atomic_file(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o644
    assert list(target.parent.iterdir()) == [target]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(OnPurposeError), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise OnPurposeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "games"
    for generation in ("one", "two"):
        with atomic_folder(target) as temporary:
            (temporary / generation).write_text(generation)
    assert [p.name for p in target.iterdir()] == ["two"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "games"
    with atomic_folder(target) as temporary:
        (temporary / "one").write_text("one")
    with pytest.raises(OnPurposeError), atomic_folder(target) as temporary:
        (temporary / "two").write_text("two")
        raise OnPurposeError
    assert [p.name for p in target.iterdir()] == ["one"]
    assert list(tmp_path.iterdir()) == [target]


def _killed_inside_a_write(target: Path) -> None:
    with atomic_file(target) as temporary:
        temporary.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_write_that_is_killed_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_json(target, {"old": True})
    process = multiprocessing.get_context("forkserver").Process(
        target=_killed_inside_a_write, args=(target,)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert read_json(target) == {"old": True}


def test_damaged_and_missing_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(ArtefactError, match=r"a\.json does not exist"):
        read_json(path)
    path.write_text("{")
    with pytest.raises(ArtefactError, match=r"a\.json is not valid JSON.*delete it"):
        read_json(path)


def test_hashes_of_files(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert file_md5(path) == "900150983cd24fb0d6963f7d28e17f72"
    assert file_sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def as_json(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def stamp(**changes: object) -> Stamp:
    values = {"stage": ARCHIVE, "name": "gang", "inputs": {"location": "x"}, "version": "v"}
    return Stamp(**{**values, **changes})  # type: ignore[arg-type]


def test_a_stamp_comes_back_as_it_was_put(store: Store) -> None:
    assert store.stamp(ARCHIVE, "gang") is None
    put = store.put(stamp(report={"bytes": 3}, facts={"url": "x"}))
    assert put.fresh
    assert put.made_at
    found = store.stamp(ARCHIVE, "gang")
    assert found is not None
    assert not found.fresh
    assert (found.report, found.facts, found.made_at) == (put.report, put.facts, put.made_at)
    assert store.names(ARCHIVE) == ["gang"]


def test_a_stamp_is_current_for_its_own_inputs_only(store: Store) -> None:
    store.put(stamp())
    assert store.current(ARCHIVE, "gang", {"location": "x"}) is not None
    assert store.current(ARCHIVE, "gang", {"location": "y"}) is None
    assert store.current(ARCHIVE, "gang", {"location": "x", "more": "z"}) is None
    assert store.current(REPLAYS, "gang", {"location": "x"}) is None


def test_a_step_that_has_not_run_says_how_to_run_it(store: Store) -> None:
    with pytest.raises(ArtefactError, match="run first: melee-pipeline run --source gang"):
        store.need(ARCHIVE, "gang", "--source gang")


def test_a_record_keeps_what_lineage_needs(store: Store) -> None:
    first = store.put(stamp(facts={"url": "x"}, report={"bytes": 3}))
    second = store.put(stamp(stage=REPLAYS, upstream=[first.record()]))
    store.put(stamp(version="w"))  # made again later: the record stays as it was
    found = store.stamp(REPLAYS, "gang")
    assert found is not None
    assert as_json(found.upstream) == as_json(second.upstream) == as_json([first.record()])
    assert found.upstream[0]["facts"] == {"url": "x"}
    assert "report" not in found.upstream[0]
