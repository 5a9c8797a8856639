"""7z archives, read block by block in one pass.

py7zr opens the archive and unpacks; the walk over its blocks is ours, because py7zr's own ends at
the first damaged member, starts a thread for each block, and hands files out only when it wrote
them all. Here a damaged block costs its own later members and no others, and a member is a stream.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import py7zr
from py7zr.exceptions import Bad7zFile, CrcError, PasswordRequired

from melee_pipeline.errors import ExtractError

_CHUNK = 1 << 20  # bytes unpacked at a time
_SIP = 1 << 16  # packed bytes read at a time
_AES = b"\x06\xf1\x07\x01"

SevenMember = tuple[str, Callable[[], IO[bytes]], str | None]


class _Block:
    """A run of members that are packed as one: to read one is to unpack all before it."""

    def __init__(self, file: IO[bytes], start: int, packed: int, folder: Any) -> None:  # noqa: ANN401 - py7zr's
        self._file, self._start, self._packed, self._folder = file, start, packed, folder
        self._decompressor: Any = None
        self._behind = 0  # unpacked bytes of members that nobody opened
        encrypted = any(coder["method"] == _AES for coder in folder.coders)
        self.broken: str | None = "encrypted" if encrypted else None

    def skip(self, size: int) -> None:
        """Go past a member that nobody wants; nothing is unpacked unless a later one is wanted."""
        self._behind += size

    def open(self, name: str, size: int, crc: int | None) -> IO[bytes]:
        """A member as a stream, whose reading raises what py7zr and its unpackers raise."""
        return io.BufferedReader(_Stream(self, name, size, crc), _CHUNK)

    def read(self, count: int) -> bytes:
        """Unpack at most `count` bytes, once what lies behind has been unpacked and dropped."""
        try:
            while self._behind:
                self._behind -= len(self._unpack(min(self._behind, _CHUNK)))
            return self._unpack(count)
        except MemoryError as error:  # of damaged PPMd, and of dictionaries larger than memory
            self.broken = "damaged"
            raise Bad7zFile("unpacking it takes more memory than there is") from error
        except Exception:
            self.broken = "damaged"
            raise

    def _unpack(self, count: int) -> bytes:
        if self._decompressor is None:
            self._file.seek(self._start)
            self._decompressor = self._folder.get_decompressor(self._packed)
        sips = _Sips(self._file, self._decompressor.chain[0])
        while True:
            before = self._file.tell()
            data = self._decompressor.decompress(sips, count)
            if data:
                return bytes(data)
            if self._file.tell() == before:
                raise Bad7zFile("it breaks off")


class _Sips:
    """The packed file, read no faster than LZMA and bzip2 unpack it.

    py7zr reads a megabyte at each call, wanted or not, and those keep what they have no use for
    yet: of a large solid block, nearly all comes to lie in memory. Of other methods py7zr itself
    keeps what was unpacked too early, and reads on when that is used up.
    """

    def __init__(self, file: IO[bytes], unpacker: Any) -> None:  # noqa: ANN401 - one of many classes
        self._file = file
        inner = (unpacker, getattr(unpacker, "_decompressor", None))
        self._teller = next((one for one in inner if hasattr(one, "needs_input")), None)

    def read(self, size: int) -> bytes:
        """At most a sip, and nothing while the unpacker has enough."""
        if self._teller is None:
            return self._file.read(size)
        return self._file.read(min(size, _SIP)) if self._teller.needs_input else b""


class _Stream(io.RawIOBase):
    """One member of a block, checked against its CRC at its end."""

    def __init__(self, block: _Block, name: str, size: int, crc: int | None) -> None:
        super().__init__()
        self._block, self._name, self._left, self._crc = block, name, size, crc
        self._seen = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - a buffer, as RawIOBase has it
        if not self._left:
            return 0
        data = self._block.read(min(self._left, len(buffer), _CHUNK))
        self._left -= len(data)
        self._seen = zlib.crc32(data, self._seen)
        buffer[: len(data)] = data
        if not self._left and self._crc is not None and self._seen != self._crc:
            raise CrcError(self._crc, self._seen, self._name)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._block.skip(self._left)
            self._left = 0
        super().close()


def seven_members(path: Path) -> Iterator[SevenMember]:
    """Name, opener and reason to skip of each file in a 7z archive, in its order.

    Raises ExtractError when its list of contents is encrypted or damaged: then nothing is known.
    """
    with path.open("rb") as file:
        archive = _opened(path, file)
        blocks = _blocks(archive, file)
        for member in archive.files:
            name, size = str(member.filename), int(member.uncompressed or 0)
            if member.is_directory:
                continue
            block = blocks.get(id(member.folder)) if not member.emptystream else None
            if block is None:
                yield name, io.BytesIO, _skip(member, None)
                continue
            opened = _Once(partial(block.open, name, size, member.crc32))
            yield name, opened, _skip(member, block)
            if not opened.done:
                block.skip(size)


class _Once:
    """An opener that remembers whether it was used."""

    def __init__(self, opener: Callable[[], IO[bytes]]) -> None:
        self._opener, self.done = opener, False

    def __call__(self) -> IO[bytes]:
        self.done = True
        return self._opener()


def _skip(member: Any, block: _Block | None) -> str | None:  # noqa: ANN401 - py7zr's
    if member.is_symlink or member.is_junction or member.is_socket:
        return "link or device"
    return block.broken if block else None


def _opened(path: Path, file: IO[bytes]) -> py7zr.SevenZipFile:
    try:
        return py7zr.SevenZipFile(file)
    except PasswordRequired as error:
        raise ExtractError(
            f"{path} is encrypted, names and all: unpack it with its password, and register the "
            "folder: melee-pipeline sources add NAME PATH"
        ) from error
    except Exception as error:
        # py7zr lets out whatever its parser meets in damaged headers (struct.error, IndexError, …)
        raise ExtractError(
            f"{path} cannot be extracted: its list of contents is damaged "
            f"({type(error).__name__}: {error}); delete it and download it again"
        ) from error


def _blocks(archive: py7zr.SevenZipFile, file: IO[bytes]) -> dict[int, _Block]:
    streams = getattr(archive.header, "main_streams", None)
    if streams is None:
        return {}
    positions = streams.packinfo.packpositions
    return {
        id(folder): _Block(
            file, archive.afterheader + positions[i], positions[i + 1] - positions[i], folder
        )
        for i, folder in enumerate(streams.unpackinfo.folders)
    }
