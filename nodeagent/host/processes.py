"""Who a process is, read from /proc while it still lives (proc(5)).

Invariant: what is told belongs to the very process that the process descriptor stands for. The /proc
directory is opened first and the descriptor asked afterwards whether its process still is; if so, the number
had not been given to another one, and every later read through the open directory either belongs to the same
process or fails. A field that could not be read in time stays empty, unless the same process was read a
moment before.
"""

from __future__ import annotations

import os
import signal
from collections import OrderedDict
from dataclasses import replace

from nodeagent.host.cgroups import container_of, unit_of
from nodeagent.host.redaction import command_line, printable
from nodeagent.observed.writers import Writer

_LIMIT = 4096  # bytes of a file in /proc that are looked at
_MOMENT = 1.0  # seconds, in which the kernel, which hands numbers out in a cycle of thousands, repeats none
_REMEMBERED = 256  # processes
_NO_LOGIN = (1 << 32) - 1  # loginuid of a process that descends from no login, audit(8)


class Processes:
    """Reads processes; not shared between threads.

    User names come from the file `accounts`, passwd(5): asking NSS could block on a directory server.
    """

    def __init__(self, accounts: str = "/etc/passwd") -> None:
        self._accounts = accounts
        self._names: dict[int, str] = {}
        self._names_of: tuple[int, ...] = ()
        self._recent: OrderedDict[int, Writer] = OrderedDict()

    def writer(self, pid: int, pidfd: int, when: float) -> Writer:
        """The process behind `pidfd`, numbered `pid`; nothing but `pid` if it is gone or not to be seen."""
        if pid <= 0:
            return Writer(when, pid)
        writer = self._completed(self._present(pid, pidfd, when))
        self._recent[pid] = writer
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        return writer

    def _completed(self, writer: Writer) -> Writer:
        """A process that is ending loses its executable first, then its name."""
        earlier = self._recent.pop(writer.pid, None)
        if earlier is None or writer.executable or writer.when - earlier.when > _MOMENT:
            return writer
        return replace(earlier, when=writer.when) if writer.command in {"", earlier.command} else writer

    def _present(self, pid: int, pidfd: int, when: float) -> Writer:
        """What can be read now."""
        if pidfd < 0:
            return Writer(when, pid)
        try:
            directory = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return Writer(when, pid)
        try:
            return self._read(directory, pid, when) if _lives(pidfd) else Writer(when, pid)
        finally:
            os.close(directory)

    def _read(self, directory: int, pid: int, when: float) -> Writer:
        """The name first, then what goes first when a process ends."""
        command = _text(directory, "comm").rstrip("\n")
        executable = _executable(directory)
        arguments = _text(directory, "cmdline").rstrip("\0")
        cgroup = _text(directory, "cgroup")
        uid = _effective_uid(_text(directory, "status"))
        container = container_of(cgroup)
        return Writer(
            when,
            pid,
            command=printable(command),
            executable=printable(executable),
            command_line=command_line(arguments.split("\0")),
            uid=uid,
            user=self._user(uid, container),
            login=self._login(_text(directory, "loginuid")),
            unit=unit_of(cgroup),
            container=container,
        )

    def _user(self, uid: int | None, container: str) -> str:
        """A container has its own users: but for root, the host's name for a number could be wrong there."""
        if uid is None or (container and uid != 0):
            return ""
        return self._name(uid)

    def _login(self, text: str) -> str:
        if not text.isdecimal() or int(text) == _NO_LOGIN:
            return ""
        return self._name(int(text)) or text

    def _name(self, uid: int) -> str:
        try:
            seen = os.stat(self._accounts)
            identity = (seen.st_dev, seen.st_ino, seen.st_mtime_ns, seen.st_size)
            if identity != self._names_of:
                self._names = _users(self._accounts)
                self._names_of = identity
        except OSError:
            return ""
        return self._names.get(uid, "")


def _users(accounts: str) -> dict[int, str]:
    """Names by number, passwd(5); the first line of a number counts, as for getpwuid(3)."""
    names: dict[int, str] = {}
    with open(accounts, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            fields = line.split(":")
            if len(fields) > 2 and fields[2].isdecimal():
                names.setdefault(int(fields[2]), printable(fields[0]))
    return names


def _lives(pidfd: int) -> bool:
    """The process has not been reaped, so that its number is still its own."""
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _text(directory: int, name: str) -> str:
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return ""
    try:
        return os.read(descriptor, _LIMIT).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def _executable(directory: int) -> str:
    try:
        return os.readlink("exe", dir_fd=directory)
    except OSError:  # a kernel thread, or a process that is ending
        return ""


def _effective_uid(status: str) -> int | None:
    """Second of the four numbers after `Uid:`."""
    for line in status.splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[2])
    return None
