"""What to ask a server for: decided here, done in http.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import requests


@dataclass(frozen=True, slots=True)
class Network:
    """How downloads behave."""

    tries: int = 5  # in a row without a byte of progress
    first_wait: float = 2.0  # seconds between tries; doubles
    longest_wait: float = 300.0  # seconds; a server that asks for more is left alone
    timeout: float = 60.0  # seconds without a byte
    spare: int = 1 << 28  # bytes of disk to leave free
    sleep: Callable[[float], None] = time.sleep
    drive: str = "https://drive.usercontent.google.com/download"  # where Google Drive serves files


Opener = Callable[[requests.Session, Mapping[str, str], float], requests.Response]


@dataclass(frozen=True, slots=True)
class Remote:
    """A file to fetch: how messages call it, its URL, and how a request for it is made."""

    label: str
    url: str
    open: Opener
    bytes: int | None = None  # when the catalogue announces it
    prefix: str = ""  # of the name it gets


def open_url(url: str) -> Opener:
    """The plain way: one request, redirects followed."""
    return lambda session, headers, timeout: session.get(
        url, headers=headers, stream=True, timeout=timeout
    )


@dataclass(frozen=True, slots=True)
class Partial:
    """What an earlier try left: so many bytes of the file that had this validator."""

    url: str
    validator: str  # ETag or Last-Modified; empty when the server sent neither
    total: int | None = None  # size of the whole file, when the server said
    name: str = ""  # the file's own name; set when it has arrived whole
    resumed_from: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask the server for."""

    headers: dict[str, str]
    resume_from: int


def plan_download(url: str, partial: Partial | None) -> Plan:
    """Resume only where the server can tell that the file is still the same (RFC 9110)."""
    whole = {"Accept-Encoding": "identity"}
    if partial is None or partial.url != url or not partial.validator or not partial.size:
        return Plan(whole, 0)
    ask = {"Range": f"bytes={partial.size}-", "If-Range": partial.validator}
    return Plan({**whole, **ask}, partial.size)
