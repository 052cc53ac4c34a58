"""A TLS server that answers livez and readyz as it is told: in this process, or as one of its own in a router.

As a program: `python -m tests.fabric.apiserver ADDRESS PORT FILE` answers with the status that stands in FILE.
"""

from __future__ import annotations

import http.server
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.asked.append(self.path)
        self.send_response(server.answer())
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name that http.server gives it
        """Quiet."""


class Server(http.server.ThreadingHTTPServer):
    """Answers with `status`; `asked` are the paths."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((address, port), _Handler)
        self.asked: list[str] = []
        self.status = 200
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("localhost").configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def answer(self) -> int:
        """The status of the next answer."""
        return self.status

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no matter; what else goes wrong is told on standard error."""
        if not isinstance(sys.exception(), OSError):  # of which those of TLS are
            super().handle_error(request, client_address)


class _Told(Server):
    """Its status stands in a file."""

    told = Path()

    def answer(self) -> int:
        return int(self.told.read_text())


@contextmanager
def api_server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def _main(address: str, port: str, status: str) -> None:
    server = _Told(address, int(port))
    server.told = Path(status)
    server.serve_forever()


if __name__ == "__main__":
    _main(*sys.argv[1:])
