"""New certificates are used once before they are put in place: in real handshakes, and by servers that ask for one."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trustme

from nodeagent.host import trial
from nodeagent.observed.certificates import Endpoint


class _Handler(http.server.BaseHTTPRequestHandler):
    """Lets in whoever the name in the certificate is `known`, as an API server does."""

    def do_GET(self) -> None:
        link = self.connection
        assert isinstance(link, ssl.SSLSocket)
        shown = link.getpeercert() or {}
        self.send_response(200 if ("DNS", "known") in shown.get("subjectAltName", ()) else 401)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name that http.server gives it
        """Quiet."""


@contextmanager
def _server(authority: trustme.CA, required: ssl.VerifyMode) -> Iterator[Endpoint]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(context)
    authority.issue_cert("localhost").configure_cert(context)
    context.verify_mode = required
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # a client that is refused is no matter
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Endpoint("127.0.0.1", server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def _pair(authority: trustme.CA, name: str) -> tuple[bytes, bytes]:
    leaf = authority.issue_cert(name)
    return leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_a_pair_that_can_be_served(authority: trustme.CA) -> None:
    assert trial.served(*_pair(authority, "localhost")) == ""


def test_a_key_of_another_certificate(authority: trustme.CA) -> None:
    (certificate, _), (_, key) = _pair(authority, "one"), _pair(authority, "other")
    assert "mismatch" in trial.served(certificate, key).lower()


def test_a_client_that_is_known_is_let_in(authority: trustme.CA) -> None:
    with _server(authority, ssl.CERT_OPTIONAL) as where:
        assert trial.admitted(*_pair(authority, "known"), where) == ""


def test_a_client_that_nobody_knows_is_told(authority: trustme.CA) -> None:
    with _server(authority, ssl.CERT_OPTIONAL) as where:
        assert trial.admitted(*_pair(authority, "stranger"), where) == f"{where} answers 401 to it"


def test_a_client_of_another_ca_is_told(authority: trustme.CA) -> None:
    with _server(authority, ssl.CERT_REQUIRED) as where:
        assert "does not accept it" in trial.admitted(*_pair(trustme.CA(), "known"), where)


def test_a_server_that_is_down_says_nothing_of_the_client(authority: trustme.CA) -> None:
    with _server(authority, ssl.CERT_OPTIONAL) as where:
        pass
    with pytest.raises(ConnectionRefusedError):
        trial.admitted(*_pair(authority, "known"), where)
