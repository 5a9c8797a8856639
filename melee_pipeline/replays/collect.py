"""Replays wherever a user has them: single files, folders, archives."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from melee_pipeline.errors import ConfigError, ReplayError
from melee_pipeline.locks import hold
from melee_pipeline.progress import Progress
from melee_pipeline.replays.export import Exported, export_files
from melee_pipeline.replays.filters import Filters
from melee_pipeline.replays.parse import Parsed, parse_files
from melee_pipeline.schema.encoding import hash_of
from melee_pipeline.sources.extract import extract_archive, folder_replays
from melee_pipeline.sources.kinds import is_replay
from melee_pipeline.sources.unpack import ReplayFile


def parse_paths(
    paths: Sequence[Path],
    out: Path,
    progress: Progress,
    *,
    filters: Filters | None = None,
    workers: int | None = None,
) -> Parsed:
    """Parse files, folders and archives into `out`, beside the games that it holds already.

    Archives are unpacked to a temporary folder.
    Raises ReplayError when a path does not exist or holds no replay.
    """
    with _gathered(paths, out, progress) as files:
        return parse_files(files, out, progress, filters=filters, workers=workers, keep_others=True)


def export_paths(
    paths: Sequence[Path], out: Path, progress: Progress, *, filters: Filters | None = None
) -> Exported:
    """Export files, folders and archives to slippi-ai's layout; see `export_files`."""
    with _gathered(paths, out, progress) as files:
        return export_files(files, out, progress, filters)


@contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Write into a folder, alone: what two write is one index. Raises BusyError.

    A lock's file has to stay, so it lies among the user's temporary files and not in the folder.
    """
    locks = Path(tempfile.gettempdir()) / f"melee-pipeline-{os.getuid()}"
    told = f"{{who}} is at work on {out}; wait until it has ended"
    with hold(locks, hash_of(str(out.resolve())), told):
        yield


@contextmanager
def _gathered(paths: Sequence[Path], out: Path, progress: Progress) -> Iterator[list[ReplayFile]]:
    """The replays at these paths. Archives are unpacked beside what is made, for as long."""
    if missing := [path for path in paths if not path.exists()]:
        raise ReplayError(f"{missing[0]} does not exist")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; name a folder, which may be a new one")
    new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with only_writer(out), ExitStack() as stack:
            files: list[ReplayFile] = []
            for path in paths:
                found = _replays_at(path, out, progress, stack)
                if not found:
                    raise ReplayError(f"{path} holds no .slp file")
                files += found
            yield files
    finally:
        if new and not any(out.iterdir()):
            out.rmdir()


def _replays_at(path: Path, out: Path, progress: Progress, stack: ExitStack) -> list[ReplayFile]:
    if path.is_dir():
        return [ReplayFile(f.path, f"{path.name}/{f.name}") for f in folder_replays(path)]
    if is_replay(path.name):
        return [ReplayFile(path, path.name)]
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".extracted-", dir=out)))
    extract_archive(path, folder, progress)
    return [ReplayFile(f.path, f"{path.name}/{f.name}") for f in folder_replays(folder)]
