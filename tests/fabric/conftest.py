"""Fixtures of the fabric tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.capabilities import require
from tests.fabric.network import Router, network


@pytest.fixture
def router() -> Iterator[Router]:
    """One router."""
    require("root", "keepalived", "ip", "nsenter")
    with network(1) as routers:
        yield routers[0]


@pytest.fixture
def pair() -> Iterator[list[Router]]:
    """Two routers on one bridge."""
    require("root", "keepalived", "ip", "nsenter")
    with network(2) as routers:
        yield routers
