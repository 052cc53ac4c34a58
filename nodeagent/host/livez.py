"""Asks an API server how it is: the local one, or a peer's before the VIP is handed to it.

Invariant: one request ends by its deadline as a whole, carries no credentials and follows nothing. The certificate is
not verified: what is asked is whether somebody answers at all, and a certificate that has expired is the certificate
job's to tell.
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

_READ = 4096  # bytes of an answer; its first line is all that counts
_ALIVE = (200, 401, 403)  # without anonymous access the server answers all the same


class ApiServer:
    """The server at a numeric `address` and `port`; each question may take `timeout` seconds."""

    def __init__(self, address: str, port: int, timeout: float) -> None:
        self._where = (address, port)
        self._timeout = timeout
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def complaint(self, path: str) -> str:
        """Why `path` ("/livez?exclude=etcd") does not answer that all is well; "" if it does."""
        try:
            status = self._status(path, time.monotonic() + self._timeout)
        except TimeoutError:
            return f"no answer within {self._timeout:g} s"
        except ssl.SSLError as error:
            return f"no TLS: {error.reason or 'the connection was closed'}"
        except OSError as error:
            return error.strerror or "the connection was closed"
        return "" if status in _ALIVE else f"answers {status or 'no HTTP'}"

    def _status(self, path: str, until: float) -> int:
        with socket.create_connection(self._where, max(0.001, until - time.monotonic())) as plain:
            wrapped = self._context.wrap_socket(plain, do_handshake_on_connect=False)
            with wrapped:
                wrapped.setblocking(False)
                _within(wrapped, until, wrapped.do_handshake)
                question = f"GET {path} HTTP/1.0\r\nHost: localhost\r\nUser-Agent: nodeagent\r\n\r\n".encode()
                _within(wrapped, until, lambda: wrapped.sendall(question))
                return _code(_within(wrapped, until, lambda: wrapped.recv(_READ)))


def _within(wrapped: ssl.SSLSocket, until: float, step: Callable[[], T]) -> T:
    """The result of `step`, tried again whenever the socket is ready; TimeoutError at `until`."""
    while True:
        try:
            return step()
        except ssl.SSLWantReadError:
            _wait(wrapped, select.POLLIN, until)
        except ssl.SSLWantWriteError:
            _wait(wrapped, select.POLLOUT, until)


def _wait(wrapped: ssl.SSLSocket, events: int, until: float) -> None:
    left = until - time.monotonic()
    poll = select.poll()
    poll.register(wrapped, events)
    if left <= 0 or not poll.poll(left * 1000):
        raise TimeoutError


def _code(answer: bytes) -> int:
    """The status of an HTTP answer (RFC 9112, section 4); 0 if it is none."""
    words = answer.partition(b"\r\n")[0].split(b" ")
    return int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit() else 0
