"""Fixtures of the tests against a real OVN."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.capabilities import require
from tests.ovn import packages
from tests.ovn.central import Central, Database, central, cluster, database, running


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder with a short name: the path of a socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ovn-") as folder:
        yield Path(folder)


@pytest.fixture
def ovn(scratch: Path) -> Iterator[Central]:
    """Databases and northd, empty."""
    require("ovn")
    with central(packages.ensured(), scratch) as whole:
        yield whole


@pytest.fixture
def northbound(scratch: Path) -> Iterator[Database]:
    """A northbound database alone, empty."""
    require("ovn")
    server = database(packages.ensured(), scratch)
    with running(server):
        yield server


@pytest.fixture
def members(scratch: Path) -> Iterator[list[Database]]:
    """A northbound database over three members."""
    require("ovn")
    with cluster(packages.ensured(), scratch) as databases:
        yield databases
