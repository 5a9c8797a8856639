"""Names from archives as names on this disk: none leads outside, none takes another's place."""

from __future__ import annotations

import re
import unicodedata
from hashlib import sha256
from pathlib import PurePosixPath

_LONG_PART = 160  # bytes; file systems take 255, and temporary names add to it
_LONG_PATH = 900  # bytes below the folder; systems take about 4,096 in all
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_NO_TEXT = re.compile("[\ud800-\udfff]")  # halves of pairs, or bytes of an unknown encoding
_DRIVE = re.compile("^([A-Za-z]):")


def safe_name(name: str) -> str:
    """A member's name as a relative path that stays below whatever folder it is put in.

    The name stays as it is where it can. A leading slash, a drive and `..` are dropped,
    backslashes are slashes, what is no text becomes U+FFFD, and what is too long is cut and told
    apart by a hash. The replay itself is never dropped for its name.
    """
    text = _NO_TEXT.sub("\ufffd", name)
    text = unicodedata.normalize("NFC", text.replace("\\", "/"))
    text = _DRIVE.sub(r"\1_", _CONTROL.sub("_", text))
    parts = [part for part in text.split("/") if part not in ("", ".", "..")] or ["_"]
    path = "/".join(_shorter(part) for part in parts)
    if len(path.encode()) > _LONG_PATH:
        path = f"{_hash(path)}/{_shorter(parts[-1])}"
    return path


def _shorter(part: str) -> str:
    if len(part.encode()) <= _LONG_PART:
        return part
    suffixes = "".join(PurePosixPath(part).suffixes[-2:])
    suffix = suffixes if len(suffixes.encode()) <= 20 else ""
    start = part.encode()[: _LONG_PART - 40].decode("utf-8", "ignore")
    return f"{start}~{_hash(part)}{suffix}"


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]


class Names:
    """Names given out so far: no two differ by case alone, none is a folder of another."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def take(self, name: str) -> str:
        """The name, or one with a number where it is taken."""
        stem, dot, suffix = name.rpartition(".")
        candidate, number = name, 1
        while not self._free(candidate):
            number += 1
            candidate = f"{stem} ({number}){dot}{suffix}" if stem else f"{name} ({number})"
            if number > 2 and not self._free_folders(name):
                candidate = f"({number}) {PurePosixPath(name).name}"
        key = candidate.casefold()
        self._files.add(key)
        self._folders.update(str(parent) for parent in PurePosixPath(key).parents)
        return candidate

    def _free(self, name: str) -> bool:
        key = name.casefold()
        return key not in self._files and key not in self._folders and self._free_folders(name)

    def _free_folders(self, name: str) -> bool:
        """Whether none of a name's folders is a file already."""
        return not any(str(p) in self._files for p in PurePosixPath(name.casefold()).parents)
