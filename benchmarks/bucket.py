"""`python -m benchmarks.bucket FOLDER --mbit 1000`: folders as buckets, over a line of that width.

It speaks of S3 what reading takes: lists, and objects or parts of them. All connections share the
line, as those of one node do. Servers of the package index give 20 MB/s, which is not a bucket's
pace; that they understand what fastload asks is for `nox -s store` to show.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

#: A line of 1 Gbit/s.
MBIT: Final = 1000
_CHUNK_BYTES: Final = 64 * 2**10


class Line:
    """A line that so many bytes a second go through, whoever sends them.

    Args:
        bytes_per_s: its width.
    """

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s, self._free_s = bytes_per_s, 0.0
        self._lock = threading.Lock()

    def wait_for(self, nbytes: int) -> None:
        """Return when *nbytes* more would be through."""
        with self._lock:
            self._free_s = max(self._free_s, time.monotonic()) + nbytes / self._bytes_per_s
            until_s = self._free_s
        time.sleep(max(0.0, until_s - time.monotonic()))


class _Bucket(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Answer with a list of a bucket, or with the bytes of an object."""
        asked = urlsplit(self.path)
        bucket, _, key = unquote(asked.path).lstrip("/").partition("/")
        if not key:
            query = {name: values[0] for name, values in parse_qs(asked.query).items()}
            body = _listing(self.server.folder / bucket, query.get("prefix", ""))
            self._send(200, body, "application/xml")
            return
        path = self.server.folder / bucket / key
        if not path.is_file():
            self._send(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml")
            return
        told = self.headers.get("Range")
        start, _, last = (told or "bytes=0-").removeprefix("bytes=").partition("-")
        with path.open("rb") as file:
            file.seek(int(start))
            content = file.read(int(last) + 1 - int(start) if last else -1)
        self._send(206 if told else 200, content)

    def _send(self, status: int, body: bytes, kind: str = "application/octet-stream") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for begin in range(0, len(body), _CHUNK_BYTES):
            chunk = memoryview(body)[begin : begin + _CHUNK_BYTES]
            self.server.line.wait_for(len(chunk))
            self.wfile.write(chunk)

    def log_message(self, *_: object) -> None:
        """Be quiet: what is printed is the port."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    folder: Path
    line: Line


def _listing(folder: Path, prefix: str) -> bytes:
    """Return what S3 says of the objects whose names begin with *prefix*."""
    names = sorted(each.relative_to(folder) for each in folder.rglob("*") if each.is_file())
    rows = "".join(
        f"<Contents><Key>{escape(name.as_posix())}</Key>"
        f"<Size>{(folder / name).stat().st_size}</Size>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for name in names
        if name.as_posix().startswith(prefix)
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>".encode()


@contextmanager
def served(folder: Path, mbit: float = MBIT) -> Iterator[str]:
    """Serve the folders in *folder* as buckets, in a process of its own; yield the address."""
    command = [sys.executable, "-m", "benchmarks.bucket", str(folder), "--mbit", str(mbit)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None  # noqa: S101 - it is a pipe
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.kill()
        server.communicate()


def main() -> None:
    """Serve until the process is ended; the first line that is printed is the port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mbit", type=float, default=MBIT)
    asked = parser.parse_args()
    server = _Server(("127.0.0.1", 0), _Bucket)
    server.folder, server.line = asked.folder, Line(asked.mbit * 1e6 / 8)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
