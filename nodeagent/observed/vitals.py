"""What a node offers to the agent, as it was seen: rights, file systems, kernel interfaces, the clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rights:
    """Effective user id and capabilities ("CAP_CHOWN") of this process (capabilities(7))."""

    uid: int
    capabilities: frozenset[str]


@dataclass(frozen=True)
class Root:
    """The node's root directory as this process reaches it.

    `live`: it is the root of the running system. `follows`: what is mounted below it later shows here too, since the
    mount propagates or is no mount of our own (mount_namespaces(7)).
    """

    path: str
    live: bool
    follows: bool = True


@dataclass(frozen=True)
class FileSystem:
    """The file system below `path`, a path inside the root, or below the nearest directory on the way there.

    `present`: `path` itself is there. `device` is st_dev; sizes in bytes, inodes 0 where they are not counted.
    """

    path: str
    present: bool = True
    device: int = 0
    type: str = ""
    read_only: bool = False
    runs_programs: bool = True
    free: int = 0
    size: int = 0
    inodes_free: int = 0
    inodes: int = 0


@dataclass(frozen=True)
class Renames:
    """Why a file system refuses the two flags of renameat2(2); "" where it takes them."""

    noreplace: str = ""
    exchange: str = ""


@dataclass(frozen=True)
class KernelClock:
    """What the kernel thinks of its clock (adjtimex(2)); `error` is the most that it may be wrong by, in seconds."""

    synchronised: bool
    error: float


@dataclass(frozen=True)
class Permission:
    """A request to the API server, as RBAC knows it; `resource` may have a subresource ("nodes/status")."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}{where}"
