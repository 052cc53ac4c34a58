"""The file tree below a root, reached one directory descriptor at a time.

Invariant: no path component that an unprivileged user controls ever redirects us. Each component is opened with
O_NOFOLLOW relative to its parent; a symbolic link is followed only if a trusted user owns it (root, or the user we run
as: /var/run and the like), and then inside the root, as chroot(2) would. Descriptors are opened with O_PATH, which
needs no read permission and never triggers a device.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Iterator
from typing import Self

_OPEN_LINK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIRECTORY = _OPEN_LINK | os.O_DIRECTORY
_MAX_LINKS = 40  # as the kernel's own limit, path_resolution(7)
_MAX_OPEN = 256


class UnsafeLink(OSError):
    """A parent directory is a symbolic link that an untrusted user could have put there."""

    def __init__(self, path: str, owner: int) -> None:
        reason = f"is a symbolic link owned by uid {owner}: only root's links are followed in parent directories"
        super().__init__(errno.ELOOP, reason, path)


def split(path: str) -> tuple[str, str]:
    """Parent directory and last component of a clean absolute path."""
    parent, _, name = path.rpartition("/")
    return parent or "/", name


def beside(path: str, name: str) -> str:
    """The path of `name` in the directory that `path` is in."""
    return f"{path.rpartition('/')[0]}/{name}"


class Tree:
    """The tree below `root`. Paths are clean and absolute inside it. Not shared between threads."""

    def __init__(self, root: str = "/") -> None:
        self.root = os.path.abspath(root)
        self._trusted = frozenset({0, os.geteuid()})
        self._top = os.open(self.root, _OPEN_DIRECTORY & ~os.O_NOFOLLOW)
        self._open: OrderedDict[str, int] = OrderedDict()

    def close(self) -> None:
        self.forget()
        os.close(self._top)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def forget(self) -> None:
        """Drop all cached descriptors: the next access walks afresh from the root."""
        while self._open:
            os.close(self._open.popitem()[1])

    def live(self) -> bool:
        """Whether this is the root of the running system: `/`, or where a container sees what init has as its root."""
        if self.root == "/":
            return True
        try:
            return os.path.samestat(os.stat("/proc/1/root"), os.fstat(self._top))
        except OSError:  # we may not look, or see no processes of the node
            return False

    def outside(self, path: str) -> str:
        """The path as processes outside the root see it."""
        return path if self.root == "/" else self.root + path

    def inside(self, path: str) -> str | None:
        """The path inside the root; None if it does not lie there."""
        if self.root == "/":
            return path
        return path[len(self.root) :] if path.startswith(self.root + "/") else None

    def directory(self, path: str) -> int:
        """Descriptor (O_PATH) of the directory `path`, ours to keep open: do not close it, use it soon.

        OSError: ENOENT if it is missing, ENOTDIR if something else stands there, UnsafeLink for a hostile link.
        """
        if path == "/":
            return self._top
        known = self._open.get(path)
        if known is not None:
            self._open.move_to_end(path)
            return known
        descriptor = self._step(path)
        if descriptor is None:
            descriptor = self._walk(path)
        self._trim()
        self._open[path] = descriptor
        return descriptor

    def _trim(self) -> None:
        while len(self._open) >= _MAX_OPEN:
            os.close(self._open.popitem(last=False)[1])

    def _step(self, path: str) -> int | None:
        """Open `path` from its parent directory, if that is open already; None if a link stands there."""
        parent, name = split(path)
        known = self._top if parent == "/" else self._open.get(parent)
        if known is None or name in ("", ".", ".."):
            return None
        trail = [known]
        try:
            return trail[-1] if self._enter(trail, name, path) is None else None
        except OSError as error:
            error.filename = path
            raise

    def _walk(self, path: str) -> int:
        """Open `path` component by component; links push their target's components in front of what is left."""
        pending = path.strip("/").split("/")
        trail = [os.dup(self._top)]
        links = 0
        try:
            while pending:
                name = pending.pop(0)
                if name in ("", "."):
                    continue
                if name == "..":
                    if len(trail) > 1:
                        os.close(trail.pop())
                    continue
                target = self._enter(trail, name, path)
                if target is None:
                    continue
                links = _counted(links, path)
                if target.startswith("/"):
                    _close_all(trail[1:])
                    del trail[1:]
                pending[:0] = target.split("/")
            return trail.pop()
        except OSError as error:
            error.filename = path
            raise
        finally:
            _close_all(trail)

    def _enter(self, trail: list[int], name: str, path: str) -> str | None:
        """Step into `name`, or return where it points if it is a link that may be followed."""
        try:
            trail.append(os.open(name, _OPEN_DIRECTORY, dir_fd=trail[-1]))
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
        else:
            return None
        link = os.open(name, _OPEN_LINK, dir_fd=trail[-1])
        try:
            return self._target(link, path)
        finally:
            os.close(link)

    def _target(self, link: int, path: str) -> str:
        """Where the opened link points: owner and target are of one inode, however often its name is swapped."""
        seen = os.fstat(link)
        if not stat.S_ISLNK(seen.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "has something in its parents that is no directory", path)
        if seen.st_uid not in self._trusted:
            raise UnsafeLink(path, seen.st_uid)
        return os.readlink("", dir_fd=link)

    def nearest(self, path: str) -> str:
        """The deepest directory on the way to `path` (itself included) that exists."""
        for candidate in ancestors(path):
            try:
                self.directory(candidate)
            except FileNotFoundError:
                continue
            return candidate
        return "/"


def ancestors(path: str) -> Iterator[str]:
    """`path`, its parent, and so on up to "/"."""
    while path != "/":
        yield path
        path = split(path)[0]
    yield "/"


def _counted(links: int, path: str) -> int:
    if links == _MAX_LINKS:
        raise OSError(errno.ELOOP, "has too many symbolic links in its parents", path)
    return links + 1


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
