"""Tries a new certificate with its key before it is put in place.

Invariant: a key is handed to the TLS library through memory that no path names, and reaches no disk. Who is asked is on
this node and is not verified: the question is what it makes of our certificate, not who it is.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from nodeagent.host.livez import HealthServer, unverified
from nodeagent.observed.certificates import Endpoint

_PATH: Final = "/healthz"  # of all components; for who may not see it the answer is 403, not 401
_UNAUTHORIZED: Final = 401
_ANSWER: Final = 5.0  # seconds


def served(certificate: bytes, key: bytes) -> str:
    """Why a server could not serve this pair (PEM), by a handshake in memory; "" if it could."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), unverified()
    try:
        _load(server, certificate, key)
        _shake(client, server)
    except ssl.SSLError as error:
        return f"no TLS handshake with it: {error.reason or error}"
    return ""


def admitted(certificate: bytes, key: bytes, endpoint: Endpoint) -> str:
    """Why the server there does not let a client with this pair (PEM) in; "" if it does.

    OSError if it cannot be asked. A server that knows nobody by that certificate says 401, or ends the connection: by
    an alert, which is lost where what we still sent makes its kernel reset the connection.
    """
    context = unverified()
    _load(context, certificate, key)
    server = HealthServer(endpoint.address, endpoint.port, _ANSWER, context=context)
    try:
        status = server.status(_PATH)
    except (ssl.SSLError, ConnectionResetError, BrokenPipeError) as error:
        return f"{endpoint} does not accept it: {getattr(error, 'reason', None) or 'the connection was closed'}"
    finally:
        server.close()
    return f"{endpoint} answers 401 to it" if status == _UNAUTHORIZED else ""


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    with _memory(certificate) as certificate_path, _memory(key) as key_path:
        context.load_cert_chain(certificate_path, key_path)


@contextmanager
def _memory(data: bytes) -> Iterator[str]:
    """A path, for this process, of memory that holds `data`: the library reads nothing else."""
    descriptor = os.memfd_create("pair", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _shake(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """A handshake between the two; SSLError if they cannot."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    steps: list[Callable[[], None]] = [asking.do_handshake, answering.do_handshake]
    while steps:
        steps = [step for step in steps if not _ended(step)]


def _ended(step: Callable[[], None]) -> bool:
    try:
        step()
    except ssl.SSLWantReadError:
        return False
    return True
