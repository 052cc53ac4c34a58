"""A client that asks an https server again and again, each time on a new connection, and counts what fails.

It asks one thing at a time: then the connection that a move breaks is at most one, on a machine of any speed.

As a program: `python -m tests.fabric.load ADDRESS PORT INTERVAL` asks until its standard input is closed, then prints
JSON: requests, failures (time and reason), the longest time that an answer took, in seconds.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.fabric.network import DEADLINE, Router

_TIMEOUT = 3.0  # seconds in which an answer must have come


@dataclass
class _Count:
    requests: int = 0
    longest: float = 0.0
    failures: list[tuple[float, str]] = field(default_factory=list)


class _Client:
    def __init__(self, address: str, port: int) -> None:
        self._where = (address, port)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self.count = _Count()

    def ask(self) -> None:
        began = time.time()
        try:
            with socket.create_connection(self._where, _TIMEOUT) as plain, self._context.wrap_socket(plain) as link:
                link.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = link.recv(4096)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise OSError(f"another answer than 200: {answer[:40]!r}")  # noqa: TRY301 - it counts as any other failure
        except OSError as error:
            self.count.failures.append((began, f"{type(error).__name__}: {error}"))
        self.count.requests += 1
        self.count.longest = max(self.count.longest, time.time() - began)


def _run(address: str, port: int, interval: float) -> None:
    client = _Client(address, port)
    over = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=listen, daemon=True).start()
    while not over.wait(interval):
        client.ask()
    sys.stdout.write(json.dumps(vars(client.count)))


@dataclass
class Load:
    """What a client has counted; filled in when its block ends."""

    requests: int = 0
    longest: float = 0.0
    failures: list[Any] = field(default_factory=list)


@contextmanager
def load(router: Router, address: str, port: int, interval: float) -> Iterator[Load]:
    """A client in `router`, for as long as the block lasts."""
    command = router.program("tests.fabric.load", address, str(port), str(interval))
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    counted = Load()
    try:
        time.sleep(1.0)  # it is asking
        yield counted
        said, _ = process.communicate("", timeout=3 * DEADLINE)
        vars(counted).update(json.loads(said))
    finally:
        process.kill()
        process.wait(DEADLINE)


if __name__ == "__main__":
    _run(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
