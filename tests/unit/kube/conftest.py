"""A fake API server, and a connection to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.kube.connection import Connection, connect
from tests.fakes.api import Api


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as running:
        yield running


@pytest.fixture
def connection(api: Api, tmp_path: Path) -> Iterator[Connection]:
    connection = connect(api.kubeconfig(tmp_path), "nodeagent/test")
    yield connection
    connection.close()
