"""A tournament arrives: what the sensor asks for, tick by tick."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from melee_pipeline.dag.automation import settings, settled, tries
from melee_pipeline.dag.automation.inbox import inbox, source_name
from melee_pipeline.dag.automation.join import training_set_follows
from melee_pipeline.dag.automation.register import register_partitions
from melee_pipeline.dag.automation.sources import new_sources
from melee_pipeline.progress import Quiet
from melee_pipeline.replays.simulate import sample_archive
from melee_pipeline.sources.catalog import add_source, own_sources, remove_source
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.store import ARCHIVE, SHARDS, TRAINING_SET, Store
from melee_pipeline_tests.dag.ticks import Dag, temporary_instance, tournament

STARTED, FAILED = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE
CANCELED = dg.DagsterRunStatus.CANCELED


@pytest.fixture
def dag(tmp_path: Path, store: Store) -> Iterator[Dag]:
    with temporary_instance(tmp_path) as instance:
        yield Dag(instance, store)


def test_two_tournaments_are_a_run_each_and_one_training_set(dag: Dag, tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 2)):
        add_source(dag.store, name, str(tournament(tmp_path / name, seed, 3)))
    assert dag.look(new_sources)[0] == [], "they may still be copied"
    asked, _ = dag.look(new_sources)
    assert [one.partition_key for one in asked] == ["one", "two"]
    assert len({one.run_key for one in asked}) == 2

    dag.pretend(STARTED, "add_source", asked[1])
    assert dag.run("add_source", asked[0])
    assert dag.look(training_set_follows) == ([], "waits for the runs of two")
    assert dag.look(new_sources) == ([], "two: its run is queued or in progress")
    dag.end_pretended()
    assert dag.run("add_source", asked[1])

    [join], _ = dag.look(training_set_follows)
    assert dag.run("update_training_set", join)
    assert dag.store.need(TRAINING_SET, TRAINING_SET, "").report["games"] == 3
    for _ in range(2):
        assert dag.look(new_sources) == ([], "all of your sources are up to date")
        assert dag.look(training_set_follows)[0] == []


def test_a_source_is_brought_in_again_when_its_files_change(dag: Dag, tmp_path: Path) -> None:
    folder = tournament(tmp_path / "one", 1)
    add_source(dag.store, "one", str(folder))
    dag.look(new_sources)
    [first], _ = dag.look(new_sources)
    assert dag.run("add_source", first)
    before = dag.store.need(SHARDS, "one", "").version

    tournament(folder, 1, 2)
    assert "new or changing" in dag.look(new_sources)[1]
    [second], _ = dag.look(new_sources)
    assert second.run_key != first.run_key
    assert dag.run("add_source", second)
    assert dag.store.need(SHARDS, "one", "").version != before

    entries = yaml.safe_load(dag.store.user_catalog.read_text())
    entries["one"]["filters"] = {"min_frames": 10_000}
    dag.store.user_catalog.write_text(yaml.safe_dump(entries))
    [stricter], _ = dag.look(new_sources)
    assert dag.run("add_source", stricter)
    assert dag.look(new_sources)[0] == []

    # The same bytes at another time: one run, which has nothing to do, and no other.
    os.utime(folder / "game-0.slp")
    dag.look(new_sources)
    [third], _ = dag.look(new_sources)
    assert dag.run("add_source", third)
    assert dag.look(new_sources)[0] == []


def test_wrong_filters_of_a_source_hold_up_no_other(dag: Dag, own_store: Store) -> None:
    dag.store = own_store
    entries = yaml.safe_load(own_store.user_catalog.read_text())
    entries["alpha"]["filters"] = {"min_frame": 10}
    own_store.user_catalog.write_text(yaml.safe_dump(entries))
    told = "alpha: source alpha: filter 'min_frame' is unknown"
    assert told in dag.look(new_sources)[1]
    asked, _ = dag.look(new_sources)
    assert [one.partition_key for one in asked] == ["beta"]
    assert dag.run("add_source", asked[0])
    assert dag.look(new_sources)[1].startswith(told)


def test_an_entry_that_is_none_is_the_reason_why_nothing_starts(dag: Dag, tmp_path: Path) -> None:
    add_source(dag.store, "one", str(tournament(tmp_path / "one", 1)))
    dag.look(new_sources)
    right = dag.store.user_catalog.read_text()
    dag.store.user_catalog.write_text(f"{right}two: {{kind: locl, location: /two}}\n")
    inbox(dag.store).mkdir()
    for sensor in (new_sources, register_partitions):
        asked, why = dag.look(sensor)
        assert asked == []
        assert "put right" in why
        assert "sources.yaml: source two: kind" in why
    dag.store.user_catalog.write_text(right)
    asked, _ = dag.look(new_sources)  # what was seen before is not forgotten
    assert [one.partition_key for one in asked] == ["one"]


def test_what_was_made_without_dagster_is_shown_and_what_was_launched_by_hand_is_not_done_again(
    dag: Dag, own_store: Store
) -> None:
    dag.store = own_store
    dag.look(new_sources)
    asked, _ = dag.look(new_sources)
    assert [one.partition_key for one in asked] == ["alpha", "beta"]
    for one in asked:  # by hand: runs that carry no tag of the sensor's
        assert dag.run("add_source", dg.RunRequest(partition_key=one.partition_key))
    assert dag.look(new_sources) == ([], "all of your sources are up to date")
    [join], _ = dag.look(training_set_follows)
    assert dag.run("update_training_set", join)
    assert dag.look(training_set_follows)[0] == []


def test_a_removed_source_leaves_the_training_set_and_comes_back(
    dag: Dag, own_store: Store
) -> None:
    """Inputs that were joined before are joined again: A, A and B, A."""
    dag.store = own_store
    keys = set()
    for change in ("nothing", "remove", "encode"):
        if change == "remove":
            kept = own_store.need(SHARDS, "beta", "")
            remove_source(own_store, "beta")
        elif change == "encode":
            own_store.put(kept)
        [join], _ = dag.look(training_set_follows)
        keys.add(join.run_key)
        assert dag.run("update_training_set", join)
        assert dag.look(training_set_follows)[0] == []
    assert len(keys) == 3


def test_a_source_that_was_removed_is_brought_in_when_it_is_added_again(
    dag: Dag, tmp_path: Path
) -> None:
    folder = str(tournament(tmp_path / "one", 1, 2))
    for _ in range(2):
        add_source(dag.store, "one", folder)
        dag.look(new_sources)
        [asked], _ = dag.look(new_sources)
        assert dag.run("add_source", asked)
        assert dag.look(new_sources)[0] == []
        [join], _ = dag.look(training_set_follows)
        assert dag.run("update_training_set", join)
        remove_source(dag.store, "one")
        dag.store.forget(TRAINING_SET, TRAINING_SET)


def test_a_source_that_fails_is_tried_three_times_and_again_when_it_is_put_right(
    dag: Dag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(26))
    add_source(dag.store, "bad", str(tmp_path / "bad.7z"))
    add_source(dag.store, "good", str(tournament(tmp_path / "good", 1)))
    dag.look(new_sources)
    [bad, good], _ = dag.look(new_sources)
    assert not dag.run("add_source", bad)
    assert dag.run("add_source", good)
    [join], _ = dag.look(training_set_follows)
    assert dag.run("update_training_set", join), "what failed holds nobody up"

    asked, why = dag.look(new_sources)
    assert not asked and "failed; try 2 of 3 at" in why
    monkeypatch.setattr(tries, "RETRY_SECONDS", 0)
    for attempt in (2, 3):
        [bad], _ = dag.look(new_sources)
        assert bad.tags["melee/try"] == str(attempt)
        assert not dag.run("add_source", bad)
    asked, why = dag.look(new_sources)
    assert not asked and why.startswith("bad: failed 3 times, last in run ")

    sample_archive(tmp_path / "bad.7z", 1)
    dag.look(new_sources)
    [bad], _ = dag.look(new_sources)
    assert bad.tags["melee/try"] == "1"
    assert dag.run("add_source", bad)


def test_waits_double(dag: Dag, monkeypatch: pytest.MonkeyPatch) -> None:
    request = tries.request(dag.instance, "work", None, made=False)
    assert isinstance(request, dg.RunRequest)
    for wait in (300, 600):
        dag.pretend(FAILED, "add_source", request)
        ended = time.time()
        for later, expected in ((wait - 30, str), (wait + 30, dg.RunRequest)):
            monkeypatch.setattr(time, "time", lambda at=ended + later: at)
            assert isinstance(tries.request(dag.instance, "work", None, made=False), expected)
        monkeypatch.undo()


def test_runs_that_ended_with_dagster_use_up_no_try(dag: Dag) -> None:
    for number in range(1, 6):
        asked = tries.request(dag.instance, "work", None, made=False)
        assert isinstance(asked, dg.RunRequest), "and there is nothing to wait for"
        assert asked.run_key and asked.run_key.endswith(f" run {number}")
        assert asked.tags["melee/try"] == "1"
        dag.pretend(FAILED, "add_source", asked, failure_reason="UNEXPECTED_TERMINATION")
    last = tries.request(dag.instance, "work", None, made=False)
    assert isinstance(last, dg.RunRequest)
    dag.pretend(FAILED, "add_source", last, failure_reason="STEP_FAILURE")
    why = tries.request(dag.instance, "work", None, made=False)
    assert isinstance(why, str) and "failed; try 2 of 3 at" in why


def test_what_was_cancelled_stays_so(dag: Dag) -> None:
    add_source(dag.store, "web", "http://127.0.0.1:9/web.7z")
    [asked], _ = dag.look(new_sources)
    dag.pretend(CANCELED, "add_source", asked)
    asked_again, why = dag.look(new_sources)
    assert not asked_again and "was cancelled; launch it again by hand" in why


def test_ten_at_a_time_and_none_of_the_package(dag: Dag) -> None:
    for number in range(12):
        add_source(dag.store, f"cup-{number:02}", f"http://127.0.0.1:9/{number}.7z")
    first, _ = dag.look(new_sources)
    assert len(first) == settings.MOST_RUNS
    for one in first:
        dag.pretend(STARTED, "add_source", one)
    second, _ = dag.look(new_sources)
    assert [one.partition_key for one in second] == ["cup-10", "cup-11"]


def test_the_inbox_takes_what_is_whole(dag: Dag, tmp_path: Path) -> None:
    box = inbox(dag.store)
    box.mkdir(parents=True)
    whole = sample_archive(tmp_path / "whole.7z", 1).read_bytes()
    (box / "Riptide 2023.7z").write_bytes(whole[: len(whole) // 2])
    assert "new or changing" in dag.look(new_sources)[1]
    assert "is not whole yet: it has" in dag.look(new_sources)[1]
    (box / "Riptide 2023.7z").write_bytes(whole)
    assert own_sources(dag.store) == {}
    assert "new or changing" in dag.look(new_sources)[1]
    [asked], _ = dag.look(new_sources)
    assert asked.partition_key == "riptide-2023"
    [source] = own_sources(dag.store).values()
    assert (source.name, source.kind) == ("riptide-2023", "local")
    assert dag.run("add_source", asked)
    stamp = dag.store.need(ARCHIVE, "riptide-2023", "")
    assert stamp.facts["file"] == str(box / "Riptide 2023.7z"), "it stays where it lies"
    assert dag.look(new_sources)[0] == []


def test_a_folder_in_the_inbox_is_a_source_too(dag: Dag) -> None:
    tournament(inbox(dag.store) / "Locals", 1)
    dag.look(new_sources)
    [asked], _ = dag.look(new_sources)
    assert asked.partition_key == "locals"


def test_what_was_removed_does_not_come_back_from_the_inbox(dag: Dag) -> None:
    tournament(inbox(dag.store) / "locals", 1)
    dag.look(new_sources)
    dag.look(new_sources)
    fetch_archive(dag.store, own_sources(dag.store)["locals"], Quiet())
    remove_source(dag.store, "locals")
    for _ in range(2):
        asked, why = dag.look(new_sources)
        assert not asked
        assert "source locals was removed" in why
    add_source(dag.store, "locals", str(inbox(dag.store) / "locals"))
    dag.look(new_sources)
    [asked_again], _ = dag.look(new_sources)
    assert asked_again.partition_key == "locals"


def test_what_the_inbox_leaves_is_named_with_its_reason(dag: Dag, tmp_path: Path) -> None:
    box = inbox(dag.store)
    box.mkdir(parents=True)
    archive = sample_archive(tmp_path / "a.7z", 1)
    for name in ("cup.7z", "Cup!.7z", "大会.7z", ".hidden.7z"):
        shutil.copy(archive, box / name)
    (box / "notes.txt").write_text("later")
    (box / "page.zip").write_text("<html>")
    (box / "empty").mkdir()
    dag.look(new_sources)
    asked, _ = dag.look(new_sources)
    assert [one.partition_key for one in asked] == ["cup"]
    dag.pretend(STARTED, "add_source", asked[0])
    _, why = dag.look(new_sources)
    told = dict(line.split(": ", 1) for line in why.splitlines())
    assert told.pop("cup") == "its run is queued or in progress"
    assert told.keys() == {
        "inbox/cup.7z", "inbox/大会.7z", "inbox/notes.txt", "inbox/page.zip", "inbox/empty",
    }  # fmt: skip
    assert "source cup exists already" in told["inbox/cup.7z"]
    assert "rename it" in told["inbox/大会.7z"]
    assert "put replays into a folder" in told["inbox/notes.txt"]
    assert "not an archive" in told["inbox/page.zip"]
    assert "holds no replay" in told["inbox/empty"]


def test_an_archive_that_stays_cut_off_is_taken_in_the_end_to_be_seen_failing(
    dag: Dag, tmp_path: Path
) -> None:
    archive = sample_archive(tmp_path / "torn.7z", 1)
    archive.write_bytes(archive.read_bytes()[:1000])
    add_source(dag.store, "torn", str(archive))
    dag.look(new_sources)
    assert dag.look(new_sources)[0] == []
    long_ago = archive.stat().st_mtime - settled.LONG
    os.utime(archive, (long_ago, long_ago))
    dag.look(new_sources)
    [asked], _ = dag.look(new_sources)
    assert not dag.run("add_source", asked)


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("Riptide 2023.tar.gz", "riptide-2023"),
        ("Génesis_X.zip", "genesis-x"),
        ("folder", "folder"),
        ("大会.7z", ""),
        ("-" * 9 + "x" * 99 + ".7z", "x" * 64),
    ],
)
def test_names_of_files_as_names_of_sources(file_name: str, name: str) -> None:
    assert source_name(file_name) == name
