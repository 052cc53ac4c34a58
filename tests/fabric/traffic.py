"""What becomes of traffic through the gateways of a fabric while something is done to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fabric.ovnfabric import Fabric


def unharmed(site: Fabric, seconds: float, act: Callable[[], None], undo: Callable[[], None]) -> None:
    """`act` costs no probe in one of three tries: a machine that stalls loses packets by itself.

    Probes go on for `seconds`, or longer if `act` takes longer.
    """
    for _ in range(3):
        with site.probing(seconds) as told:
            act()
        if told["lost"] == 0:
            return
        undo()
    pytest.fail(f"each time probes were lost, at last: {told}")


def carrying(site: Fabric, version: int = 4) -> set[str]:
    """The addresses with which traffic leaves."""
    with site.probing(2.0, 0.005, version) as told:
        pass
    return set(told["seen"])
