"""What machine configuration asks of a node. The host's adapter answers; nothing here changes the node.

Paths are absolute inside the node's root. A missing file is None or ABSENT, never an error; OSError is for a node that
cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from nodeagent.changes.files import Actor
from nodeagent.observed.files import FileState
from nodeagent.observed.units import UnitState

TABLE_LIMIT = 4 << 20  # bytes of /etc/passwd and its like


class Node(Protocol):
    """A node, or a root directory that is none (`running` is False and there is no systemd to ask)."""

    @property
    def running(self) -> bool:
        """Whether the root is that of the running system."""
        ...

    @property
    def labelled(self) -> bool:
        """Whether SELinux labels what is made on the node."""
        ...

    @property
    def owner(self) -> tuple[int, int]:
        """Owner (uid, gid) of what declares none: root, or whoever runs us on a root directory of their own."""
        ...

    @property
    def boot(self) -> str:
        """The boot id of the running kernel."""
        ...

    def states(self, paths: Iterable[str], actors: Mapping[str, Actor] | None = None) -> dict[str, FileState]: ...

    def identities(self, paths: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """Stat fingerprint of each path, () where nothing stands; reads no contents."""
        ...

    def read(self, path: str, limit: int, actor: Actor | None = None) -> bytes | None: ...

    def entries(self, directory: str) -> tuple[str, ...]: ...

    def original(self, digest: str) -> bytes:
        """The kept bytes of an original; Broken if they are lost or damaged."""
        ...

    def unit_states(self, names: Collection[str]) -> dict[str, UnitState]: ...

    def fetch(self, url: str, headers: Mapping[str, str], accept: Callable[[bytes], bytes]) -> bytes:
        """What `accept` makes of the body behind an https URL, or of its cached copy.

        ValueError if `accept` refuses it, Transient if it cannot be had now.
        """
        ...
