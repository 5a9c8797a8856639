"""Runs that are killed, disks that are full, and two runs at once: nothing is lost or done twice.

Four kills by default; MELEE_KILLS=20 for as many as one has patience for.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from melee_pipeline.errors import BusyError
from melee_pipeline.progress import Progress
from melee_pipeline.replays.write import to_bytes
from melee_pipeline.sources.catalog import Source
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.sources.extract import extract_replays
from melee_pipeline.store import ARCHIVE, GAMES, REPLAYS, Store, file_sha256, read_json
from melee_pipeline_tests.replays.games import small_game
from melee_pipeline_tests.sources import server
from melee_pipeline_tests.sources.archives import replay_bytes, seven_bytes, zip_bytes
from melee_pipeline_tests.sources.server import Answer, File, Request, Site

KILLS = int(os.environ.get("MELEE_KILLS", "4"))
CHAIN = """
import sys
from melee_pipeline.errors import MeleePipelineError
from melee_pipeline.progress import Quiet
from melee_pipeline.replays.source import parse_source
from melee_pipeline.sources.catalog import Source
from melee_pipeline.sources.download import fetch_archive
from melee_pipeline.sources.extract import extract_replays
from melee_pipeline.sources.plan import Network
from melee_pipeline.store import Store
import pyarrow.parquet, py7zr, peppi_py
store = Store(sys.argv[1])
source = Source(name="s", kind="http", location=sys.argv[2])
print("ready", flush=True)
try:
    fetch_archive(store, source, Quiet(), Network(tries=1, spare=0))
    extract_replays(store, "s", Quiet())
    parse_source(store, "s", Quiet(), workers=1)
except MeleePipelineError as error:
    sys.exit(f"error: {error}")
print("done", flush=True)
"""


@pytest.fixture
def site() -> Iterator[Site]:
    with server.site() as found:
        yield found


def slowly(file: File, request: Request) -> Answer:
    """The file in small pieces, so that a kill may come in the middle."""
    return replace(file.asked(request), pieces=20)


def start(root: Path, url: str) -> subprocess.Popen[str]:
    """The chain in a process of its own, once its imports are done."""
    command = [sys.executable, "-c", CHAIN, str(root), url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def run(root: Path, url: str) -> None:
    """The chain to its end."""
    with start(root, url) as process:
        out, errors = process.communicate()
    assert (out, errors, process.returncode) == ("done\n", "", 0)


def made(root: Path) -> dict[str, str]:
    """Every artefact, by name: its content. Stamps say when they were made: they come without."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if not path.is_file() or name.startswith("locks/"):
            continue
        found[name] = file_sha256(path)
        if name.startswith("stamps/"):
            found[name] = read_json(path)["version"]
    return found


@dataclass
class State:
    """What a killed run has finished."""

    stamps: dict[str, str]
    games: dict[str, int]

    @classmethod
    def of(cls, store: Store) -> State:
        stamps = {
            stage: s.made_at
            for stage in (ARCHIVE, REPLAYS, GAMES)
            if (s := store.stamp(stage, "s"))
        }
        paths = store.games("s").glob("*.parquet")
        return cls(stamps, {p.name: p.stat().st_ino for p in paths if p.stem != "index"})


def test_kills_at_random_moments_cost_nothing_that_was_finished(tmp_path: Path, site: Site) -> None:
    games = {f"game {i}.slp": to_bytes(small_game(2000 + i, seed=i)) for i in range(5)}
    url = site.serve("/games.7z", seven_bytes(games))
    site.files["/games.7z"].always = slowly
    began = time.monotonic()
    run(tmp_path / "undisturbed", url)
    span = time.monotonic() - began
    expected = made(tmp_path / "undisturbed")
    assert sum(name.startswith("games/s/") for name in expected) == 1 + len(games)
    rng = random.Random(7)
    hit = set()
    for number in range(KILLS):
        store = Store(tmp_path / str(number))
        with start(store.root, url) as process:
            with suppress(subprocess.TimeoutExpired):
                # The later half of `span` is mostly the start of the interpreter.
                process.wait(span * rng.uniform(0.02, 0.5))
            process.kill()
        before, asked = State.of(store), len(site.requests)
        hit.add(len(before.stamps))
        run(store.root, url)
        after = State.of(store)
        # Parsing differs where the run was killed: how many it still had to read, when it did so.
        assert made(store.root) == expected
        assert after.stamps.items() >= before.stamps.items()
        assert after.games.items() >= before.games.items()
        if ARCHIVE in before.stamps:
            assert len(site.requests) == asked
    print(f"kills came after so many finished steps: {sorted(hit)}")


def test_a_second_run_is_refused_while_the_first_downloads(
    store: Store, site: Site, quiet: Progress
) -> None:
    body = zip_bytes({f"{i}.slp": replay_bytes(i) for i in range(100)})
    gate = threading.Event()

    def waiting(file: File, request: Request) -> Answer:
        assert gate.wait(30)
        return file.asked(request)

    source = Source(name="s", kind="http", location=site.serve("/a.zip", body, waiting))
    first = threading.Thread(target=fetch_archive, args=(store, source, quiet))
    first.start()
    while not site.requests:
        time.sleep(0.01)
    with pytest.raises(BusyError, match=r"s: process .* is working on it"):
        fetch_archive(store, source, quiet)
    gate.set()
    first.join()
    assert not fetch_archive(store, source, quiet).fresh
    assert len(site.requests) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of three megabytes."""
    where = tmp_path / "disk"
    where.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(where)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small file system cannot be mounted here: {error}")
    try:
        yield where
    finally:
        subprocess.run(["umount", str(where)], check=True)


def grow(disk: Path) -> None:
    """Free some space, as a user would."""
    subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)


@pytest.mark.parametrize("announced", [True, False])
def test_a_disk_that_fills_up_while_downloading(
    small_disk: Path, site: Site, announced: bool
) -> None:
    body = zip_bytes({f"{i}.slp": random.Random(i).randbytes(1 << 20) for i in range(5)})
    faults = [] if announced else [server.no_length]
    url = site.serve("/a.zip", body, *faults)
    with start(small_disk / "data", url) as process:
        _, errors = process.communicate()
    if announced:
        assert f"{len(body):,} bytes are to come, " in errors
    else:
        assert "s: the disk of " in errors
        assert "is full" in errors
    assert "free some" in errors
    store = Store(small_disk / "data")
    assert [p for p in store.archives("s").iterdir() if not p.name.startswith(".")] == []
    grow(small_disk)
    with start(store.root, url) as process:  # what is in the archive is no replay of any game
        process.communicate()
    stamp = store.stamp(ARCHIVE, "s")
    assert stamp is not None
    assert Path(stamp.facts["file"]).read_bytes() == body
    assert (stamp.report["resumed_from"] > 0) != announced


def test_a_disk_that_fills_up_while_extracting(
    small_disk: Path, site: Site, tmp_path: Path
) -> None:
    games = {f"{i}.slp": to_bytes(small_game(700, seed=i)) for i in range(2)}
    games |= {f"z{i}.slp": bytes(1 << 20) for i in range(4)}
    url = site.serve("/games.zip", zip_bytes(games))
    store = Store(small_disk / "data")
    with start(store.root, url) as process:
        _, errors = process.communicate()
    assert "the disk of " in errors
    assert "is full" in errors
    assert store.stamp(ARCHIVE, "s") is not None
    assert store.stamp(REPLAYS, "s") is None
    assert list(store.replays("s").rglob("*.slp")) == []
    grow(small_disk)
    run(store.root, url)
    run(tmp_path / "undisturbed", url)
    assert made(store.root) == made(tmp_path / "undisturbed")
    assert len(site.requests) == 2


def test_a_file_size_limit_is_named_like_a_full_disk(
    store: Store, site: Site, quiet: Progress
) -> None:
    """What a quota does, where nothing can be mounted."""
    body = zip_bytes({"a.slp": random.Random(0).randbytes(1 << 20)})
    url = site.serve("/a.zip", body)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, limit[1]))
    try:
        with pytest.raises(Exception, match=r"s: the disk of .* is full .*run again"):
            fetch_archive(store, Source(name="s", kind="http", location=url), quiet)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    stamp = fetch_archive(store, Source(name="s", kind="http", location=url), quiet)
    assert stamp.report["resumed_from"] == 1 << 19
    assert Path(stamp.facts["file"]).read_bytes() == body
    extract_replays(store, "s", quiet)
