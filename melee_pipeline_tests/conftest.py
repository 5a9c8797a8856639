"""Where tests find real replays, and small data that many of them share."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings

from melee_pipeline.progress import Progress, Quiet
from melee_pipeline.store import Store
from melee_pipeline_tests.replays.games import small_game, write_games

# Small models gain nothing from threads, and threads that wait for a busy core cost seconds a step.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"

# A machine may be busy: how long an example takes says nothing of the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

ARCHIVES = ("sample-2020.zip", "sample-dpg.7z", "sample-netplay.7z")


def shared_replays() -> Path:
    """The folder of real replays: MELEE_SHARED, else `shared` beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    return Path(os.environ.get("MELEE_SHARED", beside)) / "replays"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on real replays are skipped, with the reason, where there are none."""
    folder = shared_replays()
    if folder.is_dir():
        return
    for item in items:
        if item.get_closest_marker("replays"):
            item.add_marker(
                pytest.mark.skip(reason=f"no real replays at {folder}; MELEE_SHARED names another")
            )


@pytest.fixture(scope="session")
def replays_folder() -> Path:
    """The archives of real replays."""
    return shared_replays()


def _by_md5(archive: str, folder: Path) -> dict[str, Path]:
    from melee_pipeline.sources.extract import extract_archive, folder_replays
    from melee_pipeline.store import file_md5

    extract_archive(shared_replays() / archive, folder, Quiet())
    return {file_md5(file.path): file.path for file in folder_replays(folder)}


@pytest.fixture(scope="session")
def edge_replays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Real troublesome files by MD5: cut, damaged, of odd versions, not replays at all."""
    return _by_md5("edge.7z", tmp_path_factory.mktemp("edge"))


@pytest.fixture(scope="session")
def real_replays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Real replays by MD5, extracted once in a test run by the project's own extractor."""
    found: dict[str, Path] = {}
    for name in ARCHIVES:
        found |= _by_md5(name, tmp_path_factory.mktemp(name.partition(".")[0]))
    return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty data root."""
    return Store(tmp_path / "data")


@pytest.fixture
def quiet() -> Progress:
    """Progress that tells nobody."""
    return Quiet()


@pytest.fixture(scope="session")
def built_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two local sources through the whole chain up to the training set; not to be changed.

    `alpha` has four games, one of them of Slippi 2.0.1; `beta` has three, the last of which is
    alpha's first, saved again with other metadata. Six games are left.
    """
    from melee_pipeline.pipeline import source_steps
    from melee_pipeline.replays.game import Metadata
    from melee_pipeline.sources.catalog import add_source
    from melee_pipeline.tensors.join import build_training_set

    root = tmp_path_factory.mktemp("built")
    games = [small_game(1800 + 10 * seed, seed=seed) for seed in range(5)]
    games.append(small_game(1850, seed=5, version=(2, 0, 1)))
    resaved = replace(games[0], metadata=Metadata(start_at="2002-02-02T02:02:02Z"))
    write_games(root / "alpha", *games[:3], games[5])
    write_games(root / "beta", *games[3:5], resaved)
    store = Store(root / "data")
    for name in ("alpha", "beta"):
        source = add_source(store, name, str(root / name))
        for step in source_steps(store, source, Quiet(), workers=1):
            step()
    build_training_set(store, Quiet())
    return store


@pytest.fixture
def own_store(built_store: Store, tmp_path: Path) -> Store:
    """A copy of `built_store` that a test may change."""
    shutil.copytree(built_store.root, tmp_path / "data")
    return Store(tmp_path / "data")
