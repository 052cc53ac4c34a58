"""A probe gets the certificate for the name that it asks with, and always ends in time."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from nodeagent.host.probe import TlsProbe
from nodeagent.observed.certificates import Endpoint
from tests.unit.certs.authority import Pair, issue

SERVING = issue("serving", sans=("DNS:serving",))
LOOPBACK = issue("apiserver-loopback-client@1751371200")
TIMEOUT = 0.5


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[Endpoint]:
    """A server on loopback that hands its first connection to `serve`."""

    def accept() -> None:
        with suppress(OSError):
            connection, _ = server.accept()
            with connection, suppress(OSError):
                serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield Endpoint("127.0.0.1", server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def context_of(pair: Pair, directory: Path) -> ssl.SSLContext:
    (directory / "pair.pem").write_bytes(pair.pem + pair.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "pair.pem")
    return context


@pytest.mark.parametrize(("name", "expected"), [("", SERVING), ("apiserver-loopback-client", LOOPBACK)])
def test_gets_the_certificate_of_the_name(tmp_path: Path, name: str, expected: Pair) -> None:
    context, loopback = context_of(SERVING, tmp_path), context_of(LOOPBACK, tmp_path)

    def choose(connection: ssl.SSLObject, asked: str | None, _: ssl.SSLContext) -> None:
        if asked == "apiserver-loopback-client":
            connection.context = loopback

    context.sni_callback = choose
    with listening(lambda plain: context.wrap_socket(plain, server_side=True).close()) as endpoint:
        found = TlsProbe(10.0).served(Endpoint(endpoint.address, endpoint.port, name))
    assert (found.der, found.problem) == (expected.der, "")


def test_a_server_that_wants_a_client_certificate_still_shows_its_own(tmp_path: Path) -> None:
    context = context_of(SERVING, tmp_path)
    context.load_verify_locations(tmp_path / "pair.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    with listening(lambda plain: context.wrap_socket(plain, server_side=True).close()) as endpoint:
        assert TlsProbe(10.0).served(endpoint).der == SERVING.der


def test_tells_a_closed_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = Endpoint("127.0.0.1", server.getsockname()[1])
    found = TlsProbe(10.0).served(endpoint)
    assert (found.closed, found.problem) == (True, "nothing listens there")


def test_tells_what_speaks_no_tls() -> None:
    with listening(lambda plain: plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20)) as endpoint:
        found = TlsProbe(10.0).served(endpoint)
    assert (found.der, found.closed) == (b"", False)
    assert found.problem.startswith("no TLS handshake")


@pytest.mark.parametrize("trickle", [b"", b"\x16\x03\x03\x40"], ids=["silence", "one byte at a time"])
def test_ends_at_its_deadline(trickle: bytes) -> None:
    def serve(plain: socket.socket) -> None:
        for byte in trickle + b"\0" * 200 * bool(trickle):
            plain.sendall(bytes([byte]))
            time.sleep(TIMEOUT / 10)
        plain.settimeout(10 * TIMEOUT)
        while plain.recv(4096):
            continue

    with listening(serve) as endpoint:
        began = time.monotonic()
        found = TlsProbe(TIMEOUT).served(endpoint)
        took = time.monotonic() - began
    assert found.problem == f"no answer within {TIMEOUT:g} s"
    assert TIMEOUT <= took < 10 * TIMEOUT  # the trickle goes on for twice as long
