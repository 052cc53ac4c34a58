"""FRR's bfdd as the gateway's end of BFD, with the zebra that tells it of interfaces, and the mgmtd that zebra needs.

zebra runs without mgmtd too, but tries again and again to tell it something, which costs 10 % of a core.

Invariant: they see the machine's files but for a group of their own and empty folders in the places that FRR writes to
whatever it is told; nothing of them is left when their processes are gone. Source: FRR's user guide, "BFD".
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from nodeagent.egress.node.dataplane import INSIDE
from nodeagent.egress.node.part import GatewayPart, Timing
from nodeagent.egress.site import family
from nodeagent.host import namespaces
from tests.fabric.network import until
from tests.ovn.packages import Tree

_PROGRAMS = ("mgmtd", "zebra", "bfdd")
_GROUP = "frrvty:x:65530:root\n"  # without which FRR does not start
_VIEW = """\
mount --bind "$1/group" /etc/group
for folder in /run /var/lib /var/tmp; do mount -t tmpfs none "$folder"; done
mkdir /run/frr
mount --bind "$1" /run/frr
shift
exec "$@"
"""
_START = 30.0  # seconds


@dataclass
class Frr:
    """The daemons of a tree of packages; `folder`, with their files, must not lie below /run, /var/lib or /var/tmp."""

    tree: Tree
    folder: Path
    _running: dict[str, dict[str, subprocess.Popen[bytes]]] = field(default_factory=dict)

    def keep(self, part: GatewayPart) -> None:
        standing = self._running.get(part.namespace, {}).values()
        if standing and all(each.poll() is None for each in standing):
            return
        self.end(part)
        assert part.bfd is not None
        here = self.folder / part.identity
        here.mkdir(exist_ok=True)
        (here / "group").write_text(Path("/etc/group").read_text() + _GROUP)
        for name in _PROGRAMS:
            (here / f"{name}.conf").write_text("")
        (here / "bfdd.conf").write_text(configuration(part, part.bfd))
        self._running[part.namespace] = running = {}
        for name in _PROGRAMS:
            running[name] = namespaces.within(part.namespace, partial(self._started, here, name))
            until((here / f"{name}.vty").exists, f"{name} listens", _START)

    def _started(self, here: Path, name: str) -> subprocess.Popen[bytes]:
        options = ["-P", "0", "-u", "root", "-g", "root", "--log", "stdout", "--log-level", "errors"]
        if name != "mgmtd":  # which reads no configuration
            options += ["-f", str(here / f"{name}.conf")]
        command = self.tree.command(f"lib/frr/{name}", *options)
        with (here / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                ["unshare", "--mount", "sh", "-ec", _VIEW, "sh", str(here), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def processes(self, part: GatewayPart) -> Mapping[str, int]:
        return {name: each.pid for name, each in self._running[part.namespace].items()}

    def end(self, part: GatewayPart) -> None:
        for each in self._running.pop(part.namespace, {}).values():
            each.kill()
            each.wait(_START)
        for name in _PROGRAMS:
            (self.folder / part.identity / f"{name}.vty").unlink(missing_ok=True)


def configuration(part: GatewayPart, timing: Timing) -> str:
    """What bfdd reads: one session with each router, in the versions of IP that the gateway has."""
    legs = {leg.version: leg.host for leg in part.inside}
    lines = ["bfd"]
    for peer in sorted(part.peers):
        lines += [
            f" peer {peer} local-address {legs[family(peer)]} interface {INSIDE}",
            f"  detect-multiplier {timing.multiplier}",
            f"  receive-interval {timing.min_rx}",
            f"  transmit-interval {timing.min_tx}",
        ]
    return "\n".join([*lines, ""])
