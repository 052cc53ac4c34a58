"""A test machine: a real systemd as PID 1 of namespaces, on the host's own `/` below a layer in memory.

Invariant: a machine's disk, network and processes belong to namespaces that die with its supervisor, and the
supervisor dies with the thread that started it. A test that is killed leaves two empty directories behind, one
in its scratch directory and one among the cgroups; a test that ends in any other way leaves nothing.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.capabilities import require

CHECKOUT = Path(__file__).resolve().parents[2]
_SERIAL = itertools.count()
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "PYTHONDONTWRITEBYTECODE": "1",  # the checkout is read-only in there
    "PYTHONPATH": str(CHECKOUT),
}


@dataclass(frozen=True)
class Boot:
    """One boot of a machine: the process id of its PID 1 as the test sees it, and its boot id."""

    pid: int
    boot_id: str


def _cgroups() -> Path:
    """Where the version 2 hierarchy is mounted."""
    hybrid = Path("/sys/fs/cgroup/unified")
    return hybrid if hybrid.is_dir() else hybrid.parent


def _outermost(paths: set[Path]) -> list[str]:
    """`paths` without those that lie in another of them or in /usr, which each machine has anyway."""
    outer = [path for path in paths if not any(other in path.parents for other in paths)]
    return sorted(str(path) for path in outer if not path.is_relative_to("/usr"))


class Machine:
    """A machine that is up between entering and leaving its context.

    `scratch` is a directory of the test for the machine's log; `deadline` bounds a boot, in seconds. The
    checkout and the Python that runs the tests are seen inside, read-only, at the same paths.
    """

    supervisor = "tests.node.supervisor"  # the module that is the machine's hardware

    def __init__(self, scratch: Path, deadline: float = 30.0) -> None:
        self.name = f"nodeagent-test-{os.getpid()}-{next(_SERIAL)}"
        self.boots: list[Boot] = []
        self._deadline = deadline
        self._directory = scratch / self.name  # empty but in the machine's own mount namespace
        self._log = scratch / f"{self.name}.log"
        self._cgroup = _cgroups() / self.name
        self._changed = threading.Condition()
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        require("root", "systemd", "overlay", "unshare", "nsenter", "setpriv", "pivot_root", "ip", "dbus-daemon")
        self._directory.mkdir()
        try:
            self._power_on()
            self.wait_for_boot(1)
        except BaseException:
            self.destroy()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.destroy()

    def _seen(self) -> set[Path]:
        """Directories of the host that are seen inside."""
        return {CHECKOUT, Path(sys.prefix), Path(sys.base_prefix)}

    def _power_on(self) -> None:
        visible = _outermost(self._seen())
        private = ["unshare", "--mount", "--net", "--propagation", "private"]
        supervisor = [sys.executable, "-m", self.supervisor]
        facts = [str(self._directory), str(self._cgroup), self.name]
        with self._log.open("ab") as log:
            self._supervisor = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *private, *supervisor, *facts, *visible],
                cwd=CHECKOUT,
                env={"PATH": _ENVIRONMENT["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._reader = threading.Thread(target=self._note_boots, name=self.name)
        self._reader.start()

    def _note_boots(self) -> None:
        assert self._supervisor.stdout is not None
        for line in self._supervisor.stdout:
            with self._changed:
                self.boots.append(Boot(**json.loads(line)))
                self._changed.notify_all()

    @property
    def pid(self) -> int:
        """Process id of PID 1, as the test sees it."""
        return self.boots[-1].pid

    @property
    def boot_id(self) -> str:
        return self.boots[-1].boot_id

    @property
    def reboot_count(self) -> int:
        return len(self.boots) - 1

    @property
    def root(self) -> Path:
        """The machine's root directory, reachable from the test."""
        return Path(f"/proc/{self.pid}/root")

    def log(self) -> str:
        """What the supervisor and the early boot have said."""
        return self._log.read_text(errors="replace")

    def wait_for_boot(self, number: int) -> None:
        """Wait until boot `number` (1 is the first) is complete; AssertionError after the deadline."""
        with self._changed:
            seen = self._changed.wait_for(lambda: len(self.boots) >= number, self._deadline)
        assert seen, f"{self.name} did not boot: {self.log()}"
        self.wait_until((self.root / "run/systemd/private").is_socket, self._deadline)
        state = self.run(
            "systemctl", "is-system-running", "--wait", check=False, deadline=self._deadline
        ).stdout.strip()
        assert state in {"running", "degraded"}, f"{self.name} is {state or 'down'}: {self.log()}"

    def wait_until(self, condition: Callable[[], bool], deadline: float = 10.0) -> None:
        """Wait until `condition` holds; AssertionError after `deadline` seconds."""
        end = time.monotonic() + deadline
        while not condition():
            assert self._supervisor.poll() is None, f"{self.name} is off: {self.log()}"
            assert time.monotonic() < end, f"{self.name}: not within {deadline:g} s: {self.log()}"
            time.sleep(0.01)

    def _inside(self, argv: Sequence[str | Path], environment: dict[str, str]) -> list[str]:
        variables = [f"{key}={value}" for key, value in (_ENVIRONMENT | environment).items()]
        return ["nsenter", "--target", str(self.pid), "--all", "env", "-i", *variables, *map(str, argv)]

    def run(
        self,
        *argv: str | Path,
        check: bool = True,
        deadline: float = 30.0,
        stdin: str = "",
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root; AssertionError with what it said if it fails and `check` holds."""
        command = self._inside(argv, environment)
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=deadline, input=stdin)
        assert not check or done.returncode == 0, f"{argv} -> {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def python(self, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the tests' own Python inside: `machine.python("-m", "nodeagent", "status")`."""
        return self.run(sys.executable, *arguments, **options)

    def spawn(self, *argv: str | Path, **environment: str) -> subprocess.Popen[str]:
        """Start a command inside that goes on running; it ends with the machine at the latest."""
        command = self._inside(argv, environment)
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._processes.append(process)
        return process

    def path(self, path: str) -> Path:
        """An absolute path of the machine, as the test reaches it; it may not lead through absolute links."""
        return self.root / path.lstrip("/")

    def read(self, path: str) -> str:
        return self.path(path).read_text()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file inside, with the directories that it needs."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def copy(self, source: Path, path: str) -> None:
        """Copy a file or a directory of the host into the machine."""
        if source.is_dir():
            shutil.copytree(source, self.path(path), symlinks=True, dirs_exist_ok=True)
        else:
            self.path(path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, self.path(path))

    def freeze(self) -> None:
        """Stop PID 1 as a kernel bug or a blocked mount would: it exists and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def cut_power(self) -> None:
        """End all processes at once; the machine boots again from its disk. Wait with `wait_for_boot`."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (unshare,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:")]
        os.kill(unshare, signal.SIGKILL)

    def destroy(self) -> None:
        """End the machine and remove everything of it; may be called twice."""
        if supervisor := getattr(self, "_supervisor", None):
            supervisor.kill()
            supervisor.wait()
        for process in self._processes:
            process.kill()
            process.communicate()
        self._processes.clear()
        if supervisor:
            self._reader.join()
            supervisor.stdout.close()
            self._remove_cgroup()
        if self._directory.is_dir():
            self._directory.rmdir()

    def _remove_cgroup(self) -> None:
        if not self._cgroup.is_dir():
            return
        events = self._cgroup / "cgroup.events"
        end = time.monotonic() + 10.0
        while "populated 1" in events.read_text():
            assert time.monotonic() < end, f"the kernel does not get rid of {self.name}'s processes"
            time.sleep(0.01)
        for directory, _, _ in os.walk(self._cgroup, topdown=False):
            os.rmdir(directory)
