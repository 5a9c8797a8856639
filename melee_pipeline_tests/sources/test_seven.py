"""7z archives of every method that py7zr knows, one block or many; memory stays small."""

from __future__ import annotations

import random
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import py7zr
import pytest

from melee_pipeline.progress import Quiet
from melee_pipeline.sources.extract import extract_archive, folder_replays
from melee_pipeline.sources.seven import seven_members

LZMA2 = {"id": py7zr.FILTER_LZMA2, "preset": 1}
METHODS: dict[str, list[dict[str, int]]] = {
    "lzma2": [LZMA2],
    "lzma": [{"id": py7zr.FILTER_LZMA, "preset": 1}],
    "delta, lzma2": [{"id": py7zr.FILTER_DELTA, "dist": 4}, LZMA2],
    "bcj, lzma2": [{"id": py7zr.FILTER_X86}, LZMA2],
    "bcj, lzma": [{"id": py7zr.FILTER_X86}, {"id": py7zr.FILTER_LZMA, "preset": 1}],
    "bcj, bzip2": [{"id": py7zr.FILTER_X86}, {"id": py7zr.FILTER_BZIP2}],
    "bzip2": [{"id": py7zr.FILTER_BZIP2}],
    "deflate": [{"id": py7zr.FILTER_DEFLATE}],
    "ppmd": [{"id": py7zr.FILTER_PPMD, "order": 6, "mem": 24}],
    "zstd": [{"id": py7zr.FILTER_ZSTD, "level": 3}],
    "brotli": [{"id": py7zr.FILTER_BROTLI, "level": 4}],
    "copy": [{"id": py7zr.FILTER_COPY}],
}


def body(number: int, size: int = 100_000) -> bytes:
    """Bytes with more order in some stretches than in others.

    No long run of one byte is among them: what pyppmd packs of those it cannot unpack.
    """
    rng = random.Random(number)
    part = rng.randbytes(size // 8)
    steps = bytes((i * i // (7 + number) + i // 3) % 256 for i in range(size // 2))
    return part + steps + part[::-1] + rng.randbytes(size // 8) + part


MEMBERS = {f"{i}.{'slp' if i % 3 else 'txt'}": body(i) for i in range(9)} | {"empty.slp": b""}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_what_was_packed(tmp_path: Path, method: str) -> None:
    """Members that nobody wants lie between, and one that is only begun."""
    path = tmp_path / "x.7z"
    with py7zr.SevenZipFile(path, "w", filters=METHODS[method]) as archive:
        for name, data in MEMBERS.items():
            archive.writestr(data, name)
    found = {}
    for name, opener, skip in seven_members(path):
        assert skip is None
        if name == "4.slp":
            with opener() as begun:
                assert begun.read(1000) == MEMBERS[name][:1000]
        elif name.endswith(".slp"):
            with opener() as stream:
                found[name] = stream.read()
    wanted = {name for name in MEMBERS if name.endswith(".slp")} - {"4.slp"}
    assert found == {name: MEMBERS[name] for name in wanted}


def test_many_blocks(tmp_path: Path) -> None:
    file = BytesIO()
    for number, (name, data) in enumerate(MEMBERS.items()):
        file.seek(0)
        method = list(METHODS.values())[number % 3]
        mode = "a" if number else "w"
        with py7zr.SevenZipFile(file, mode, filters=method) as archive:
            archive.writestr(data, name)
    path = tmp_path / "x.7z"
    path.write_bytes(file.getvalue())
    (tmp_path / "out").mkdir()
    extract_archive(path, tmp_path / "out", Quiet())
    found = {f.name: f.path.read_bytes() for f in folder_replays(tmp_path / "out")}
    assert found == {name: data for name, data in MEMBERS.items() if name.endswith(".slp")}


LIMITED = """
import sys
from pathlib import Path
from melee_pipeline.progress import Quiet
from melee_pipeline.sources.extract import extract_archive
extract_archive(Path(sys.argv[1]), Path(sys.argv[2]), Quiet())
# Not ru_maxrss: that counts the memory of the process which started this one.
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) * 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak")
def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    """A reader that reads ahead of what it unpacks holds half of this archive in its memory."""
    peaks = []
    for count in (1, 16):
        path = tmp_path / f"{count}.7z"
        one = bytes(1 << 20)
        with py7zr.SevenZipFile(path, "w", filters=[LZMA2]) as archive:
            for number in range(count):
                archive.writestr(random.Random(number).randbytes(1 << 18) + one, f"{number}.slp")
        out = tmp_path / str(count)
        out.mkdir()
        command = [sys.executable, "-c", LIMITED, str(path), str(out)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 1 << 20
