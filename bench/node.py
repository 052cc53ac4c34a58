"""One scratch node: a root directory with its sources, and the agent's commands and daemon on it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench import measure
from bench.installation import AGENT
from bench.measure import Cost
from bench.workload import Workload

_PATIENCE = 60.0  # seconds


class Node:
    """A node below `base`, which is made for it, with the sources in `source`."""

    def __init__(self, base: str, source: str) -> None:
        self.root, self.run_dir, self.source = f"{base}/root", f"{base}/run", source
        self._base = base
        for directory in ("etc/systemd/system", "usr/lib/systemd/system", "var/lib", "run"):
            os.makedirs(f"{self.root}/{directory}")
        with open(f"{self.root}/etc/passwd", "w") as table:
            table.write("root:x:0:0::/root:/bin/sh\n")
        os.sync()

    def agent(self, command: str, *arguments: str, accept: tuple[int, ...] = (0,)) -> Cost:
        """Run one command as an administrator would; what that costs."""
        return measure.run([AGENT, command, *arguments, "--root", self.root], accept)

    def apply(self) -> Cost:
        return self.agent("apply", self.source)

    @contextmanager
    def daemon(self, *flags: str) -> Iterator[Daemon]:
        """The daemon on this node, ready: health and metrics served, everything else as by default or by `flags`."""
        addresses = ["--health-address", _free_address(), "--metrics-address", _free_address()]
        words = [AGENT, "run", "--root", self.root, "--source", self.source, "--run-dir", self.run_dir, *addresses]
        words += flags
        address = f"{self._base}/notify"
        with _notifications(address) as notify, open(f"{self._base}/log", "ab") as log:
            environment = measure.environment() | {"NOTIFY_SOCKET": address}
            began = time.perf_counter()
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
            try:
                _await_ready(notify)
                start = Cost(time.perf_counter() - began, measure.cpu_of(process.pid))
                threading.Thread(target=_drain, args=[notify], daemon=True).start()
                yield Daemon(self, process, start)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(_PATIENCE)


class Daemon:
    """A running daemon; `start` is what it has cost until it was ready."""

    def __init__(self, node: Node, process: subprocess.Popen[bytes], start: Cost) -> None:
        self._node = node
        self._process = process
        self.pid = process.pid
        self.start = start

    def status(self) -> dict[str, Any]:
        """What the daemon reports of machine configuration."""
        with open(f"{self._node.run_dir}/status.json") as file:
            document: dict[str, Any] = json.load(file)["jobs"].get("machineconfig", {})
        return document

    def drifting(self) -> set[str]:
        """Paths whose drift is reported."""
        return {each["finding"]["path"] for each in self.status()["drift"]}

    def until(self, what: str, holds: Callable[[], bool], pause: float = 0.001) -> float:
        """Wait until something holds, looking every `pause` seconds; returns how long that took, in seconds."""
        began = time.perf_counter()
        while not holds():
            if time.perf_counter() - began > _PATIENCE or self._process.poll() is not None:
                sys.exit(f"bench: waited in vain until {what}")
            time.sleep(pause)
        return time.perf_counter() - began


def build(base: str, workload: Workload) -> Node:
    """A node below `base`, which is made for it, with sources of its own."""
    os.makedirs(f"{base}/sources")
    workload.write_sources(f"{base}/sources")
    return Node(f"{base}/node", f"{base}/sources")


@contextmanager
def _notifications(address: str) -> Iterator[socket.socket]:
    """The socket on which the daemon tells how it is, as systemd has one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(address)
        try:
            yield notify
        finally:
            os.unlink(address)
            notify.shutdown(socket.SHUT_RDWR)


def _drain(notify: socket.socket) -> None:
    """Read until the socket is shut down, as systemd would: a full one would have the daemon wait."""
    notify.settimeout(None)
    while notify.recv(4096):
        pass


def _await_ready(notify: socket.socket) -> None:
    notify.settimeout(_PATIENCE)
    while b"READY=1" not in notify.recv(4096).split(b"\n"):
        pass


def _free_address() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"
