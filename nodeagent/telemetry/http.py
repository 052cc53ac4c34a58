"""A small HTTP server for a few read-only pages: one thread for all addresses, asleep while nobody asks.

Invariants: a client gets DEADLINE seconds from its connection to the last byte of its answer and
REQUEST_BYTES for its request, whatever it does; a site never has more than CONNECTIONS clients, and a busy
site takes nothing from another. Only GET and HEAD (RFC 9110) with HTTP/1.0 or 1.1, one request a
connection.
"""

from __future__ import annotations

import logging
import re
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nodeagent.errors import Broken
from nodeagent.settings import Address

DEADLINE = 5.0
REQUEST_BYTES = 8192
CONNECTIONS = 8

_REQUEST = re.compile(rb"(?P<method>[A-Z]{1,16}) (?P<path>/[!-~]*) HTTP/1\.[01]\r?\n")
_END = re.compile(rb"\r?\n\r?\n")
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """What a path answers with."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Site:
    """Pages by path at one address; `setting` is the key of the setting that names the address."""

    setting: str
    address: Address
    pages: Mapping[str, Callable[[], Page]]


def answer(request: bytes, pages: Mapping[str, Callable[[], Page]]) -> bytes:
    """The whole response to a request's head."""
    match = _REQUEST.match(request)
    if match is None:
        return _response(Page(400, b"not a request\n"))
    page = pages.get(match["path"].partition(b"?")[0].decode())
    if page is None:
        return _response(Page(404, b"no such page\n"))
    if match["method"] not in (b"GET", b"HEAD"):
        return _response(Page(405, b"only GET and HEAD\n"), "Allow: GET, HEAD\r\n")
    return _response(_made(page), head_only=match["method"] == b"HEAD")


def _made(page: Callable[[], Page]) -> Page:
    try:
        return page()
    except Exception:  # noqa: BLE001 - the server outlives a page that cannot be made
        _log.exception("a page could not be made")
        return Page(500, b"see the agent's log\n")


def _response(page: Page, extra: str = "", *, head_only: bool = False) -> bytes:
    head = (
        f"HTTP/1.1 {page.status} {_REASONS[page.status]}\r\nContent-Type: {page.content_type}\r\n"
        f"Content-Length: {len(page.body)}\r\nCache-Control: no-store\r\nConnection: close\r\n{extra}\r\n"
    )
    return head.encode() + (b"" if head_only else page.body)


@dataclass(eq=False)
class _Listener:
    site: Site
    socket: socket.socket
    clients: set[_Client] = field(default_factory=set)


@dataclass(eq=False)
class _Client:
    listener: _Listener
    socket: socket.socket
    deadline: float
    request: bytearray = field(default_factory=bytearray)
    response: memoryview = field(default_factory=lambda: memoryview(b""))


class Server:
    """Serves sites from one daemon thread. Listens once made, answers after `start`, ends with `close`."""

    def __init__(self, sites: Sequence[Site], clock: Callable[[], float] = time.monotonic) -> None:
        """Broken if an address cannot be listened on."""
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._listeners: list[_Listener] = []
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        try:
            for site in sites:
                self._listeners.append(_Listener(site, _listen(site)))
        except Broken:
            self._close_sockets()
            raise

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where each site really listens, in the order given."""
        return tuple(Address(*listener.socket.getsockname()[:2]) for listener in self._listeners)

    def start(self) -> None:
        for listener in self._listeners:
            self._selector.register(listener.socket, selectors.EVENT_READ, listener)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and let go of the addresses; waits for the thread."""
        self._wake.close()
        if self._thread.ident is not None:
            self._thread.join(DEADLINE)
        self._close_sockets()

    def _close_sockets(self) -> None:
        clients = [client.socket for listener in self._listeners for client in listener.clients]
        listeners = [listener.socket for listener in self._listeners]
        for each in (*clients, *listeners, self._wake, self._woken):
            each.close()
        self._selector.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select(self._patience()):
                if key.fileobj is self._woken:
                    return
                if isinstance(key.data, _Listener):
                    self._accept(key.data)
                else:
                    self._serve(key.data)
            self._drop_late()

    def _patience(self) -> float | None:
        """Seconds until a client is late; None, for ever, without clients."""
        deadlines = [client.deadline for listener in self._listeners for client in listener.clients]
        return max(0.0, min(deadlines) - self._clock()) if deadlines else None

    def _accept(self, listener: _Listener) -> None:
        try:
            connection, _ = listener.socket.accept()
        except OSError as error:
            _log.warning("a client could not be accepted", extra={"reason": error.strerror})
            time.sleep(0.1)  # out of descriptors or memory: the client still waits, and would wake us again
            return
        connection.setblocking(False)
        client = _Client(listener, connection, self._clock() + DEADLINE)
        listener.clients.add(client)
        self._selector.register(connection, selectors.EVENT_READ, client)
        if len(listener.clients) >= CONNECTIONS:
            self._selector.unregister(listener.socket)

    def _serve(self, client: _Client) -> None:
        try:
            if client.response:
                self._write(client)
            else:
                self._read(client)
        except BlockingIOError:
            return
        except OSError:  # the client went away
            self._drop(client)

    def _read(self, client: _Client) -> None:
        received = client.socket.recv(REQUEST_BYTES)
        if not received:
            self._drop(client)
            return
        client.request += received
        if _END.search(client.request):
            self._respond(client, answer(bytes(client.request), client.listener.site.pages))
        elif len(client.request) > REQUEST_BYTES:
            self._respond(client, _response(Page(431, b"the request is too long\n")))

    def _respond(self, client: _Client, response: bytes) -> None:
        client.response = memoryview(response)
        self._selector.modify(client.socket, selectors.EVENT_WRITE, client)
        self._write(client)

    def _write(self, client: _Client) -> None:
        client.response = client.response[client.socket.send(client.response) :]
        if not client.response:
            client.socket.shutdown(socket.SHUT_WR)
            self._drop(client)

    def _drop_late(self) -> None:
        now = self._clock()
        for listener in self._listeners:
            for client in [client for client in listener.clients if client.deadline <= now]:
                self._drop(client)

    def _drop(self, client: _Client) -> None:
        self._selector.unregister(client.socket)
        client.socket.close()
        clients = client.listener.clients
        if len(clients) >= CONNECTIONS:
            self._selector.register(client.listener.socket, selectors.EVENT_READ, client.listener)
        clients.remove(client)


def _listen(site: Site) -> socket.socket:
    family = socket.AF_INET6 if ":" in site.address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((site.address.host, site.address.port))
        listening.listen(64)
    except OSError as error:
        listening.close()
        advice = "set another address, or an empty one to do without"
        message = f"cannot listen on {site.address} ({site.setting}): {error.strerror}; {advice}"
        raise Broken(message) from error
    listening.setblocking(False)
    return listening
