"""What a keepalived.conf asks for: instances, their addresses and peers, and what they track (keepalived.conf(5)).

Invariant: a value that keepalived would not take becomes a Problem with its file and line, and the field has
the default that keepalived would use in its place. Keywords that have no bearing on a VIP are passed over.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from nodeagent.errors import Problem
from nodeagent.vip.blocks import Document, Statement, Where

N = TypeVar("N", int, float)

FIFO_KEYWORDS = ("vrrp_notify_fifo", "notify_fifo")  # keepalived writes transitions to both

_PRIORITY = 100  # keepalived's defaults
_ADVERT = 1.0
_VERSION = 2


@dataclass(frozen=True)
class Vip:
    """A virtual address with the length of its prefix, and the interface that it is put on."""

    address: str
    prefix: int
    interface: str

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix} dev {self.interface}"


@dataclass(frozen=True)
class TrackFile:
    """A file whose number, times `weight`, is added to the priority of those that track it; below -253 means FAULT."""

    name: str
    path: str
    weight: int = 1


@dataclass(frozen=True)
class Instance:
    """A vrrp_instance. `advert_interval` is in seconds; no `peers` means multicast."""

    name: str
    where: Where
    interface: str
    vrid: int
    priority: int
    version: int
    advert_interval: float
    nopreempt: bool
    source: str
    peers: tuple[str, ...]
    vips: tuple[Vip, ...]
    track_files: tuple[str, ...]
    track_scripts: tuple[str, ...]

    @property
    def takeover(self) -> float:
        """Seconds after the last advert until a peer of the same priority takes over (RFC 9568, section 6.1)."""
        return 3 * self.advert_interval + (256 - self.priority) * self.advert_interval / 256

    def facts(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "where": str(self.where),
            "interface": self.interface,
            "vrid": self.vrid,
            "priority": self.priority,
            "version": self.version,
            "advertInterval": self.advert_interval,
            "nopreempt": self.nopreempt,
            "peers": list(self.peers),
            "vips": [str(vip) for vip in self.vips],
            "trackFiles": list(self.track_files),
        }


@dataclass(frozen=True)
class Fifo:
    """A FIFO that keepalived writes transitions to, with the keyword that asks for it; each has one reader."""

    keyword: str
    path: str

    def __str__(self) -> str:
        return f"{self.keyword} {self.path}"


@dataclass(frozen=True)
class Configuration:
    """All of it. `fifos` are those that tell of VRRP; `virtual_servers` counts the IPVS services beside them."""

    path: str
    files: tuple[str, ...]
    router_id: str
    fifos: tuple[Fifo, ...]
    track_files: tuple[TrackFile, ...]
    instances: tuple[Instance, ...]
    virtual_servers: int
    problems: tuple[Problem, ...]

    def tells(self, path: str) -> bool:
        """Whether transitions are written to the FIFO at `path`."""
        return any(each.path == path for each in self.fifos)


def configuration(path: str, document: Document) -> Configuration:
    """The meaning of the statements at `path`."""
    root = document.root
    problems = list(document.problems)
    general = _Fields(Statement(("global_defs",), Where(path, 1), _bodies(root, "global_defs")), problems)
    version = general.integer("vrrp_version", 2, 3, _VERSION)
    return Configuration(
        path,
        document.files,
        general.text("router_id"),
        tuple(Fifo(keyword, path) for keyword in FIFO_KEYWORDS if (path := general.text(keyword))),
        tuple(_track_file(each, problems) for each in root.all("track_file", "vrrp_track_file")),
        tuple(_instance(each, version, problems) for each in root.all("vrrp_instance")),
        len(list(root.all("virtual_server"))),
        tuple(problems),
    )


def _bodies(root: Statement, keyword: str) -> list[Statement]:
    """The statements of all blocks of that name: keepalived reads them as one."""
    return [each for block in root.all(keyword) for each in block.body]


class _Fields:
    """Reads the fields of a block, complaining of each that is out of range."""

    def __init__(self, block: Statement, problems: list[Problem]) -> None:
        self._block = block
        self._problems = problems

    def text(self, keyword: str) -> str:
        found = self._block.last(keyword)
        return found.value if found else ""

    def flag(self, keyword: str) -> bool:
        return self._block.last(keyword) is not None

    def integer(self, keyword: str, low: int, high: int, default: int) -> int:
        return self._number(keyword, (low, high), default, int)

    def decimal(self, keyword: str, low: float, high: float, default: float) -> float:
        return self._number(keyword, (low, high), default, float)

    def _number(self, keyword: str, bounds: tuple[N, N], default: N, convert: Callable[[str], N]) -> N:
        found = self._block.last(keyword)
        if found is None:
            return default
        low, high = bounds
        try:
            value = convert(found.value)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            self.complain(found, f"{keyword} {found.value!r} is no number from {low} to {high}", f"{default} counts")
            return default
        return value

    def complain(self, at: Statement, message: str, advice: str = "") -> None:
        self._problems.append(Problem(at.where.path, f"line {at.where.line}", message, advice))


def _track_file(block: Statement, problems: list[Problem]) -> TrackFile:
    fields = _Fields(block, problems)
    bound = (1 << 31) - 1
    return TrackFile(block.value, fields.text("file"), fields.integer("weight", -bound, bound, 1))


def _instance(block: Statement, version: int, problems: list[Problem]) -> Instance:
    fields = _Fields(block, problems)
    interface = fields.text("interface")
    vips = tuple(_vips(block, interface, problems))
    version = 3 if vips and ":" in vips[0].address else fields.integer("version", 2, 3, version)
    _expected(block, fields)
    return Instance(
        block.value,
        block.where,
        interface,
        fields.integer("virtual_router_id", 1, 255, 0),
        fields.integer("priority", 1, 255, _PRIORITY),
        version,
        fields.decimal("advert_int", 0.01, 255 if version == 2 else 40.95, _ADVERT),
        _nopreempt(block, fields),
        fields.text("unicast_src_ip") or fields.text("mcast_src_ip"),
        _listed(block, "unicast_peer"),
        vips,
        _listed(block, "track_file"),
        _listed(block, "track_script"),
    )


def _expected(block: Statement, fields: _Fields) -> None:
    """What an instance cannot do without."""
    if not block.value:
        fields.complain(block, "the vrrp_instance has no name", "give it one")
    for keyword in ("virtual_router_id", "interface"):
        if not fields.flag(keyword):
            fields.complain(block, f"{block.value} has no {keyword}", "keepalived does not start such an instance")


def _nopreempt(block: Statement, fields: _Fields) -> bool:
    """keepalived drops it where the instance is to begin as MASTER."""
    found = block.last("nopreempt")
    if found is not None and fields.text("state") == "MASTER":
        fields.complain(found, "nopreempt does nothing beside state MASTER", "say state BACKUP on all nodes")
        return False
    return found is not None


def _listed(block: Statement, keyword: str) -> tuple[str, ...]:
    """First words of the lines in the blocks of that name."""
    return tuple(each.keyword for each in _bodies(block, keyword))


def _vips(block: Statement, interface: str, problems: list[Problem]) -> Iterator[Vip]:
    for keyword in ("virtual_ipaddress", "virtual_ipaddress_excluded"):
        for line in _bodies(block, keyword):
            vip = _vip(line.words, interface)
            if vip is not None:
                yield vip
                continue
            message = f"{line.keyword!r} in {keyword} is no IP address"
            problems.append(Problem(line.where.path, f"line {line.where.line}", message, "keepalived leaves it out"))


def _vip(words: tuple[str, ...], interface: str) -> Vip | None:
    """`<IPADDR>[/<MASK>] ... [dev <STRING>]`; None if that is no address."""
    try:
        parsed = ipaddress.ip_interface(words[0])
    except ValueError:
        return None
    options = dict(itertools.pairwise(words[1:]))
    return Vip(str(parsed.ip), parsed.network.prefixlen, options.get("dev", interface))
