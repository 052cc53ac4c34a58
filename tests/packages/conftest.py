"""Packages, built once for all tests, and machines to install them on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.capabilities import require
from tests.node.machine import Machine
from tests.packages.build import KINDS, Release, releases
from tests.packages.installed import Installed


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Release, Release]:
    """Two versions, the older first."""
    require("root", "rpmbuild", "dpkg-deb", "dpkg-shlibdeps", "unshare", "gcc", "pkg-config")
    return releases(tmp_path_factory.mktemp("packages"))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as machine:
        yield machine


@pytest.fixture(params=KINDS)
def node(request: pytest.FixtureRequest, machine: Machine, built: tuple[Release, Release]) -> Installed:
    """A node without the agent; `install` puts a version on it, with the package manager of the kind."""
    return Installed(machine, request.param)
