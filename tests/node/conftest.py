"""Machines for tests: each is a real systemd in namespaces, up in half a second and gone with its test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.node.machine import Machine


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Callable[[], Machine]]:
    """Call it for one more machine; all end with the test."""
    with ExitStack() as running:
        yield lambda: running.enter_context(Machine(tmp_path))


@pytest.fixture
def machine(machines: Callable[[], Machine]) -> Machine:
    """A fresh machine, booted."""
    return machines()
