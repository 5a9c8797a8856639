"""Extraction of a large archive: seconds, and the most memory that it takes.

    python benchmarks/extract.py                           2 GB of 3 MB files in one solid 7z
    python benchmarks/extract.py --kind zip --gigabytes 1
    python benchmarks/extract.py --tool 7zz                made by an installed program, which is
                                                           measured beside

The files are random bytes of half their size in entropy, about as hard to unpack as replays are.
Each measurement runs in a process of its own, whose peak resident memory Linux tells.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import py7zr
from backports import zstd

FILE_BYTES = 3_000_000
MEASURE = """
import json, sys, time
from pathlib import Path
from melee_pipeline.progress import Quiet
from melee_pipeline.sources.extract import extract_archive
started = time.monotonic()
found = extract_archive(Path(sys.argv[1]), Path(sys.argv[2]), Quiet())
print(json.dumps({
    "files": found.replays,
    "bytes": found.bytes,
    "seconds": time.monotonic() - started,
    "peak": int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024,
}))
"""


def files(count: int) -> Iterator[tuple[str, bytes]]:
    """Names and contents."""
    rng = np.random.default_rng(0)
    for number in range(count):
        yield f"games/{number:05d}.slp", rng.integers(0, 16, FILE_BYTES, dtype=np.uint8).tobytes()


def make(path: Path, kind: str, count: int, tool: str | None) -> None:
    """Write an archive of `count` files."""
    if kind == "7z" and tool:  # minutes faster
        with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
            for name, body in files(count):
                target = Path(temporary) / name
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(body)
            command = [tool, "a", "-mx=1", "-md=64m", "-ms=on", str(path), "games"]
            subprocess.run(command, check=True, capture_output=True, cwd=temporary)
    elif kind == "7z":
        # The dictionary of 7z's own "ultra" setting: it is what unpacking has to keep in memory.
        filters = [{"id": py7zr.FILTER_LZMA2, "preset": 1, "dict_size": 64 << 20}]
        with py7zr.SevenZipFile(path, "w", filters=filters) as seven:
            for name, body in files(count):
                seven.writef(BytesIO(body), name)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, body in files(count):
                archive.writestr(name, body)
    else:
        with zstd.open(path, "wb") as stream, tarfile.open(fileobj=stream, mode="w|") as tar:
            for name, body in files(count):
                info = tarfile.TarInfo(name)
                info.size = len(body)
                tar.addfile(info, BytesIO(body))


def measure(archive: Path, folder: Path) -> dict[str, float]:
    """Extract in a process of its own."""
    command = [sys.executable, "-c", MEASURE, str(archive), str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    """Make the archive, extract it, print a line; nothing is left behind."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kind", choices=("7z", "zip", "tar.zst"), default="7z")
    options.add_argument("--gigabytes", type=float, default=2.0, help="of the archive itself")
    options.add_argument("--tool", help="an installed 7z or 7zz to compare with")
    options.add_argument(
        "--folder", type=Path, help="where to work; a temporary folder if not said"
    )
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as temporary:
        archive, out = Path(temporary) / f"games.{chosen.kind}", Path(temporary) / "out"
        out.mkdir()
        make(archive, chosen.kind, max(1, round(chosen.gigabytes * 2e9 / FILE_BYTES)), chosen.tool)
        size = archive.stat().st_size
        found = measure(archive, out)
        rate = found["bytes"] / found["seconds"] / 1e6
        print(
            f"{chosen.kind} of {size / 1e9:.2f} GB, {found['files']:.0f} files: "
            f"{found['seconds']:.1f} s, {rate:.0f} MB/s out, peak {found['peak'] / 1e6:.0f} MB"
        )
        if chosen.tool:
            started = time.monotonic()
            beside = Path(temporary) / "beside"
            command = [chosen.tool, "x", "-y", f"-o{beside}", str(archive)]
            subprocess.run(command, check=True, capture_output=True)
            print(f"{chosen.tool}: {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
