"""A source's replays a few at a time: what does not fit on the disk as a whole is still parsed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from melee_pipeline.errors import ExtractError
from melee_pipeline.progress import Progress
from melee_pipeline.sources.extract import archive_folders, replay_files
from melee_pipeline.sources.unpack import Limits, ReplayFile, Unpacker
from melee_pipeline.store import ARCHIVE, REPLAYS, Store

CHUNK_BYTES = 2 << 30  # of replays that lie on the disk at a time


def replay_chunks(
    store: Store,
    source: str,
    progress: Progress,
    *,
    size: int = CHUNK_BYTES,
    limits: Limits | None = None,
) -> Iterator[list[ReplayFile]]:
    """All replays of a source, in chunks; names are the same whether they are kept or not.

    A chunk's files are gone when the next one is asked for, unless the source's replays are kept
    (then there is one chunk) or lie in a folder of the user's. Only for the holder of the
    source's lock. Raises what extraction raises, and ExtractError where there is no replay at all.
    """
    stamp = store.need(REPLAYS, source, f"--source {source}")
    found = 0
    if in_place := replay_files(store, source):
        found += len(in_place)
        yield in_place
    if not stamp.facts["kept"]:
        archives = archive_folders(store, store.need(ARCHIVE, source, f"--source {source}"))
        for archive, folder in archives.items():
            for chunk in _unpacked(Path(archive), folder, progress, size, limits, source):
                found += len(chunk)
                yield chunk
    if not found:
        raise ExtractError(f"{source} holds no replay (.slp)")


def _unpacked(
    archive: Path,
    folder: Path,
    progress: Progress,
    size: int,
    limits: Limits | None,
    source: str,
) -> Iterator[list[ReplayFile]]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".chunk.", suffix=".tmp", dir=folder.parent))
    try:
        with progress.task(f"{source}: extract {archive.name}", None, "replays") as advance:
            chunk: list[ReplayFile] = []
            held = 0
            for replay in Unpacker(archive, temporary, limits).replays():
                advance(1)
                chunk.append(ReplayFile(replay.path, f"{folder.name}/{replay.name}"))
                held += replay.path.stat().st_size
                if held >= size:
                    yield chunk
                    _remove(chunk)
                    chunk, held = [], 0
            if chunk:
                yield chunk
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove(chunk: list[ReplayFile]) -> None:
    for replay in chunk:
        replay.path.unlink(missing_ok=True)
