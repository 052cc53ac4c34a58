"""What the coordinator tells nodes of all nexthops, and which of a node's own are the last that work. Pure.

Invariant: a nexthop is the last one only if it works itself: one that is down already leaves nothing behind that was
not lost before. Each version of IP counts for itself.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping

from nodeagent.egress.demand import FAMILIES
from nodeagent.egress.findings import UP
from nodeagent.egress.site import of_family

States = Mapping[str, Mapping[str, str]]  # of the router's end of each session, by gateway and nexthop


def bulletin(states: States) -> str:
    """JSON, the same for the same states; gateways without sessions are left out."""
    return json.dumps({key: dict(each) for key, each in states.items() if each}, sort_keys=True)


def last(text: str, own: Collection[str]) -> tuple[str, ...]:
    """Of the addresses `own`, those that are the last nexthop that works, with their gateways, as words.

    ValueError if the text is no bulletin.
    """
    found = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
        raise ValueError("it is no object of objects")
    return tuple(f"{address} of gateway {key}" for key, each in sorted(found.items()) for address in _last(each, own))


def _last(states: Mapping[str, str], own: Collection[str]) -> Iterable[str]:
    working = sorted(address for address, state in states.items() if state == UP)
    for version in FAMILIES:
        found = of_family(working, version)
        if set(found) <= set(own):
            yield from found
