"""What a file is, by its bytes: which archive, whether it was cut off, whether it is junk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Kind = Literal["7z", "zip", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst", "slp", "slp.gz"]

# What unpacking damaged bytes raises.
UNPACK_ERRORS = (zlib.error, lzma.LZMAError, zstd.ZstdError, EOFError)
HEAD = 1 << 13  # so many first bytes tell what a file is
_SEVEN = b"7z\xbc\xaf\x27\x1c"
_REPLAY = b"{U\x03raw[$U#l"
_ARCHIVE_NAMES = (
    *(".7z", ".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tzst"),
    *(f".tar.{packed}" for packed in ("gz", "bz2", "xz", "zst")),
)


def _gunzip(head: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(head, 1 << 16)


def _unxz(head: bytes) -> bytes:
    return lzma.LZMADecompressor().decompress(head, 1 << 16)


def _unzst(head: bytes) -> bytes:
    return zstd.ZstdDecompressor().decompress(head, 1 << 16)


_PACKED: tuple[tuple[bytes, Kind, Callable[[bytes], bytes]], ...] = (
    (b"\x1f\x8b", "tar.gz", _gunzip),
    (b"\xfd7zXZ\x00", "tar.xz", _unxz),
    (b"\x28\xb5\x2f\xfd", "tar.zst", _unzst),
)


def kind_of(head: bytes) -> Kind | None:
    """What a file is that begins with these bytes (HEAD of them, or all that it has)."""
    if head.startswith(_SEVEN):
        return "7z"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(_REPLAY):
        return "slp"
    if head.startswith(b"BZh") and head[4:10] == b"1AY&SY":
        return "tar.bz2"  # a block is up to 900 kB: its first bytes do not tell what is inside
    for magic, kind, unpack in _PACKED:
        if head.startswith(magic):
            return _inside(kind, head, unpack)
    return "tar" if _is_tar(head) else None


def _inside(kind: Kind, head: bytes, unpack: Callable[[bytes], bytes]) -> Kind | None:
    try:
        start = unpack(head)
    except UNPACK_ERRORS:
        return None
    if kind == "tar.gz" and start.startswith(_REPLAY):
        return "slp.gz"
    # zstd packs blocks of 128 kB: the first bytes may not tell what is inside.
    return kind if _is_tar(start) or (kind == "tar.zst" and not start) else None


def _is_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def archive_kind(path: Path) -> Kind | None:
    """What a file is, by its first bytes; None for anything that holds no replays."""
    with path.open("rb") as file:
        return kind_of(file.read(HEAD))


def cut_off(path: Path) -> str | None:
    """Why an archive cannot be whole, as far as that is quickly told; None for no reason found.

    7z says in its first bytes where it ends; zip ends with its list of contents.
    """
    kind, size = archive_kind(path), path.stat().st_size
    with path.open("rb") as file:
        if kind == "7z":
            offset, length = struct.unpack("<QQ", file.read(28)[12:]) if size >= 32 else (0, 0)
            ends = 32 + offset + length
            return f"it has {size:,} bytes of {ends:,}" if size < max(ends, 32) else None
        if kind == "zip":
            file.seek(max(0, size - (1 << 16) - 22))
            return None if _has_zip_end(file.read()) else "its list of contents is missing"
    return None


def _has_zip_end(tail: bytes) -> bool:
    """Whether a zip's last record is there, whole: 22 bytes and a comment of the length it says."""
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + 22 > len(tail):
        return False
    return at + 22 + int(struct.unpack_from("<H", tail, at + 20)[0]) <= len(tail)


def is_replay(name: str) -> bool:
    """Whether a file's name is a replay's, compressed or not."""
    return name.lower().endswith((".slp", ".slp.gz"))


def is_archive_name(name: str) -> bool:
    """Whether a file's name is an archive's."""
    return name.lower().endswith(_ARCHIVE_NAMES)


def is_junk(name: str) -> bool:
    """Whether a path is of the metadata that macOS adds to archives and foreign disks."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return "__MACOSX" in parts or (bool(parts) and parts[-1].startswith("._"))


def open_tar(path: Path, kind: Kind) -> IO[bytes]:
    """A tar's own bytes, unpacked as they are read."""
    openers: dict[str, Callable[[Path], Any]] = {
        "tar.gz": gzip.open,
        "tar.bz2": bz2.open,
        "tar.xz": lzma.open,
        "tar.zst": zstd.open,
    }
    stream: IO[bytes] = openers[kind](path) if kind in openers else path.open("rb")
    return stream
