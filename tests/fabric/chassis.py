"""Nodes of an OVN, each a namespace with a switch in user space and a controller of its own.

Invariant: all files of a node lie in its folder, and all of its processes are gone after the `with`.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from nodeagent.egress.node.keeper import Keeper, Parts
from nodeagent.egress.node.part import GatewayPart
from nodeagent.engine.report import Report, State
from nodeagent.host import namespaces
from nodeagent.host.gatewaykernel import GatewayKernel
from nodeagent.ovn.switch import Switch
from tests.fabric.network import Router
from tests.ovn import packages
from tests.ovn.central import Database, Program, running

T = TypeVar("T")

UNDERLAY = "10.99.0.254"
_SIOCETHTOOL, _STXCSUM = 0x8946, 0x17


def in_network(pid: int, work: Callable[[], T]) -> T:
    """The result of `work` in the network of a process, with the files of this one."""
    name = f"fabric-{pid}"
    path = f"{namespaces.DIRECTORY}/{name}"
    os.makedirs(namespaces.DIRECTORY, exist_ok=True)
    subprocess.run(["ip", "netns", "attach", name, str(pid)], check=False, capture_output=True, timeout=10)
    assert os.path.exists(path)
    return namespaces.within(name, work)


def without_offload(link: str) -> None:
    """A switch in user space reads packets whose checksums nobody has computed yet, unless the sender is told to."""
    value = struct.pack("II", _STXCSUM, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        buffer = bytearray(value)
        address = _address_of(buffer)
        fcntl.ioctl(any_socket, _SIOCETHTOOL, struct.pack("16sP", link.encode(), address))


def _address_of(buffer: bytearray) -> int:
    return ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))


@dataclass
class Chassis:
    """A node of the fabric: its switch and its controller."""

    name: str
    router: Router
    programs: list[Program]
    remote: str
    said: list[Report] = field(default_factory=list)

    def publish(self, report: Report) -> None:
        self.said.append(report)

    def build(self, part: GatewayPart) -> None:
        """As a new start of the agent: nothing is remembered but what stands."""
        plane = GatewayKernel(part.namespace), Switch(self.remote, "br-int")
        keeper = Keeper(lambda: Parts((part,)), *plane, self, 10.0)
        in_network(self.router.pid, keeper.tick)
        assert self.said[-1].state is State.DONE, self.said[-1].reason

    def has(self, part: GatewayPart) -> bool:
        found = in_network(
            self.router.pid, lambda: subprocess.run(["ip", "-o", "link"], capture_output=True, check=True)
        )
        return f"eg-{part.identity}" in found.stdout.decode()


@contextmanager
def joined(number: int, router: Router, under: list[str], scratch: Path) -> Iterator[Chassis]:
    """A node of OVN in the network of `router`; `under` runs a command where the bridge of the underlay is."""
    name, port, here = f"ch{number}", f"u{number}", ["nsenter", "-t", str(router.pid), "-n", "--"]
    ip(under, "link", "add", port, "type", "veth", "peer", "name", "und0", "netns", str(router.pid))
    ip(under, "link", "set", port, "master", "br1", "up")
    ip(here, "link", "set", "und0", "up")
    in_network(router.pid, lambda: without_offload("und0"))
    in_network(router.bridge.pid, lambda: without_offload(port))
    folder, tree = scratch / name, packages.ensured()
    folder.mkdir()
    file = folder / "conf.db"
    subprocess.run(tree.command("bin/ovsdb-tool", "create", str(file), tree.schema("vswitch")), check=True, timeout=30)
    prefix = [*here, "env", *(f"{key}={folder}" for key in ("OVS_RUNDIR", "OVN_RUNDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"))]
    server = Database(
        tree, folder, "db", "sbin/ovsdb-server", [str(file), f"--remote=punix:{folder / 'db.sock'}"], prefix
    )
    switch = Program(
        tree, folder, "vswitchd", "lib/openvswitch-switch/ovs-vswitchd", [server.remote, "--disable-system"], prefix
    )
    controller = Program(tree, folder, "ovn-controller", "bin/ovn-controller", [server.remote], prefix)
    with running(server):
        told = {
            "system-id": name,
            "hostname": name,
            "ovn-remote": f"tcp:{UNDERLAY}:6642",
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": f"10.99.0.1{number}",
            "ovn-bridge-datapath-type": "netdev",
            "ovn-monitor-all": "true",
        }
        vsctl(server, "--no-wait", "init")
        vsctl(
            server, "--no-wait", "set", "open", ".", *(f"external_ids:{key}={value!s}" for key, value in told.items())
        )
        with running(switch):
            bridges = {"br-phy": ["datapath_type=netdev"], "br-int": ["datapath_type=netdev", "fail_mode=secure"]}
            for bridge, settings in bridges.items():
                vsctl(server, "--may-exist", "add-br", bridge, "--", "set", "bridge", bridge, *settings)
            vsctl(server, "add-port", "br-phy", "und0")
            ip(here, "addr", "add", f"10.99.0.1{number}/24", "dev", "br-phy")
            ip(here, "link", "set", "br-phy", "up")
            with running(controller):
                yield Chassis(name, router, [server, switch, controller], server.remote)


def vsctl(server: Database, *arguments: str) -> None:
    command = server.tree.command("bin/ovs-vsctl", f"--db={server.remote}", "--timeout=20", *arguments)
    subprocess.run(command, check=True, capture_output=True, timeout=30)


def forget(name: str) -> None:
    subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=10)


def ip(prefix: list[str], *arguments: str) -> None:
    subprocess.run([*prefix, "ip", *arguments], check=True, capture_output=True, timeout=10)
