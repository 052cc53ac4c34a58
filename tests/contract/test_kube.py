"""The contract of nodeagent.kube, with the fake API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.kube import Arranger, KubeContract
from tests.fakes.api import Api


class TestFake(KubeContract):
    @pytest.fixture
    def arrange(self) -> Iterator[Api]:
        with Api() as api:
            yield api

    @pytest.fixture
    def kubeconfig(self, arrange: Api, tmp_path: Path) -> str:
        return arrange.kubeconfig(tmp_path)


def _fits(api: Api) -> Arranger:
    return api
