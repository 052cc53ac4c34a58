"""The node that this process runs on, or a root directory that looks like one: what is read from it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterable, Mapping

from nodeagent.changes.files import Actor
from nodeagent.errors import Broken
from nodeagent.host.boot import boot_id
from nodeagent.host.fetch import Fetcher
from nodeagent.host.observe import Observer
from nodeagent.host.store import Store
from nodeagent.host.systemd import Systemd
from nodeagent.host.tree import Tree, split
from nodeagent.observed.files import FileState
from nodeagent.observed.units import UnitState


class LocalNode:
    """Reads below `tree`; asks `systemd` only where the tree is the root of the running system."""

    def __init__(self, tree: Tree, store: Store, fetcher: Fetcher, systemd: Systemd) -> None:
        self._tree = tree
        self._store = store
        self._fetcher = fetcher
        self._systemd = systemd
        self._observer = Observer(tree)
        self.boot = boot_id()
        self.running = tree.live() and systemd.running()
        self.labelled = os.path.isdir("/sys/fs/selinux")
        self.owner = (0, 0) if os.geteuid() == 0 else (os.geteuid(), os.getegid())

    def states(self, paths: Iterable[str], actors: Mapping[str, Actor] | None = None) -> dict[str, FileState]:
        """The state of each path, afresh from the root."""
        self._tree.forget()
        return self._observer.states(paths, actors)

    def identities(self, paths: Iterable[str]) -> dict[str, tuple[int, ...]]:
        """Stat fingerprint of each path, () where nothing stands; reads no contents."""
        self._tree.forget()
        return self._observer.identities(paths)

    def read(self, path: str, limit: int, actor: Actor | None = None) -> bytes | None:
        return self._observer.read(path, limit, actor)

    def entries(self, directory: str) -> tuple[str, ...]:
        return self._observer.entries(directory)

    def take(self, path: str) -> bool:
        """Remove the regular file at `path`; False if there is none."""
        seen = self._observer.stat(path)
        if seen is None or not stat.S_ISREG(seen.st_mode):
            return False
        directory, name = split(path)
        os.unlink(name, dir_fd=self._tree.directory(directory))
        return True

    def original(self, digest: str) -> bytes:
        """The kept bytes of an original, checked against their digest."""
        data = self._store.read(f"originals/{digest}")
        if data is None or hashlib.sha256(data).hexdigest() != digest:
            raise Broken(
                f"the kept original {digest[:12]} is lost or damaged: put the file back by hand, then apply again"
            )
        return data

    def unit_states(self, names: Collection[str]) -> dict[str, UnitState]:
        return self._systemd.states(names) if self.running and names else {}

    def fetch(self, url: str, headers: Mapping[str, str], accept: Callable[[bytes], bytes]) -> bytes:
        return self._fetcher.fetch(url, headers, accept)
