"""`nodeagent run` in routers, and what it says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fabric.network import DEADLINE, Router, config, until

_QUIET = ("--metrics-address", "", "--health-address", "", "--vip-probe-interval", "1")
UNBOUND = ("--vip-endpoint", "", "--vip-etcd", "", "--vip-rise", "2")  # no API server decides


@contextmanager
def daemon(router: Router, *settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon in a router, with no API server unless `settings` name one."""
    command = [sys.executable, "-m", "nodeagent", "run", "--state-dir", "/run/state", "--source", "/run/none"]
    with open(router.path("/run/agent.log"), "ab") as log:
        process = subprocess.Popen(
            router.inside(*command, *_QUIET, *(settings or UNBOUND)), stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(3 * DEADLINE)
        finally:
            process.kill()
            process.wait(DEADLINE)


@contextmanager
def api_server(router: Router, address: str = "0.0.0.0", port: int = 6443) -> Iterator[Callable[[int], None]]:
    """A server in a router, well at first; yields what sets the status that it answers with."""

    def answer(status: int) -> None:
        router.write("/run/status.new", str(status))
        Path(router.path("/run/status.new")).rename(router.path("/run/status"))

    answer(200)
    process = subprocess.Popen(router.program("tests.fabric.apiserver", address, str(port), "/run/status"))
    try:
        until(lambda: f":{port} " in router.run("ss", "-ltn"), "the server listens", 3 * DEADLINE)
        yield answer
    finally:
        process.kill()
        process.wait(DEADLINE)


def text(router: Router, name: str) -> str:
    """A file of the agent's run directory, "" if it is not there."""
    try:
        return Path(router.path(f"/run/nodeagent/{name}")).read_text()
    except FileNotFoundError:
        return ""


def said(router: Router) -> Mapping[str, Any]:
    """What the job says in the status file."""
    document = json.loads(text(router, "status.json") or "{}")
    job: Mapping[str, Any] = document.get("jobs", {}).get("vip", {})
    return job


def codes(router: Router) -> set[str]:
    """Its findings."""
    return {each["code"] for each in said(router).get("findings", ())}


def state(router: Router) -> str:
    """What it believes of the first instance."""
    return next((str(each["state"]) for each in said(router).get("instances", ())), "")


def eventually(router: Router, met: Callable[[], bool], what: str) -> None:
    """Wait until `met`; the failure shows what the agent says."""
    try:
        until(met, what, 30.0)
    except AssertionError as error:
        log = text(router, "../agent.log")[-2000:]
        raise AssertionError(f"{error}; it says {said(router)}\n{log}") from error


def agents_config(router: Router, peers: list[str], priority: int, extra: str = "") -> str:
    """As `config`, with the FIFO that the agent reads."""
    found = config(router, peers, priority=priority, extra=extra)
    return found.replace("/run/keepalived/vrrp.fifo", "/run/nodeagent/vrrp.fifo")
