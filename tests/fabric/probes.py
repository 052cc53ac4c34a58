"""Probes of one datagram each, and who answers them; run inside namespaces.

server ADDRESSES PORT                      answers each probe with the address that it came from, until it is ended
client ADDRESSES PORT PAUSE SECONDS FROM   sends a probe each PAUSE seconds, each from a port of its own, prints JSON;
                                           goes on after SECONDS until its standard input ends
                                           FROM is an address and the first port

ADDRESSES have commas between them; probes go to them in turn, for a switch in user space chooses by address alone.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import select
import socket
import sys
import time

_LINGER = 1.0  # seconds that the last answers have
_PORTS = 20_000  # source ports of which each probe has another; two clients with as many do not meet


def server(addresses: list[str], port: int) -> None:
    poll = select.epoll()
    sockets = {}
    for address in addresses:
        here = socket.socket(_family(address), socket.SOCK_DGRAM)
        here.bind((address, port))
        sockets[here.fileno()] = here
        poll.register(here, select.EPOLLIN)
    while True:
        for descriptor, _ in poll.poll():
            data, peer = sockets[descriptor].recvfrom(2048)
            sockets[descriptor].sendto(data + b" " + peer[0].encode(), peer)


def client(addresses: list[str], port: int, pause: float, seconds: float, source: tuple[str, int]) -> None:
    """`sent` and `lost` count probes, `gap` is the longest time that one address gave no answer, `seen` by address.

    `missed` are the times at which those were sent that are lost, by the machine's monotonic clock.
    """
    poll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    sent: dict[int, float] = {}
    answered: dict[int, float] = {}
    seen: dict[str, int] = {}

    def take(wait: float) -> None:
        for descriptor, _ in poll.poll(wait):
            poll.unregister(descriptor)
            with sockets.pop(descriptor) as probe, contextlib.suppress(ConnectionRefusedError):  # which is a loss
                number, _, by = probe.recv(2048).partition(b" ")
                answered[int(number)] = time.monotonic()
                seen[by.decode()] = seen.get(by.decode(), 0) + 1

    begin = due = time.monotonic()
    while (now := time.monotonic()) - begin < seconds or not select.select([sys.stdin], [], [], 0)[0]:
        number = len(sent)
        probe = socket.socket(_family(source[0]), socket.SOCK_DGRAM)
        probe.bind((source[0], source[1] + number % _PORTS))
        probe.connect((addresses[number % len(addresses)], port))
        sockets[probe.fileno()] = probe
        poll.register(probe, select.EPOLLIN)
        sent[number] = now
        probe.send(str(number).encode())
        due += pause
        while (left := due - time.monotonic()) > 0:
            take(left)
        take(0)
    end = time.monotonic() + _LINGER
    while len(answered) < len(sent) and (left := end - time.monotonic()) > 0:
        take(left)
    gaps = [
        _gap(sorted(answered[each] for each in answered if each % len(addresses) == turn), seconds)
        for turn in range(len(addresses))
    ]
    missed = [when for number, when in sent.items() if number not in answered]
    told = {"sent": len(sent), "lost": len(missed), "missed": missed, "gap": max(gaps), "seen": seen}
    print(json.dumps(told))  # noqa: T201 - what it is for


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _gap(times: list[float], seconds: float) -> float:
    return max((later - before for before, later in itertools.pairwise(times)), default=seconds)


if __name__ == "__main__":
    role, where, number, *more = sys.argv[1:]
    if role == "server":
        server(where.split(","), int(number))
    else:
        client(where.split(","), int(number), float(more[0]), float(more[1]), (more[2], int(more[3])))
