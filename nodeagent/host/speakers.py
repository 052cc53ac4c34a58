"""BIRD in the network namespaces of gateways: started, told of another configuration, asked, ended.

Invariant: a speaker that runs is never started again nor ended without need, since its sessions would flap; it is known
by its control socket alone, so that an agent which starts finds it. Its files lie in a directory of root's own.
Source: BIRD 2 user's guide, "Remote control"; a reply ends with a line whose code begins with 0, 8 or 9.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from typing import Final

from nodeagent.errors import Broken, Transient
from nodeagent.host import namespaces, runfile

_BOOTED: Final = "/run/systemd/system"  # sd_booted(3)
_PATH: Final = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin"
_START: Final = 10.0  # seconds until it has read its configuration and gone into the background
_ANSWER: Final = 2.0  # seconds until it has answered a command
_END: Final = 5.0
_GLANCE: Final = 0.05
_LONGEST: Final = 1 << 20  # bytes of an answer, or of a configuration
_TAKEN = re.compile(r"^000[345] ", re.MULTILINE)  # reconfigured, or it will be
_LAST = re.compile(rb"^(0|[89])\d{3} ", re.MULTILINE)  # the line that ends an answer


class Speakers:
    """The speakers whose files are below `directory`, one a namespace."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def keep(self, namespace: str, configuration: str) -> None:
        """Have a speaker run there with this configuration. Broken if it cannot, with what it says."""
        if not self._answers(namespace):
            self._write(namespace, "conf", configuration)
            self._start(namespace)
        elif self._read(namespace) != configuration:
            self._configure(namespace, configuration)

    def ask(self, namespace: str, command: str) -> str:
        """What it answers. Transient if it does not."""
        until = time.monotonic() + _ANSWER
        try:
            with socket.socket(socket.AF_UNIX) as control:
                control.settimeout(_ANSWER)
                control.connect(self._file(namespace, "ctl"))
                _answer(control, until)  # the greeting
                control.sendall(f"{command}\n".encode())
                return _answer(control, until).decode(errors="replace")
        except OSError as error:
            raise Transient(f"{namespace}: BIRD does not answer: {error.strerror or error}") from None

    def names(self) -> tuple[str, ...]:
        """The namespaces that have, or had, a speaker."""
        try:
            return tuple(sorted(os.listdir(self._directory)))
        except FileNotFoundError:
            return ()

    def end(self, namespace: str) -> None:
        """End it and forget it; done too where there is none. Transient if it does not end."""
        if self._answers(namespace):
            self.ask(namespace, "down")
            until = time.monotonic() + _END
            while self._answers(namespace):
                if time.monotonic() > until:
                    raise Transient(f"{namespace}: BIRD does not end")
                time.sleep(_GLANCE)
        shutil.rmtree(f"{self._directory}/{namespace}", ignore_errors=True)

    def _configure(self, namespace: str, configuration: str) -> None:
        """Have it read another one; until it says that it has, the file holds what it runs."""
        self._write(namespace, "next", configuration)
        said = self.ask(namespace, f'configure "{self._file(namespace, "next")}"')
        if not _TAKEN.search(said):
            raise Broken(f"{namespace}: BIRD does not take its configuration: {_told(said)}")
        os.replace(self._file(namespace, "next"), self._file(namespace, "conf"))

    def _answers(self, namespace: str) -> bool:
        """Whether somebody listens at its control socket; one that hangs is there all the same."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(_ANSWER)
            try:
                control.connect(self._file(namespace, "ctl"))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
        return True

    def _start(self, namespace: str) -> None:
        """As a service of systemd, which outlives the agent; as a process in the background where there is none."""
        bird = _program("bird")
        if bird is None:
            raise Broken("bird is not there: install BIRD 2 (package bird2 or bird)")
        conf, control = self._file(namespace, "conf"), self._file(namespace, "ctl")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(control)
        _carry_out(namespace, [bird, "-p", "-c", conf])  # it only reads, and says what is wrong
        command = [bird, "-c", conf, "-s", control, "-P", self._file(namespace, "pid")]
        manager = _program("systemd-run") if os.path.isdir(_BOOTED) else None
        if manager:
            _carry_out(namespace, [manager, *_transient(namespace), *command, "-f"])
        else:
            _carry_out(namespace, command, inside=True)
        self._await(namespace)

    def _await(self, namespace: str) -> None:
        until = time.monotonic() + _START
        while not self._answers(namespace):
            if time.monotonic() > until:
                raise Transient(f"{namespace}: BIRD was started, and does not listen")
            time.sleep(_GLANCE)

    def _file(self, namespace: str, name: str) -> str:
        return f"{self._directory}/{namespace}/{name}"

    def _read(self, namespace: str) -> str:
        return runfile.read(self._file(namespace, "conf"), _LONGEST)

    def _write(self, namespace: str, name: str, configuration: str) -> None:
        os.makedirs(f"{self._directory}/{namespace}", mode=0o700, exist_ok=True)
        runfile.replace(self._file(namespace, name), configuration, 0o600)


def _program(name: str) -> str | None:
    return shutil.which(name, path=_PATH)


def _transient(namespace: str) -> tuple[str, ...]:
    """Of a service in that namespace (systemd.exec(5)), of which nothing is left once it has ended."""
    where = f"--property=NetworkNamespacePath={namespaces.DIRECTORY}/{namespace}"
    return "--quiet", "--collect", "--service-type=exec", f"--unit=bfd-{namespace}", where, "--"


def _carry_out(namespace: str, command: list[str], *, inside: bool = False) -> None:
    """Run it to its end. Broken with what it says if it fails, Transient if it could not be run."""
    try:
        done = namespaces.within(namespace, lambda: _run(command)) if inside else _run(command)
    except OSError as error:
        raise Transient(f"{namespace}: BIRD cannot be started: {error.strerror or error}") from None
    if done.returncode != 0:
        raise Broken(f"{namespace}: BIRD does not start: {_told(done.stderr.decode(errors='replace'))}")


def _run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Until it is in the background; by its own will it takes no descriptor of ours along."""
    try:
        return subprocess.run(  # noqa: S603 - no shell, a fixed program
            command,
            env={"PATH": _PATH, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_START,
            check=False,
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        raise OSError(None, f"it has not started within {_START:g} s") from None


def _answer(control: socket.socket, until: float) -> bytes:
    """Until the line that ends it; TimeoutError if that does not come, OSError if there is too much."""
    found = b""
    while not _ended(found):
        control.settimeout(max(_GLANCE, until - time.monotonic()))
        if time.monotonic() > until:
            raise TimeoutError("it took too long")
        got = control.recv(1 << 16)
        if not got or len(found) > _LONGEST:
            raise ConnectionError("it broke off")
        found += got
    return found


def _ended(found: bytes) -> bool:
    return found.endswith(b"\n") and _LAST.search(found[found.rfind(b"\n", 0, -1) + 1 :]) is not None


def _told(text: str) -> str:
    """The last lines of what it says, on one."""
    return "; ".join(line.strip() for line in text.strip().splitlines()[-3:])
