"""Time of parsing to Parquet, per core, over the time of peppi's `read_slippi` on the same files.

    python -m benchmarks.parse FOLDER [--rounds 5] [--every 1]

FOLDER holds replays or archives of them. Both run in this one process, on one core, taking
turns, after a first round that warms the disk cache. Parsing is all that `parse_files` does for a
file: hashes, filters, tables, index. The table gives the best round of each, by processor time
and by the clock.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from peppi_py import read_slippi

from melee_pipeline.progress import Quiet
from melee_pipeline.replays.parse import parse_files
from melee_pipeline.sources.extract import extract_archive, folder_replays
from melee_pipeline.sources.kinds import archive_kind, is_replay
from melee_pipeline.sources.unpack import ReplayFile
from melee_pipeline.store import file_md5
from melee_pipeline.tables import simple


def gather(folder: Path, target: Path) -> list[ReplayFile]:
    """Every replay below the folder and in its archives, each once; those peppi reads."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not is_replay(path.name) and archive_kind(path):
            extract_archive(path, target / path.name, Quiet())
    found = [*folder_replays(folder), *folder_replays(target)]
    files = {file_md5(file.path): file for file in found if file.path.stat().st_size}
    return list(files.values())


def measure(action: Callable[[], object]) -> tuple[float, float]:
    """Processor seconds and seconds."""
    processor, clock = time.process_time(), time.perf_counter()
    action()
    return time.process_time() - processor, time.perf_counter() - clock


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--every", type=int, default=1, help="take every n-th file only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        files = gather(options.folder, Path(name) / "replays")[:: options.every]
        reading: list[tuple[float, float]] = []
        parsing: list[tuple[float, float]] = []
        games = 0
        for _ in range(options.rounds + 1):
            out = Path(name) / "out"
            reading.append(measure(lambda: [read_slippi(str(file.path)) for file in files]))
            parsing.append(measure(lambda out=out: parse_files(files, out, Quiet(), workers=0)))  # type: ignore[misc]
            games = len(list(out.glob("*.parquet"))) - 1
            size = sum(path.stat().st_size for path in out.rglob("*.parquet"))
            shutil.rmtree(out)
        replays = sum(file.path.stat().st_size for file in files)
    rows = []
    for which, label in enumerate(("processor", "clock")):
        peppi = min(pair[which] for pair in reading[1:])
        ours = min(pair[which] for pair in parsing[1:])
        per_file = 1000 / len(files)
        rows.append((label, peppi * per_file, ours * per_file, ours / peppi))
    title = (
        f"{len(files)} files, {replays / 1e6:.0f} MB; {games} games, {size / 1e6:.1f} MB of Parquet"
    )
    from rich.console import Console

    Console().print(
        simple(title, ("time", "read_slippi, ms a file", "parse, ms a file", "ratio"), rows)
    )


if __name__ == "__main__":
    main()
