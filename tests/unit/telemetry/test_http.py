"""The HTTP server: answers over real sockets on the loopback, and what a bad client cannot do to others."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.errors import Broken
from nodeagent.settings import Address
from nodeagent.telemetry import http as server_module
from nodeagent.telemetry.http import CONNECTIONS, REQUEST_BYTES, Page, Server, Site, answer

ANY_PORT = Address("127.0.0.1", 0)
LARGE = b"x" * (16 << 20)


def fail() -> Page:
    raise RuntimeError("secret")


PAGES: dict[str, Callable[[], Page]] = {
    "/ok": lambda: Page(200, b"fine\n", "application/json"),
    "/large": lambda: Page(200, LARGE),
    "/down": lambda: Page(503, b"stuck\n"),
    "/broken": fail,
}


@pytest.fixture
def deadline(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(server_module, "DEADLINE", 0.5)
    return 0.5


@pytest.fixture
def serving() -> Iterator[Server]:
    server = Server([Site("metrics.address", ANY_PORT, PAGES), Site("health.address", ANY_PORT, PAGES)])
    with closing(server):
        server.start()
        yield server


def connected(server: Server, site: int = 0) -> socket.socket:
    address = server.addresses[site]
    return socket.create_connection((address.host, address.port), timeout=10)


def asked(server: Server, method: str, path: str, site: int = 0) -> tuple[http.client.HTTPResponse, bytes]:
    address = server.addresses[site]
    with closing(http.client.HTTPConnection(address.host, address.port, timeout=10)) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        return response, response.read()


def until_closed(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_page_is_served(serving: Server) -> None:
    response, body = asked(serving, "GET", "/ok?verbose=1")
    assert (response.status, body) == (200, b"fine\n")
    assert response.getheader("Content-Type") == "application/json"
    assert response.getheader("Content-Length") == "5"


def test_head_has_the_length_and_no_body(serving: Server) -> None:
    response, body = asked(serving, "HEAD", "/large")
    assert (response.status, response.getheader("Content-Length"), body) == (200, str(len(LARGE)), b"")


def test_a_page_larger_than_the_sockets_buffer_arrives_whole(serving: Server) -> None:
    assert asked(serving, "GET", "/large")[1] == LARGE


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/none", 404),
        ("POST", "/ok", 405),
        ("DELETE", "/ok", 405),
        ("GET", "/down", 503),
        ("GET", "/broken", 500),
    ],
)
def test_other_answers(serving: Server, method: str, path: str, status: int) -> None:
    response, body = asked(serving, method, path)
    assert response.status == status
    assert b"secret" not in body


def test_405_tells_what_is_allowed(serving: Server) -> None:
    assert asked(serving, "POST", "/ok")[0].getheader("Allow") == "GET, HEAD"


@given(st.binary(max_size=200))
def test_any_request_gets_a_whole_answer(request: bytes) -> None:
    response = answer(request, PAGES)
    assert re.match(rb"HTTP/1\.1 (200|400|404|405|500|503) [A-Z][A-Za-z ]+\r\n", response)
    assert b"\r\n\r\n" in response


@pytest.mark.parametrize(
    "request_line",
    [b"GET /ok", b"GET /ok HTTP/2.0", b"get /ok HTTP/1.1", b"GET ok HTTP/1.1", b"GET  /ok HTTP/1.1", b"\x16\x03\x01"],
)
def test_what_is_not_http_is_a_bad_request(request_line: bytes) -> None:
    assert answer(request_line + b"\r\n\r\n", PAGES).startswith(b"HTTP/1.1 400 ")


def test_a_request_that_comes_in_pieces_is_answered(serving: Server) -> None:
    with connected(serving) as connection:
        for piece in (b"GET /o", b"k HTTP/1.0\r", b"\nHost: x\r\n", b"\r\n"):
            connection.sendall(piece)
            time.sleep(0.01)
        assert until_closed(connection).endswith(b"\r\n\r\nfine\n")


def test_a_request_that_is_too_long_is_refused(serving: Server) -> None:
    with connected(serving) as connection:
        connection.sendall(b"GET /ok HTTP/1.1\r\nX: " + b"x" * (REQUEST_BYTES - 20))
        assert connection.recv(100).startswith(b"HTTP/1.1 431 ")


def test_a_client_that_says_nothing_is_dropped_in_time(deadline: float, serving: Server) -> None:
    began = time.monotonic()
    with connected(serving) as connection:
        assert until_closed(connection) == b""
    assert deadline / 2 < time.monotonic() - began < 10 * deadline


def trickle(connection: socket.socket, pause: float) -> None:
    for _ in range(200):
        connection.sendall(b"x")
        time.sleep(pause)


def test_a_client_that_trickles_gains_no_time(deadline: float, serving: Server) -> None:
    with connected(serving) as connection, pytest.raises(OSError, match=r"pipe|reset"):
        trickle(connection, deadline / 10)


def test_a_client_that_does_not_read_is_dropped(deadline: float, serving: Server) -> None:
    with socket.socket() as connection:
        connection.settimeout(10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.connect(("127.0.0.1", serving.addresses[0].port))
        connection.sendall(b"GET /large HTTP/1.0\r\n\r\n")
        time.sleep(2 * deadline)
        assert 0 < len(until_closed(connection)) < len(LARGE)


def test_a_site_full_of_silent_clients_takes_nothing_from_the_other(serving: Server) -> None:
    with ExitStack() as held:
        for _ in range(CONNECTIONS + 4):
            held.enter_context(connected(serving, site=0))
        assert asked(serving, "GET", "/ok", site=1)[1] == b"fine\n"


def test_a_full_site_serves_the_next_client_as_soon_as_one_is_gone(deadline: float, serving: Server) -> None:
    with ExitStack() as held:
        for _ in range(CONNECTIONS):
            held.enter_context(connected(serving))
        assert asked(serving, "GET", "/ok")[1] == b"fine\n"


def test_many_clients_at_once_are_all_served(serving: Server) -> None:
    answers: list[bytes] = []
    clients = [
        threading.Thread(target=lambda: answers.append(asked(serving, "GET", "/ok")[1])) for _ in range(4 * CONNECTIONS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join(20)
    assert answers == [b"fine\n"] * len(clients)


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_goes_away_is_forgotten(serving: Server, reset: bool) -> None:
    linger = struct.pack("ii", int(reset), 0)  # on, with no time at all: closing sends a reset, see socket(7)
    for _ in range(3 * CONNECTIONS):
        with connected(serving) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.sendall(b"GET /ok HT")
    assert asked(serving, "GET", "/ok")[1] == b"fine\n"


def test_nobody_asking_costs_nothing(serving: Server) -> None:
    asked(serving, "GET", "/ok")
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.05


def test_closing_ends_the_thread_and_frees_the_address() -> None:
    server = Server([Site("metrics.address", ANY_PORT, PAGES)])
    server.start()
    (address,) = server.addresses
    with connected(server) as waiting:
        server.close()
        assert until_closed(waiting) == b""
    assert not any(thread.name == "http" for thread in threading.enumerate())
    again = Server([Site("metrics.address", address, PAGES)])
    again.close()


def test_an_address_in_use_is_named_with_its_setting() -> None:
    with closing(Server([Site("metrics.address", ANY_PORT, PAGES)])) as server:
        (taken,) = server.addresses
        free = Site("metrics.address", ANY_PORT, PAGES)
        with pytest.raises(Broken, match=rf"{re.escape(str(taken))} \(health\.address\): Address already in use; set"):
            Server([free, Site("health.address", taken, PAGES)])


def test_ipv6() -> None:
    with closing(Server([Site("health.address", Address("::1", 0), PAGES)])) as server:
        server.start()
        assert asked(server, "GET", "/ok")[1] == b"fine\n"


def test_running_out_of_descriptors_is_survived(
    serving: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accept = socket.socket.accept
    calls = count()

    def failing_once(listening: socket.socket) -> object:
        if next(calls) == 0:
            raise OSError(24, "Too many open files")
        return accept(listening)

    monkeypatch.setattr(socket.socket, "accept", failing_once)
    assert asked(serving, "GET", "/ok")[1] == b"fine\n"
    assert "could not be accepted" in caplog.text
