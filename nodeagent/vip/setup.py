"""keepalived as the agent sets it up: one instance with unicast peers, and what ties it to the agent.

Invariants: what is rendered holds no value that was not checked; the same setup renders to the same bytes; the files of
peers differ only in name, priority and addresses of their own (keepalived.conf(5), systemd.exec(5)).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nodeagent.errors import Problem
from nodeagent.vip.configuration import Vip

UNIT = "keepalived.service"
CONFIG = "/etc/keepalived/keepalived.conf"
GUARD = "/etc/keepalived/nodeagent-guard"
DROPIN = f"/etc/systemd/system/{UNIT}.d/nodeagent.conf"
FIFO = "vrrp.fifo"  # in the agent's run directory, as is the track file

_RUN = "/run/"
_LONGEST_ADVERT = 40.95  # seconds: 12 bits of hundredths (RFC 9568, section 5.2.8)


@dataclass(frozen=True)
class Setup:
    """What a node's keepalived is to do. `vips` are addresses with prefix lengths, `advert_interval` is in seconds.

    `livez` is the URL that the guard asks once the agent is gone, "none" for nothing.
    """

    node: str
    vips: tuple[str, ...]
    interface: str
    vrid: int
    priority: int
    advert_interval: float
    preempt: bool
    source: str
    peers: tuple[str, ...]
    run_dir: str
    track_file: str
    livez: str
    guard: str = GUARD

    def problems(self) -> Iterator[Problem]:
        """Everything that keeps it from being rendered, by the setting that is at fault."""
        if not self.interface:
            yield _problem("interface", "is missing", "name the interface that the VIP is put on, such as eth0")
        if not self.peers:
            yield _problem("peers", "is empty", "name the addresses of the other nodes that may have the VIP")
        if self.source and self.source in self.peers:
            yield _problem("peers", f"holds {self.source}, which is this node's own", "leave this node out")
        for each in sorted({*self.peers, *filter(None, [self.source])} & {vip.partition("/")[0] for vip in self.vips}):
            yield _problem("addresses", f"holds {each}, which a node has for itself", "choose an address of nobody")
        if not 0.01 <= self.advert_interval <= _LONGEST_ADVERT:
            yield _problem("advert_interval", f"{self.advert_interval:g} s is not from 0.01 to {_LONGEST_ADVERT} s")
        yield from self._families()
        yield from unreachable(self.run_dir)

    def _families(self) -> Iterator[Problem]:
        """Adverts are of one family, that of the first VIP; others go along as excluded ones."""
        family = _family(self.vips[0])
        for key, addresses in (("peers", self.peers), ("source", filter(None, [self.source]))):
            for each in addresses:
                if _family(each) != family:
                    advice = "adverts go between addresses of the first VIP's family"
                    yield _problem(key, f"{each} is not of IPv{family}, as {self.vips[0]} is", advice)

    def config(self) -> str:
        """keepalived.conf."""
        return "\n".join(_nested(self._statements())) + "\n"

    def _statements(self) -> Iterator[str]:
        yield "# Written by `nodeagent vip configure`: change the settings, then run it again."
        yield from _block("global_defs", *self._general())
        yield from _block("track_file nodeagent", f'file "{self.track_file}"', "weight 1", "init_file 0")
        yield from _block("vrrp_script nodeagent_guard", *self._guard())
        yield from _block(f"vrrp_instance VI_{self.vrid}", *self._instance())

    def _general(self) -> tuple[str, ...]:
        fifo = f"vrrp_notify_fifo {self.run_dir}/{FIFO}"
        return f'router_id "{self.node}"', "vrrp_version 3", fifo, "enable_script_security", "script_user root"

    def _guard(self) -> tuple[str, ...]:
        """Its weight counts only if it fails, which it never does: what it says, it writes to the track file."""
        return f'script "{self.guard} {self.run_dir} {self.livez}"', "interval 2", "timeout 5", "weight -1", "user root"

    def _instance(self) -> Iterator[str]:
        yield from ("state BACKUP", f"interface {self.interface}", f"virtual_router_id {self.vrid}")
        yield from (f"priority {self.priority}", f"advert_int {self.advert_interval:g}")
        if not self.preempt:
            yield "nopreempt"
        if self.source:
            yield f"unicast_src_ip {self.source}"
        yield from _block("unicast_peer", *sorted(self.peers))
        family = _family(self.vips[0])
        yield from _block("virtual_ipaddress", *(self._vip(each) for each in self.vips if _family(each) == family))
        excluded = [self._vip(each) for each in self.vips if _family(each) != family]
        if excluded:
            yield from _block("virtual_ipaddress_excluded", *excluded)
        yield from _block("track_file", "nodeagent")
        yield from _block("track_script", "nodeagent_guard")

    def _vip(self, address: str) -> str:
        return f"{address} dev {self.interface}"


def unreachable(run_dir: str) -> Iterator[Problem]:
    """What keeps keepalived's unit from making the directory of the track file before keepalived starts."""
    if not run_dir.startswith(_RUN):
        yield Problem("settings", "run_dir", f"{run_dir} is not below /run, where systemd makes it for keepalived")


def dropin(vips: Iterable[Vip], run_dir: str) -> str:
    """The drop-in of keepalived's unit.

    keepalived drops a track file for good whose directory is missing when it starts. Debian's unit does not come back
    after a crash; and an address that a killed one leaves behind goes at once, not when the next one has started.
    """
    lines = ["# Written by `nodeagent vip configure`.", "[Service]"]
    lines += [f"RuntimeDirectory={run_dir.removeprefix(_RUN)} keepalived", "RuntimeDirectoryMode=0755"]
    lines += ["RuntimeDirectoryPreserve=yes", "Restart=always", "RestartSec=100ms"]
    lines += [f"ExecStopPost=-/sbin/ip address del {vip.address}/{vip.prefix} dev {vip.interface}" for vip in vips]
    return "\n".join(lines) + "\n"


def _problem(key: str, message: str, advice: str = "") -> Problem:
    return Problem("settings", f"vip.{key}", message, advice)


def _family(address: str) -> int:
    return ipaddress.ip_interface(address).version


def _block(head: str, *body: str) -> Iterator[str]:
    yield f"{head} {{"
    yield from body
    yield "}"


def _nested(lines: Iterable[str]) -> Iterator[str]:
    """The lines, indented by the blocks that they stand in."""
    depth = 0
    for line in lines:
        depth -= line == "}"
        yield "    " * depth + line
        depth += line.endswith("{")
