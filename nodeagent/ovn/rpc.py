"""One question to an OVSDB server (RFC 7047), on a connection of its own."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Sequence
from typing import Any

import ovs.jsonrpc
import ovs.poller
import ovs.stream


def ask(remote: str, method: str, parameters: Sequence[Any], until: float) -> Any:
    """The server's reply, a message with `result` and `error`; OSError if there is none until `until` (monotonic)."""
    milliseconds = max(1, int((until - time.monotonic()) * 1000))
    error, stream = ovs.stream.Stream.open_block(ovs.stream.Stream.open(remote), milliseconds)
    if error:
        raise OSError(error, "cannot be connected to")
    connection = ovs.jsonrpc.Connection(stream)
    try:
        request = ovs.jsonrpc.Message.create_request(method, list(parameters))
        connection.send(request)
        for reply in _replies(connection, until):
            if reply.id == request.id:
                return reply
    finally:
        connection.close()
    raise OSError(errno.ETIMEDOUT, "does not answer in time")


def _replies(connection: ovs.jsonrpc.Connection, until: float) -> Iterator[ovs.jsonrpc.Message]:
    while time.monotonic() < until:
        connection.run()
        error, message = connection.recv()
        if message:
            yield message
        elif error != errno.EAGAIN:
            raise OSError(errno.ECONNRESET, "ends the connection")
        else:
            poller = ovs.poller.Poller()
            connection.wait(poller)
            connection.recv_wait(poller)
            poller.timer_wait(max(1, int((until - time.monotonic()) * 1000)))
            poller.block()
