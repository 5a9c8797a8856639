"""Extraction of a large archive: seconds, and the most memory that it takes.

    python benchmarks/extract.py                           2 GB of 3 MB files in one solid 7z
    python benchmarks/extract.py --kind zip --gigabytes 1
    python benchmarks/extract.py --tool 7zz                the same with an installed program beside

Each file is noise in one half and repetition in the other: it packs two to one.
Each measurement runs in a process of its own, whose peak resident memory Linux tells.
"""

from __future__ import annotations

import argparse
import json
import lzma
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
UNIT = 10  # different files
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
    """Names and contents: UNIT different ones, again and again."""
    rng = np.random.default_rng(0)
    bodies = []
    for _ in range(min(UNIT, count)):
        noise = rng.bytes(FILE_BYTES // 2)
        bodies.append(noise + noise[:5000] * (FILE_BYTES // 10_000))
    for number in range(count):
        yield f"games/{number:05d}.slp", bodies[number % UNIT]


class Again:
    """In the place of a compressor: packs the first UNIT files, and gives that again for the rest.

    LZMA2 packed by itself begins with a reset, so one may stand after another. To pack gigabytes
    in earnest takes an hour.
    """

    def __init__(self, filters: list[dict[str, int]]) -> None:
        unit = b"".join(body for _, body in files(UNIT))
        self._packed = lzma.compress(unit, lzma.FORMAT_RAW, filters=filters)[:-1]
        self._size, self._came = len(unit), 0

    def compress(self, data: bytes) -> bytes:
        """What is packed when `data` has come too."""
        before = self._came // self._size
        self._came += len(data)
        return self._packed * (self._came // self._size - before)

    def flush(self) -> bytes:
        """The end of LZMA2."""
        assert self._came % self._size == 0, "whole units only"
        return b"\0"


def make(path: Path, kind: str, count: int) -> None:
    """Write an archive of `count` files."""
    if kind == "7z":
        # The dictionary of 7z's own "ultra" setting: it is what unpacking has to keep in memory.
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 64 << 20}]
        with py7zr.SevenZipFile(path, "w", filters=filters) as seven:
            seven.header.initialize().get_compressor().chain[0] = Again(filters)
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
        units = max(1, round(chosen.gigabytes * 2e9 / FILE_BYTES / UNIT))
        make(archive, chosen.kind, units * UNIT)
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
