"""Finds keepalived on this node: the processes that run in our network namespace, and the files that they read.

Invariant: nothing here changes the node or the daemon. A daemon's files are those below its own root directory, be
it in a container or not. One in another network namespace does not count: its VIP is not this node's.
"""

from __future__ import annotations

import getopt
import os
from collections.abc import Iterator
from typing import Self

from nodeagent.host.cgroups import container_of, unit_of
from nodeagent.host.pki import PkiReader
from nodeagent.host.tree import Tree
from nodeagent.observed.certificates import Standing
from nodeagent.observed.vrrp import Daemon

PROGRAM = "keepalived"

_SHORT = "f:PCBlDS:g:GXVIRndp:r:Tc:ab:s:ei:xA:u:mM"  # keepalived(8); those with a value have a colon
_LONG = ["use-file=", "log-facility=", "log-file=", "pid=", "vrrp_pid=", "checkers_pid=", "bfd_pid=", "namespace="]
_LONG += ["config-id=", "snmp-agent-socket=", "umask=", "vrrp", "check", "no_bfd", "all", "log-console", "log-detail"]
_LONG += ["flush-log-file", "no-syslog", "release-vips", "dont-release-vrrp", "dont-release-ipvs", "dont-respawn"]
_LONG += ["dont-fork", "dump-conf", "genhash", "address-monitoring", "all-config", "snmp", "core-dump", "no-mem-check"]
_LIMIT = 1 << 20  # bytes of one configuration file
_PROC_LIMIT = 4096
_JSON_SIGNALS = (36, 37)  # SIGRTMIN+2 of glibc and of musl (keepalived's signals.h); no other use in keepalived


class ConfigFiles:
    """The files of a configuration below a root, "/proc/PID/root" for a daemon in a container."""

    def __init__(self, tree: Tree) -> None:
        self._files = PkiReader(tree)

    def read(self, path: str) -> str:
        found, data = self._files.read(path, _LIMIT)
        if found.standing is not Standing.FILE or found.problem:
            raise OSError(0, found.problem or "there is no such file", path)
        return data.decode(errors="replace")

    def matches(self, pattern: str) -> tuple[str, ...]:
        return self._files.glob(pattern)

    def exists(self, path: str) -> bool:
        return self._files.look(path).standing is not Standing.ABSENT


class KeepalivedHost:
    """keepalived on the node below `root`; processes are looked at only where that is the running system's own."""

    def __init__(self, root: str = "/", proc: str = "/proc") -> None:
        self._proc = proc
        self._trees = [Tree(root)]

    def close(self) -> None:
        while self._trees:
            self._trees.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def live(self) -> bool:
        """Whether the root is that of the running system, so that processes and addresses are the node's own."""
        return self._trees[0].live()

    def name(self) -> str:
        """The host name, by which keepalived chooses lines unless its command line names another id."""
        if self.live():
            return os.uname().nodename
        files = ConfigFiles(self._trees[0])
        return files.read("/etc/hostname").strip() if files.exists("/etc/hostname") else ""

    def daemons(self) -> tuple[Daemon, ...]:
        """Those that run now; files of those that were found before are let go."""
        for tree in self._trees[1:]:
            tree.close()
        del self._trees[1:]
        self._trees[0].forget()
        return daemons(self._proc) if self.live() else ()

    def files(self, daemon: Daemon | None) -> ConfigFiles:
        """The files as `daemon` sees them; those below the root where it is None. OSError if it is gone."""
        if daemon is None:
            return ConfigFiles(self._trees[0])
        self._trees.append(Tree(f"{self._proc}/{daemon.pid}/root"))
        return ConfigFiles(self._trees[-1])


def daemons(proc: str = "/proc") -> tuple[Daemon, ...]:
    """Main processes of keepalived in this thread's network namespace, by process number."""
    here = _link(f"{proc}/thread-self/ns/net")
    running = {pid for pid in _numbers(proc) if _read(f"{proc}/{pid}/comm").strip() == PROGRAM.encode()}
    main = [pid for pid in sorted(running) if _parent(proc, pid) not in running]
    return tuple(_daemon(proc, pid) for pid in main if here and _link(f"{proc}/{pid}/ns/net") == here)


def _numbers(proc: str) -> Iterator[int]:
    return (int(name) for name in os.listdir(proc) if name.isdecimal())


def _daemon(proc: str, pid: int) -> Daemon:
    arguments = _read(f"{proc}/{pid}/cmdline").decode(errors="replace").rstrip("\0").split("\0")
    config, config_id = _options(arguments[1:])
    if config and not config.startswith("/"):
        config = os.path.normpath(f"{_link(f'{proc}/{pid}/cwd')}/{config}")
    cgroup = _read(f"{proc}/{pid}/cgroup").decode(errors="replace")
    return Daemon(
        pid,
        started(pid, proc),
        config,
        config_id,
        unit_of(cgroup),
        container_of(cgroup),
        json_signal(pid, proc) is not None,
    )


def _options(arguments: list[str]) -> tuple[str, str]:
    """The configuration file and the configuration id that the command line names; "" for what it does not."""
    try:
        found = dict(getopt.gnu_getopt(arguments, _SHORT, _LONG)[0])
    except getopt.GetoptError:  # what is wrong with it is keepalived's to say
        return "", ""
    return found.get("-f", found.get("--use-file", "")), found.get("-i", found.get("--config-id", ""))


def started(pid: int, proc: str = "/proc") -> int:
    """When the process started, in clock ticks since boot; 0 if it is gone. With the number it names one process."""
    fields = _read(f"{proc}/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[19]) if len(fields) > 19 else 0


def _parent(proc: str, pid: int) -> int:
    fields = _read(f"{proc}/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def json_signal(pid: int, proc: str = "/proc") -> int | None:
    """The signal that makes this keepalived write its JSON; None if it was built without.

    It blocks just the signals that it reads from a signalfd, so its own mask tells, whichever C library it was built
    with; what it does not know it ignores.
    """
    blocked = _blocked(_read(f"{proc}/{pid}/status"))
    return next((number for number in _JSON_SIGNALS if blocked >> (number - 1) & 1), None)


def _blocked(status: bytes) -> int:
    for line in status.splitlines():
        if line.startswith(b"SigBlk:"):
            return int(line.split()[1], 16)
    return 0


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_PROC_LIMIT)
    except OSError:
        return b""  # it has ended meanwhile


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
