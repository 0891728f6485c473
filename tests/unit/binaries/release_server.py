"""An HTTP server that publishes release files, and misbehaves when told to."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ReleaseServer(ThreadingHTTPServer):
    """Files by path; every other path is a 404."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.requests: Counter[str] = Counter()
        self.ranges: list[str] = []
        """The Range headers of the requests that had one."""
        self.cuts = 0
        """How many of the next answers end after half of their bytes."""
        self.unavailable = 0
        """How many of the next requests are answered with 503."""
        self.ranges_supported = True
        self.hold = threading.Event()
        """Cleared: an answer stops after half of its bytes until it is set."""
        self.hold.set()
        self.held = threading.Event()
        """Set when an answer has stopped."""

    @property
    def base(self) -> str:
        """Its URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed closes its connection: nothing to tell."""


class _Handler(BaseHTTPRequestHandler):
    server: ReleaseServer

    def do_GET(self) -> None:
        self.server.requests[self.path] += 1
        content = self.server.files.get(self.path)
        if self.server.unavailable:
            self.server.unavailable -= 1
            self.send_error(503)
        elif content is None:
            self.send_error(404)
        else:
            self._send(content)

    def _send(self, content: bytes) -> None:
        wanted = self.headers.get("Range")
        start = 0
        if wanted:
            self.server.ranges.append(wanted)
        if wanted and self.server.ranges_supported:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        rest = content[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        middle = len(rest) // 2
        self.wfile.write(rest[:middle])
        if self.server.cuts:
            self.server.cuts -= 1
            return
        if not self.server.hold.is_set():
            self.server.held.set()
            self.server.hold.wait(60)
        self.wfile.write(rest[middle:])

    def log_message(self, format: str, *args: object) -> None:
        """Be silent."""


@contextlib.contextmanager
def release_server() -> Iterator[ReleaseServer]:
    """A running server on loopback; ends with the block."""
    with ReleaseServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.hold.set()
            server.shutdown()
            thread.join()
