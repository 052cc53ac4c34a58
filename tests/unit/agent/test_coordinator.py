"""A coordinator that cannot reach the API server says so, and goes on trying."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.agent import coordinator
from nodeagent.settings import Settings
from tests.contract.kube import eventually


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a coordinator whose kubeconfig is missing, and that serves nothing."""
    default = Settings()
    cluster = replace(default.cluster, kubeconfig=str(tmp_path / "missing"))
    return replace(
        default,
        cluster=cluster,
        health=replace(default.health, address=None),
        metrics=replace(default.metrics, address=None),
    )


def test_it_logs_once_why_it_cannot_be_elected(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, "_GLANCE", 0.01)
    stop = threading.Event()

    def said() -> list[str]:
        return [vars(each)["error"] for each in caplog.records if each.message == "cannot be elected"]

    with caplog.at_level(logging.WARNING, "nodeagent.agent.coordinator"):
        thread = threading.Thread(target=coordinator.run, args=(settings, ["pools"], stop))
        thread.start()
        try:
            eventually(lambda: bool(said()), 30)
        finally:
            stop.set()
            thread.join(60)
    assert not thread.is_alive()
    (error,) = said()
    assert f"the kubeconfig {settings.cluster.kubeconfig} cannot be used" in error
