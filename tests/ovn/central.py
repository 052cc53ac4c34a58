"""OVN's central part for tests: northbound and southbound databases and northd, each a process of ours.

Invariant: a server answers when `start` returns; all of its files lie in the folder that it was given, so any number
of them run side by side, and all processes are gone after the `with`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.ovn.packages import Tree

DEADLINE = 30.0  # seconds
_QUIET = ("-vconsole:warn", "-vsyslog:off", "--no-chdir")
_SCHEMAS = {"nb": "ovn-nb", "sb": "ovn-sb"}


def until(met: Callable[[], bool], what: Callable[[], str], deadline: float = DEADLINE) -> None:
    """Wait until `met`; AssertionError with what `what` says after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not met():
        assert time.monotonic() < end, f"not within {deadline:g} s: {what()}"
        time.sleep(0.02)


@dataclass
class Program:
    """A program of the tree, run in the foreground; `prefix` is put before it, as nsenter is for another namespace."""

    tree: Tree
    folder: Path
    name: str
    program: str
    arguments: Sequence[str]
    prefix: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def control(self) -> str:
        """The socket that ovn-appctl speaks to."""
        return str(self.folder / f"{self.name}.ctl")

    def start(self) -> None:
        arguments = [*self.arguments, f"--unixctl={self.control}", *_QUIET]
        command = [*self.prefix, *self.tree.command(self.program, *arguments)]
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: os.path.exists(self.control) or self._ended(), self.log)
        assert not self._ended(), self.log()

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def log(self) -> str:
        return f"{self.name}: {(self.folder / f'{self.name}.log').read_text()}"

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        """End it at once, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(DEADLINE)
            self.process = None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.control)

    def ask(self, *arguments: str) -> str:
        """What the running program answers to a command of ovn-appctl."""
        return _run(self.tree.command("bin/ovn-appctl", "-t", self.control, *arguments))


@dataclass
class Database(Program):
    """An ovsdb-server with one database; `remotes` are those that it offers beside its unix socket."""

    address: str = ""  # of a member of a cluster, "tcp:host:port"

    @property
    def remote(self) -> str:
        return f"unix:{self.folder / f'{self.name}.sock'}"

    @property
    def leads(self) -> bool:
        """Whether this member runs and leads its cluster."""
        return self.process is not None and "Role: leader" in self.ask("cluster/status", "OVN_Northbound")


@dataclass
class Central:
    """Databases and northd that run. `nbctl` and `sbctl` answer what the command prints."""

    tree: Tree
    members: Sequence[Database]  # of the northbound database, one or more
    sb: Database
    northd: Program

    @property
    def nb(self) -> Database:
        """The northbound database, where it has no other member."""
        (sole,) = self.members
        return sole

    @property
    def northbound(self) -> str:
        """The remotes of the northbound database, with commas between them."""
        return _remotes(self.members)

    def nbctl(self, *arguments: str) -> str:
        """Asked of the leader, once there is one."""
        return _nbctl(self.tree, self.northbound, *arguments)

    def sbctl(self, *arguments: str) -> str:
        return _run(self.tree.command("bin/ovn-sbctl", f"--db={self.sb.remote}", "--timeout=30", *arguments))


def _remotes(members: Sequence[Database]) -> str:
    return ",".join(each.remote for each in members)


def nbctl(database: Database, *arguments: str) -> str:
    """What ovn-nbctl prints, asked of `database`."""
    return _nbctl(database.tree, database.remote, *arguments)


def _nbctl(tree: Tree, remotes: str, *arguments: str) -> str:
    return _run(tree.command("bin/ovn-nbctl", f"--db={remotes}", "--timeout=30", *arguments))


def database(
    tree: Tree, folder: Path, kind: str = "nb", remotes: Sequence[str] = (), prefix: Sequence[str] = ()
) -> Database:
    """A database of its own, not started yet; `kind` is nb or sb, a remote is as of ovsdb-server(1): "ptcp:6641"."""
    file = folder / f"{kind}.db"
    _run(tree.command("bin/ovsdb-tool", "create", str(file), tree.schema(_SCHEMAS[kind])))
    return _served(tree, folder, kind, remotes, prefix)


def _served(tree: Tree, folder: Path, name: str, remotes: Sequence[str], prefix: Sequence[str] = ()) -> Database:
    sockets = [f"punix:{folder / f'{name}.sock'}", *remotes]
    arguments = [str(folder / f"{name}.db"), *(f"--remote={each}" for each in sockets)]
    return Database(tree, folder, name, "sbin/ovsdb-server", arguments, prefix)


@contextlib.contextmanager
def central(
    tree: Tree, folder: Path, sb_remotes: Sequence[str] = (), prefix: Sequence[str] = (), members: int = 1
) -> Iterator[Central]:
    """Both databases and northd, in `folder`; `prefix` puts them into another namespace.

    Where the northbound database has several members, they stay in this one: clients find them by their sockets.
    """
    with contextlib.ExitStack() as stack:
        if members > 1:
            nb = stack.enter_context(cluster(tree, folder, members))
        else:
            nb = [database(tree, folder, "nb", (), prefix)]
            stack.enter_context(running(*nb))
        sb = database(tree, folder, "sb", sb_remotes, prefix)
        stack.enter_context(running(sb))
        arguments = (f"--ovnnb-db={_remotes(nb)}", f"--ovnsb-db={sb.remote}")
        northd = Program(tree, folder, "northd", "bin/ovn-northd", arguments, prefix)
        stack.enter_context(running(northd))
        whole = Central(tree, nb, sb, northd)
        whole.nbctl("init")
        whole.sbctl("init")
        yield whole


@contextlib.contextmanager
def running(*programs: Program) -> Iterator[None]:
    """All of `programs`, started in this order."""
    try:
        for program in programs:
            program.start()
        yield
    finally:
        for program in reversed(programs):
            program.stop()


@contextlib.contextmanager
def cluster(tree: Tree, folder: Path, members: int = 3) -> Iterator[list[Database]]:
    """A northbound database over RAFT on loopback."""
    addresses = [f"tcp:127.0.0.1:{port}" for port in free_ports(members)]
    databases = [_member(tree, folder, number, addresses) for number in range(members)]
    with running(*databases):
        until(lambda: any(each.leads for each in databases), lambda: "a member leads")
        yield databases


def _member(tree: Tree, folder: Path, number: int, addresses: Sequence[str]) -> Database:
    name, file = f"nb{number}", str(folder / f"nb{number}.db")
    create = ("create-cluster", file, tree.schema("ovn-nb"), addresses[0])
    join = ("join-cluster", file, "OVN_Northbound", addresses[number], addresses[0])
    _run(tree.command("bin/ovsdb-tool", *(join if number else create)))
    member = _served(tree, folder, name, ())
    member.address = addresses[number]
    return member


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE + 5, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout
