"""A proxy in front of an S3-compatible server, which can be made to fail as stores do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Of one connection only.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def with_body(self, body: bytes) -> Answer:
        return Answer(status=self.status, headers=self.headers, body=body)


class Asked(BaseHTTPRequestHandler):
    """A request, and what a fault may do about it."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.sent = self.rfile.read(length)
        proxy = self.server.proxy
        proxy.asked.append((self.command, self.path))
        with suppress(OSError):  # the client may have gone
            proxy.fault(self)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815 - as http.server calls them

    def forward(self) -> Answer:
        """Ask the server."""
        connection = HTTPConnection("127.0.0.1", self.server.proxy.backend, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
        try:
            connection.request(self.command, self.path, self.sent, headers)
            found = connection.getresponse()
            told = {k: v for k, v in found.getheaders() if k.lower() not in _HOP_BY_HOP}
            length = found.getheader("Content-Length")
            if self.command == "HEAD" and length is not None:
                told["Content-Length"] = length
            return Answer(status=found.status, headers=told, body=found.read())
        finally:
            connection.close()

    def head(self, answer: Answer, length: int | None = None) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.body) if length is None else length))
        self.end_headers()

    def reply(self, answer: Answer) -> None:
        """Answer as a server should."""
        self.head(answer)
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(2)

    @property
    def is_for_object(self) -> bool:
        """Whether bytes of an object are asked for, and not a list."""
        return self.command == "GET" and "list-type" not in self.path

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


Fault = Callable[[Asked], object]


def passes(asked: Asked) -> None:
    asked.reply(asked.forward())


@dataclass(slots=True)
class Proxy:
    """A proxy that runs; `asked` is what came through it."""

    backend: int
    port: int = 0
    fault: Fault = passes
    asked: list[tuple[str, str]] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: Proxy

    def handle_error(self, *_: Any) -> None:
        """A client that gives up is what tests are about."""


@contextmanager
def running(backend: int) -> Iterator[Proxy]:
    """Run a proxy in front of the server at the port *backend*."""
    server = _Server(("127.0.0.1", 0), Asked)
    server.proxy = Proxy(backend=backend, port=server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.proxy
    finally:
        server.shutdown()
        server.server_close()


# --- faults -------------------------------------------------------------------------------------


def stops(asked: Asked) -> None:
    asked.hang_up()


def overloaded(asked: Asked) -> None:
    body = b"<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"
    asked.reply(Answer(status=503, headers={"Content-Type": "application/xml"}, body=body))


def forbidden(asked: Asked) -> None:
    body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    asked.reply(Answer(status=403, headers={"Content-Type": "application/xml"}, body=body))


def a_login_page(asked: Asked) -> None:
    """What a network that wants a password first answers to everything."""
    body = b"<!DOCTYPE html><html><body>Please log in</body></html>"
    asked.reply(Answer(status=200, headers={"Content-Type": "text/html"}, body=body))


def read_only(asked: Asked) -> None:
    forbidden(asked) if asked.command in {"PUT", "POST", "DELETE"} else passes(asked)


def of_objects(change: Callable[[bytes], bytes]) -> Fault:
    """Have the bytes of objects changed, and their length told as it then is."""

    def fault(asked: Asked) -> None:
        found = asked.forward()
        is_changed = asked.is_for_object and found.status < 300
        asked.reply(found.with_body(change(found.body)) if is_changed else found)

    return fault


def truncates(asked: Asked) -> None:
    """Tell the whole length, send half, and hang up."""
    found = asked.forward()
    if not asked.is_for_object:
        asked.reply(found)
        return
    asked.head(found)
    asked.wfile.write(found.body[: len(found.body) // 2])
    asked.hang_up()


def stalls(over: threading.Event, *, in_objects: bool = False) -> Fault:
    """Take requests and answer none until *over*; or begin to send objects, and stop half-way."""

    def fault(asked: Asked) -> None:
        if not in_objects:
            over.wait(120)
            return
        found = asked.forward()
        if not asked.is_for_object:
            asked.reply(found)
            return
        asked.head(found)
        asked.wfile.write(found.body[: len(found.body) // 2])
        asked.wfile.flush()
        over.wait(120)
        asked.hang_up()

    return fault


def trickles(over: threading.Event) -> Fault:
    """Send objects a byte at a time, ten a second, so that no connection is ever silent."""

    def fault(asked: Asked) -> None:
        found = asked.forward()
        if not asked.is_for_object:
            asked.reply(found)
            return
        asked.head(found)
        for place in range(len(found.body)):
            if over.wait(0.1):
                break
            asked.wfile.write(found.body[place : place + 1])
            asked.wfile.flush()
        asked.hang_up()

    return fault
