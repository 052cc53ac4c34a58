"""Silences BFD in a network namespace, so that routers take the gateway for dead while it still forwards.

Invariant: the speaker sees nothing of it: what it sends goes to a port where nobody listens, for a packet that is
dropped on its way out would be an error at its socket. Nothing else in the namespace is touched. Source: RFC 5881,
section 4 (port 3784); the port of nobody is discard (RFC 863).
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

from nodeagent.host import namespaces, nftables

TABLE: Final = "nodeagent-bfd"
_FAMILY: Final = "inet"
_CONTROL, _NOBODY = 3784, 9
_BEFORE_FILTERS: Final = -150

Object = dict[str, Any]
_PORT: Final[Object] = {"payload": {"protocol": "udp", "field": "dport"}}


def silence(namespace: str) -> None:
    """From now on no control packet leaves as one. FileNotFoundError if there is no such namespace."""
    table = {"family": _FAMILY, "name": TABLE}
    chain = {"family": _FAMILY, "table": TABLE, "name": "silence"}
    hook = {"type": "filter", "hook": "output", "prio": _BEFORE_FILTERS, "policy": "accept"}
    misled = [
        {"match": {"op": "==", "left": _PORT, "right": _CONTROL}},
        {"counter": None},
        {"mangle": {"key": _PORT, "value": _NOBODY}},
    ]
    commands: list[Object] = [
        {"add": {"table": table}},
        {"delete": {"table": table}},
        {"add": {"table": table}},
        {"add": {"chain": chain | hook}},
        {"add": {"rule": {"family": _FAMILY, "table": TABLE, "chain": "silence", "expr": misled}}},
    ]
    namespaces.within(namespace, lambda: nftables.run(commands))


def unsilence(namespace: str) -> None:
    """Let control packets leave again; done too where they do, or where the namespace is gone."""
    with contextlib.suppress(FileNotFoundError):
        namespaces.within(namespace, lambda: nftables.run([{"delete": {"table": {"family": _FAMILY, "name": TABLE}}}]))


def silenced(namespace: str) -> bool:
    """Whether it is silent; False where there is no such namespace, or the file of its name is none."""
    try:
        namespaces.within(namespace, lambda: nftables.run([{"list": {"table": {"family": _FAMILY, "name": TABLE}}}]))
    except OSError:
        return False
    return True


def silent() -> tuple[str, ...]:
    """Names of all namespaces that are silent, whether somebody speaks there or not."""
    return tuple(name for name in namespaces.names("") if silenced(name))


def speaking(prefix: str = "") -> tuple[str, ...]:
    """Namespaces, by names that begin with `prefix`, in which somebody listens for control packets."""
    return tuple(name for name in namespaces.names(prefix) if _listened(name))


def _listened(name: str) -> bool:
    try:
        return namespaces.within(name, _has_listener)
    except OSError:  # it is going, or it is no namespace
        return False


def _has_listener() -> bool:
    """Of udp(7) sockets of this thread's namespace, by /proc/thread-self/net/udp and udp6."""
    wanted = f":{_CONTROL:04X}"
    for name in ("udp", "udp6"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/thread-self/net/{name}", encoding="ascii") as file:
            if any(line.split()[1].endswith(wanted) for line in file.readlines()[1:]):
                return True
    return False
