"""One process at a time on a source; what dead ones leave is neither in the way nor lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from melee_pipeline.errors import BusyError, MeleePipelineError
from melee_pipeline.locks import one_at_a_time, source_lock
from melee_pipeline.store import Store

HOLD = """
import sys, time
from melee_pipeline.locks import source_lock
from melee_pipeline.store import Store
with source_lock(Store(sys.argv[1]), "gang"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(store: Store) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of `gang` until it is told to stop, or dies."""
    command = [sys.executable, "-c", HOLD, str(store.root)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_is_refused_and_told_who_is_first(store: Store) -> None:
    with held_elsewhere(store) as other:
        says = rf"gang: process {other.pid} is working on it; wait until"
        with pytest.raises(BusyError, match=says), source_lock(store, "gang"):
            raise AssertionError
        with source_lock(store, "summit-11"):
            pass  # another source is free
        other.communicate("")
    with source_lock(store, "gang"):
        pass


def test_the_lock_of_a_process_that_was_killed_is_free(store: Store) -> None:
    with held_elsewhere(store) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert (store.locks / "gang.lock").exists()
        with source_lock(store, "gang"):
            pass


def test_a_step_that_fails_frees_the_lock(store: Store) -> None:
    @one_at_a_time
    def step(store: Store, source: str) -> None:
        raise MeleePipelineError(source)

    for _ in range(2):
        with pytest.raises(MeleePipelineError, match="gang"):
            step(store, "gang")


def leave(path: Path) -> Path:
    """A file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("left")
    return path


def test_what_killed_runs_left_is_swept(store: Store) -> None:
    gone = [
        leave(store.archives("gang") / ".a.7z.x1y2.tmp"),
        leave(store.games("gang") / ".abc.parquet.x1y2.tmp"),
        leave(store.replays("gang").parent / ".gang.x1y2.tmp" / "deep" / "a.slp"),
        leave(store.replays("gang") / ".games.7z.x1y2.tmp" / "a.slp"),
        leave(store.shards("gang").parent / ".gang.x1y2.tmp" / "0000.safetensors"),
        leave(store.root / "stamps" / "archive" / ".gang.json.x1y2.tmp"),
    ]
    stays = [
        leave(store.archives("gang") / "a.7z"),
        leave(store.archives("gang") / ".abc.part"),
        leave(store.archives("gang") / ".abc.json"),
        leave(store.games("gang") / "abc.parquet"),
        leave(store.replays("gang-2").parent / ".gang-2.x1y2.tmp" / "a.slp"),
        leave(store.replays("gang") / "games.7z" / ".hidden.tmp"),
        leave(store.root / "stamps" / "archive" / ".gang-2.json.x1y2.tmp"),
    ]
    with source_lock(store, "gang"):
        assert [path for path in gone if path.exists()] == []
        assert [path for path in stays if not path.exists()] == []


def test_a_folder_that_was_set_aside_and_never_replaced_comes_back(store: Store) -> None:
    leave(store.replays("gang") / ".games.7z.x1y2.old" / "a.slp")
    leave(store.replays("gang") / ".games.7z.x1y2.tmp" / "new.slp")
    leave(store.replays("gang") / ".other.7z.x1y2.old" / "a.slp")
    leave(store.replays("gang") / "other.7z" / "new.slp")
    with source_lock(store, "gang"):
        found = {p.relative_to(store.replays("gang")) for p in store.replays("gang").rglob("*.slp")}
    assert found == {Path("games.7z/a.slp"), Path("other.7z/new.slp")}
