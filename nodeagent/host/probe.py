"""Asks local components for the certificate that they serve, by one TLS handshake.

Invariant: a probe ends by its deadline, shows no certificate of its own, sends no byte after the handshake, and goes to
the loopback interface or an address of this node only as the caller names it. The peer is not verified: what is asked
is which certificate it has, and the caller compares that with the files.
"""

from __future__ import annotations

import select
import socket
import ssl
import time

from nodeagent.host.livez import unverified
from nodeagent.observed.certificates import Endpoint, Served


class TlsProbe:
    """Probes with at most `timeout` seconds each, connecting and handshake together."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._context = unverified()

    def served(self, endpoint: Endpoint) -> Served:
        """The leaf certificate that `endpoint` serves; never raises for what the other side does."""
        try:
            return Served(endpoint, self._leaf(endpoint))
        except ConnectionRefusedError:
            return Served(endpoint, closed=True, problem="nothing listens there")
        except TimeoutError:
            return Served(endpoint, problem=f"no answer within {self._timeout:g} s")
        except ssl.SSLError as error:
            return Served(endpoint, problem=f"no TLS handshake: {error.reason or 'the connection was closed'}")
        except OSError as error:
            return Served(endpoint, problem=error.strerror or str(error))

    def _leaf(self, endpoint: Endpoint) -> bytes:
        deadline = time.monotonic() + self._timeout
        with socket.create_connection((endpoint.address, endpoint.port), self._timeout) as plain:
            wrapped = self._context.wrap_socket(
                plain, server_hostname=endpoint.server_name or None, do_handshake_on_connect=False
            )
            with wrapped:
                _shake(wrapped, deadline)
                return wrapped.getpeercert(binary_form=True) or b""


def _shake(wrapped: ssl.SSLSocket, deadline: float) -> None:
    """The handshake, step by step: a socket's own timeout would begin anew with each byte that trickles in."""
    wrapped.setblocking(False)
    while True:
        try:
            wrapped.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as wanted:
            _wait(wrapped, deadline, isinstance(wanted, ssl.SSLWantWriteError))
        else:
            return


def _wait(wrapped: ssl.SSLSocket, deadline: float, writing: bool) -> None:
    left = deadline - time.monotonic()
    events = select.POLLOUT if writing else select.POLLIN
    poll = select.poll()
    poll.register(wrapped, events)
    if left <= 0 or not poll.poll(left * 1000):
        raise TimeoutError
