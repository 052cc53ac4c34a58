"""A real agent on a scratch root where several things are wrong, and what it serves on /metrics."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.cluster.process import free_port
from tests.unit.certs.authority import issue

_TOP = Path(__file__).parents[2]
_PKI = "etc/kubernetes/pki"
_PATIENCE = 60.0


@contextmanager
def troubled_agent(base: Path) -> Iterator[str]:
    """The address of its /metrics; one path has drifted, one certificate has expired, one ends within 30 days."""
    root, sources, address = base / "root", base / "sources", f"127.0.0.1:{free_port()}"
    (root / "etc").mkdir(parents=True)
    sources.mkdir()
    (sources / "50-a.json").write_text(json.dumps(_machine_config()))
    _certificates(root)
    command = [sys.executable, "-m", "nodeagent", "run", f"--root={root}", f"--run-dir={base / 'run'}"]
    command += [f"--source={sources}", f"--metrics-address={address}", "--health-address=", "--node-name=n1"]
    with (base / "log").open("wb") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONPATH": str(_TOP)},
        )
    try:
        _until((root / "etc/x").exists, base)
        (root / "etc/x").write_text("changed by hand")
        _until(lambda: 'nodeagent_drift_paths{action="alert",kind="content"} 1.0' in scraped(address), base)
        _until(lambda: "certificate_expires_status{" in scraped(address), base)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_PATIENCE)


def scraped(address: str) -> str:
    """What is served there, "" while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
            return str(answer.read(), "utf-8")
    except OSError:
        return ""


def _until(condition: Any, base: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < end, (base / "log").read_text()
        time.sleep(0.05)


def _machine_config() -> dict[str, Any]:
    file = {"path": "/etc/x", "mode": 0o644, "contents": {"source": "data:,declared"}}
    return {
        "apiVersion": "machineconfiguration.alauda.io/v1alpha1",
        "kind": "MachineConfig",
        "metadata": {"name": "50-a", "labels": {"machineconfiguration.alauda.io/role": "worker"}},
        "spec": {"config": {"ignition": {"version": "3.4.0"}, "storage": {"files": [file]}}},
    }


def _certificates(root: Path) -> None:
    now = datetime.now(UTC)
    authority = issue("kubernetes", begins=now - timedelta(days=400), ends=now + timedelta(days=3000), ca=True)
    (root / _PKI).mkdir(parents=True)
    (root / _PKI / "ca.crt").write_bytes(authority.pem)
    for name, days in (("apiserver-kubelet-client", -1), ("front-proxy-client", 20)):
        ends = now + timedelta(days=days)
        pair = issue(name, authority, usages=["clientAuth"], begins=ends - timedelta(days=365), ends=ends)
        (root / _PKI / f"{name}.crt").write_bytes(pair.pem)
        (root / _PKI / f"{name}.key").write_bytes(pair.key_pem)
        (root / _PKI / f"{name}.key").chmod(0o600)
