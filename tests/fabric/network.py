"""Routers on one bridge, each a network namespace with a keepalived of its own: real packets, nothing outside.

A router has its own /run, /tmp, /etc/keepalived and host name, since keepalived writes to fixed paths there. The
namespaces have no names and live as long as the process that holds them, so nothing is left behind by a crash.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

VIP = "10.77.0.100"
NOBODY = "10.77.0.9"
DEADLINE = 10.0  # seconds
_CHECKOUT = Path(__file__).parents[2]


def until(met: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
    """Wait until `met`; AssertionError with `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not met():
        assert time.monotonic() < end, f"not within {deadline:g} s: {what}"
        time.sleep(0.02)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=DEADLINE).stdout


@dataclass
class Router:
    """One namespace. `address` is its own on eth0; its peers are the other routers."""

    name: str
    address: str
    holder: subprocess.Popen[bytes]
    bridge: subprocess.Popen[bytes]
    port: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.holder.pid

    def inside(self, *command: str) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-n", "-m", "-u", "--", *command]

    def program(self, module: str, *arguments: str) -> list[str]:
        """The command that runs a module of the tests inside."""
        return self.inside("env", f"PYTHONPATH={_CHECKOUT}", sys.executable, "-m", module, *arguments)

    def run(self, *command: str) -> str:
        return _run(*self.inside(*command))

    def path(self, path: str) -> str:
        """A path of the router as this process sees it."""
        return f"/proc/{self.pid}/root{path}"

    def write(self, path: str, text: str) -> None:
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), "w") as file:
            file.write(text)

    def start(self, config: str, *arguments: str) -> subprocess.Popen[bytes]:
        """keepalived with `config`, in the foreground."""
        self.write("/etc/keepalived/keepalived.conf", config)
        before = self.log().count("Startup complete") if self.processes else 0
        with open(self.path("/run/keepalived.log"), "ab") as log:
            command = self.inside("keepalived", "-n", "-l", "-D", *arguments)
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self.processes.append(process)
        until(
            lambda: self.log().count("Startup complete") > before,
            f"keepalived on {self.name} has started: {self.log()}",
        )
        return process

    def log(self) -> str:
        with open(self.path("/run/keepalived.log")) as file:
            return file.read()

    def holds(self, address: str = VIP) -> bool:
        return f" {address}/" in self.run("ip", "-o", "addr", "show", "dev", "eth0")

    @property
    def mac(self) -> str:
        return str(json.loads(self.run("ip", "-j", "link", "show", "dev", "eth0"))[0]["address"])

    def plug(self, pid: int, bridge: str) -> None:
        """Join the bridge of the network of the process `pid` with that of this network."""
        link = ["ip", "link", "add", "plug", "type", "veth", "peer", "name", "plug", "netns", str(pid)]
        _nsenter(self.bridge, *link)
        _nsenter(self.bridge, "ip", "link", "set", "plug", "master", "br0", "up")
        _run("nsenter", "-t", str(pid), "-n", "--", "ip", "link", "set", "plug", "master", bridge, "up")

    def cut(self) -> None:
        """Take the router off the bridge; its own link stays up, so that nothing here can tell."""
        _nsenter(self.bridge, "ip", "link", "set", self.port, "nomaster")

    def mend(self) -> None:
        """Put the router back on the bridge."""
        _nsenter(self.bridge, "ip", "link", "set", self.port, "master", "br0")

    def stop(self) -> None:
        for process in self.processes:
            _end(process)
        self.processes.clear()


def _end(process: subprocess.Popen[bytes]) -> None:
    """The whole session, also what was stopped."""
    for number in (signal.SIGCONT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
    process.wait(DEADLINE)


@contextmanager
def network(routers: int, lifetime: float = 600.0) -> Iterator[list[Router]]:
    """`routers` of them at 10.77.0.1, .2, …, joined by a bridge, for `lifetime` seconds at the most."""
    with ExitStack() as stack:
        bridge = stack.enter_context(_holder(lifetime))
        _nsenter(bridge, "ip", "link", "add", "br0", "type", "bridge")
        _nsenter(bridge, "ip", "link", "set", "br0", "up")
        yield [stack.enter_context(_router(number, bridge, lifetime)) for number in range(1, routers + 1)]


@contextmanager
def _router(number: int, bridge: subprocess.Popen[bytes], lifetime: float) -> Iterator[Router]:
    with _holder(lifetime) as holder:
        port = f"port{number}"
        router = Router(f"k{number}", f"10.77.0.{number}", holder, bridge, port)
        link = ["ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid)]
        _nsenter(bridge, *link)
        _nsenter(bridge, "ip", "link", "set", port, "master", "br0", "up")
        _furnish(router)
        try:
            yield router
        finally:
            router.stop()


def _furnish(router: Router) -> None:
    router.run("mount", "--make-rprivate", "/")
    for directory in ("/run", "/etc/keepalived"):
        router.run("mount", "-t", "tmpfs", "none", directory)
    router.run("mkdir", "/run/keepalived", "/run/nodeagent", "/run/checkout")
    router.run("mount", "--bind", str(_CHECKOUT), "/run/checkout")
    router.run("mount", "-t", "tmpfs", "none", "/tmp")
    router.run("mkdir", "-p", str(_CHECKOUT))  # it may lie below /tmp, and its programs run here
    router.run("mount", "--bind", "/run/checkout", str(_CHECKOUT))
    router.run("hostname", router.name)
    router.run("ip", "addr", "add", f"{router.address}/24", "dev", "eth0")
    for device in ("eth0", "lo"):
        router.run("ip", "link", "set", device, "up")


def _nsenter(holder: subprocess.Popen[bytes], *command: str) -> None:
    _run("nsenter", "-t", str(holder.pid), "-n", "--", *command)


@contextmanager
def _holder(lifetime: float) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds new network, mount and host name namespaces; it ends by itself, should nobody end it."""
    process = subprocess.Popen(["unshare", "--net", "--mount", "--uts", "sleep", str(lifetime)])
    ours = os.readlink("/proc/self/ns/net")
    try:
        until(lambda: os.readlink(f"/proc/{process.pid}/ns/net") != ours, "the namespaces are there")
        yield process
    finally:
        process.kill()
        process.wait(DEADLINE)


def others(router: Router, routers: list[Router]) -> list[str]:
    """Addresses of all but `router`."""
    return [each.address for each in routers if each is not router]


class Placed(Protocol):
    """A node on the bridge, a router or another."""

    @property
    def name(self) -> str: ...

    @property
    def address(self) -> str: ...


def config(
    router: Placed,
    peers: Iterable[str],
    *,
    priority: int,
    advert: float = 0.3,
    extra: str = "",
    interface: str = "eth0",
) -> str:
    """A configuration that knows the addresses of its `peers`, with `extra` lines in the instance."""
    listed = " ".join(f"{peer}\n" for peer in peers)
    return f"""
global_defs {{
  router_id {router.name}
  vrrp_version 3
  vrrp_notify_fifo /run/keepalived/vrrp.fifo
}}
track_file health {{
  file "/run/nodeagent/vip-health"
  weight 1
  init_file 0
}}
vrrp_instance VI_1 {{
  state BACKUP
  interface {interface}
  virtual_router_id 51
  priority {priority}
  advert_int {advert}
  unicast_src_ip {router.address}
  unicast_peer {{ {listed} }}
  virtual_ipaddress {{ {VIP}/24 dev {interface} }}
  track_file {{ health }}
  {extra}
}}
"""
