"""Asks a component over HTTP how it is: the local API server, an etcd member, a peer before the VIP is handed to it.

Invariant: one question ends by its deadline as a whole, follows nothing, and carries no credentials but those that are
lent. The certificate is
not verified: what is asked is whether somebody answers at all, and a certificate that has expired is the certificate
job's to tell. A connection is kept for a few questions, since a handshake costs both sides more than all else, and made
anew now and then, so that a server that takes no more connections does not seem well.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PORT = 6443  # --secure-port of kube-apiserver, unless somebody sets another
ALIVE = frozenset({200, 401, 403})  # without anonymous access an API server answers all the same

_LIMIT = 1 << 16  # bytes of an answer
_KEPT = 5.0  # seconds that a connection serves


class HealthServer:
    """The server at a numeric `address` and `port`; each question may take `timeout` seconds. For one thread.

    With a `context` it is asked as that says, which may hold a client certificate.
    """

    def __init__(
        self, address: str, port: int, timeout: float, *, tls: bool = True, context: ssl.SSLContext | None = None
    ) -> None:
        self._where = (address, port)
        self._timeout = timeout
        self._context = (context or unverified()) if tls else None
        self._link: socket.socket | None = None
        self._made = 0.0

    def close(self) -> None:
        """Let go of the connection; another question makes a new one."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def complaint(self, path: str, well: frozenset[int] = ALIVE) -> str:
        """Why `path` ("/livez?exclude=etcd") does not answer that all is well; "" if it does."""
        try:
            status = self.status(path)
        except TimeoutError:
            return f"no answer within {self._timeout:g} s"
        except ssl.SSLError as error:
            return f"no TLS: {error.reason or 'the connection was closed'}"
        except OSError as error:
            return error.strerror or "the connection was closed"
        return "" if status in well else f"answers {status or 'no HTTP'}"

    def status(self, path: str) -> int:
        """The status with which `path` is answered, 0 if that is no HTTP; OSError where nothing is answered in time."""
        return self._asked(path, time.monotonic() + self._timeout)

    def _asked(self, path: str, until: float) -> int:
        if self._link is not None and time.monotonic() - self._made < _KEPT:
            try:
                return self._exchange(self._link, path, until)
            except TimeoutError:
                raise
            except OSError:  # the other side may have closed it meanwhile: a new one will tell
                pass
        self.close()
        self._link = self._connected(until)
        self._made = time.monotonic()
        return self._exchange(self._link, path, until)

    def _connected(self, until: float) -> socket.socket:
        link = socket.create_connection(self._where, max(0.001, until - time.monotonic()))
        try:
            if self._context is None:
                link.setblocking(False)
                return link
            wrapped = self._context.wrap_socket(link, do_handshake_on_connect=False)
        except OSError:
            link.close()
            raise
        try:
            wrapped.setblocking(False)
            _within(wrapped, until, wrapped.do_handshake)
        except OSError:
            wrapped.close()
            raise
        return wrapped

    def _exchange(self, link: socket.socket, path: str, until: float) -> int:
        """The status of the answer; the connection is closed unless the answer was read to its end."""
        question = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: nodeagent\r\n\r\n".encode()
        try:
            _within(link, until, lambda: link.sendall(question))
            status, whole = _read(link, until)
        except OSError:
            self.close()
            raise
        if not whole:
            self.close()
        return status


def unverified() -> ssl.SSLContext:
    """For a client that takes whatever certificate it is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _read(link: socket.socket, until: float) -> tuple[int, bool]:
    """Status of an answer, and whether nothing of it is left to come (RFC 9112, sections 4 and 6)."""
    data = b""
    while b"\r\n\r\n" not in data and len(data) < _LIMIT:
        more = _within(link, until, lambda: link.recv(_LIMIT))
        if not more:
            if not data:
                raise ConnectionResetError
            return _code(data), False
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = _length(head)
    while len(body) < length <= _LIMIT:
        more = _within(link, until, lambda: link.recv(_LIMIT))
        if not more:
            return _code(head), False
        body += more
    stays = head.startswith(b"HTTP/1.1") and b"\r\nconnection: close" not in head.lower()
    return _code(head), len(body) == length and stays


def _length(head: bytes) -> int:
    """Content-Length; more than any answer may have where that is not said."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return _LIMIT + 1


def _within(link: socket.socket, until: float, step: Callable[[], T]) -> T:
    """The result of `step`, tried again whenever the socket is ready; TimeoutError at `until`."""
    while True:
        try:
            return step()
        except (ssl.SSLWantReadError, BlockingIOError):
            _wait(link, select.POLLIN, until)
        except ssl.SSLWantWriteError:
            _wait(link, select.POLLOUT, until)


def _wait(link: socket.socket, events: int, until: float) -> None:
    left = until - time.monotonic()
    poll = select.poll()
    poll.register(link, events)
    if left <= 0 or not poll.poll(left * 1000):
        raise TimeoutError


def _code(answer: bytes) -> int:
    """The status of an HTTP answer (RFC 9112, section 4); 0 if it is none."""
    words = answer.partition(b"\r\n")[0].split(b" ")
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() else 0
