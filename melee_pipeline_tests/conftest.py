"""Where tests find real replays, and small data that many of them share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from melee_pipeline.progress import Progress, Quiet
from melee_pipeline.store import Store

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
