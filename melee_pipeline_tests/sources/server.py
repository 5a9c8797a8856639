"""A real HTTP server on this machine that misbehaves on request.

Every path has a file and a list of faults: each request takes the next fault, and when none is
left the file is served as a good server would, with Range, If-Range, ETag and Content-Length.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>no</body></html>"


@dataclass(frozen=True)
class Answer:
    """What one request is answered with."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    reset_after: int | None = None  # bytes of the body after which the connection is reset
    stall_after: int | None = None  # bytes of the body after which nothing comes any more
    pieces: int = 1  # in which the body is sent, with a pause after each


@dataclass
class Request:
    """A request that arrived."""

    path: str
    query: str
    headers: Mapping[str, str]


Fault = Callable[["File", Request], Answer]


@dataclass
class File:
    """What a path serves."""

    body: bytes
    etag: str | None = '"v1"'
    headers: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    always: Fault | None = None  # in place of no fault, when none is left

    def whole(self) -> Answer:
        """The file from its first byte."""
        headers = {"Content-Length": str(len(self.body)), **self.headers}
        if self.etag:
            headers["ETag"] = self.etag
        return Answer(200, headers, self.body)

    def asked(self, request: Request) -> Answer:
        """The file, or the range of it that was asked for, by the rules of RFC 9110."""
        whole = self.whole()
        wanted = request.headers.get("Range")
        if_range = request.headers.get("If-Range")
        validators = (self.etag, self.headers.get("Last-Modified"))
        if wanted is None or (if_range is not None and if_range not in validators):
            return whole
        first = int(wanted.removeprefix("bytes=").removesuffix("-"))
        size = len(self.body)
        if first >= size:
            return Answer(416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
        headers = {
            **whole.headers,
            "Content-Length": str(size - first),
            "Content-Range": f"bytes {first}-{size - 1}/{size}",
        }
        return Answer(206, headers, self.body[first:])


def good(file: File, request: Request) -> Answer:
    """No fault: for a list in which a later request meets one."""
    return file.asked(request)


def reset_after(count: int) -> Fault:
    """The connection is reset after so many bytes of the body."""
    return lambda file, request: replace(file.asked(request), reset_after=count)


def stall_after(count: int) -> Fault:
    """Nothing comes any more after so many bytes of the body."""
    return lambda file, request: replace(file.asked(request), stall_after=count)


def ignore_range(file: File, request: Request) -> Answer:
    """The whole file, whatever range was asked for."""
    return file.whole()


def ignore_if_range(file: File, request: Request) -> Answer:
    """The range that was asked for, although the file is not the one that the client knows."""
    headers = {k: v for k, v in request.headers.items() if k != "If-Range"}
    return file.asked(Request(request.path, request.query, headers))


def wrong_range(file: File, request: Request) -> Answer:
    """206, but not from the byte that was asked for."""
    return replace(file.asked(Request("", "", {"Range": "bytes=1-"})), status=206)


def says_length(length: int) -> Fault:
    """A Content-Length that is not the body's."""

    def fault(file: File, request: Request) -> Answer:
        answer = file.asked(request)
        headers = {**answer.headers, "Content-Length": str(length)}
        return replace(answer, headers=headers)

    return fault


def no_length(file: File, request: Request) -> Answer:
    """No Content-Length: the body ends where the connection ends."""
    answer = file.asked(request)
    return replace(
        answer, headers={k: v for k, v in answer.headers.items() if k != "Content-Length"}
    )


def cut_without_length(count: int) -> Fault:
    """No Content-Length, and a body that ends too early, in good order."""

    def fault(file: File, request: Request) -> Answer:
        answer = no_length(file, request)
        return replace(answer, body=answer.body[:count])

    return fault


def status(code: int, body: bytes = b"", **headers: str) -> Fault:
    """A status in place of the file; header names are written with _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda file, request: Answer(code, {"Content-Length": str(len(body)), **named}, body)


def page(body: bytes, kind: str = "text/html; charset=utf-8") -> Fault:
    """Something that is not the file, with status 200."""
    return status(200, body, Content_Type=kind)


def changed_to(body: bytes, etag: str) -> Fault:
    """The file is another one from this request on."""

    def fault(file: File, request: Request) -> Answer:
        file.body, file.etag = body, etag
        return file.asked(request)

    return fault


@dataclass
class Site:
    """A running server: its URL, what it serves, and what it was asked."""

    url: str
    files: dict[str, File] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def serve(self, path: str, body: bytes, *faults: Fault, etag: str | None = '"v1"') -> str:
        """Serve a file; gives its URL."""
        self.files[path] = File(body, etag, faults=list(faults))
        return self.url + path

    def ranges(self) -> list[str | None]:
        """The Range header of each request so far."""
        return [request.headers.get("Range") for request in self.requests]


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            request = Request(parts.path, parts.query, dict(self.headers.items()))
            site.requests.append(request)
            file = site.files.get(parts.path)
            if file is None:
                self.send_error(404)
                return
            fault = file.faults.pop(0) if file.faults else file.always or good
            self._send(fault(file, request))

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            short = answer.reset_after if answer.stall_after is None else answer.stall_after
            try:
                self._send_pieces(
                    answer.body if short is None else answer.body[:short], answer.pieces
                )
            except OSError:
                return  # the client has gone: it refused what came
            if answer.stall_after is not None:
                self.connection.recv(1)  # until the client gives up
            if answer.reset_after is not None:
                time.sleep(0.05)  # what was sent should arrive: a reset throws away the rest
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                # All handles must go for the reset to be sent.
                self.rfile.close()
                self.wfile.close()
                self.connection.close()

        def _send_pieces(self, body: bytes, pieces: int) -> None:
            size = max(1, -(-len(body) // pieces))
            for at in range(0, len(body), size):
                self.wfile.write(body[at : at + size])
                self.wfile.flush()
                if pieces > 1:
                    time.sleep(0.02)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        assert isinstance(request, socket.socket)
        if request.fileno() != -1:  # a connection that was reset is closed already
            super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what these tests are about."""


@contextmanager
def site() -> Iterator[Site]:
    """A server that serves nothing yet."""
    found = Site("")
    server = _Server(("127.0.0.1", 0), _handler(found))
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
