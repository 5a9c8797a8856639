"""Small archives that tests make: of every kind, with whatever members are asked for."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import py7zr
from backports import zstd

Members = Mapping[str, bytes]
KINDS = ("zip", "7z", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst")


def replay_bytes(number: int, size: int = 3000) -> bytes:
    """Bytes that differ from number to number and pack about as well as a replay does."""
    return b"{U\x03raw[$U#l" + bytes((number * 7 + i * i) % 251 for i in range(size))


def zip_bytes(members: Members, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return out.getvalue()


def seven_bytes(
    members: Members, *, password: str | None = None, hide_names: bool = False
) -> bytes:
    """A solid 7z."""
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w", password=password, header_encryption=hide_names) as archive:
        for name, body in members.items():
            archive.writestr(body, name)
    return out.getvalue()


def tar_bytes(members: Members, *extra: tarfile.TarInfo) -> bytes:
    """A tar, with links and other odd entries after its files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
        for info in extra:
            archive.addfile(info)
    return out.getvalue()


def archive_bytes(kind: str, members: Members) -> bytes:
    """An archive of one of KINDS."""
    if kind == "zip":
        return zip_bytes(members)
    if kind == "7z":
        return seven_bytes(members)
    tar = tar_bytes(members)
    packers = {
        "tar": lambda data: data,
        "tar.gz": gzip.compress,
        "tar.bz2": bz2.compress,
        "tar.xz": lzma.compress,
        "tar.zst": zstd.compress,
    }
    return bytes(packers[kind](tar))


def write(folder: Path, name: str, body: bytes) -> Path:
    """A file with these bytes; folders are made."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path
