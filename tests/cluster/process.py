"""One server process of a test.

Invariant: it does not outlive the test run, however that ends: the kernel kills it with the thread that started it,
and that thread lives as long as the interpreter.
"""

from __future__ import annotations

import random
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# PR_SET_PDEATHSIG is about the parent's thread, not its process: a test may start a server from a thread of its own.
_STARTER = ThreadPoolExecutor(1, thread_name_prefix="server-starter")


def free_port() -> int:
    """A port of the loopback interface that nobody has, below those that the kernel hands out.

    A client that connects, while its server is away, to a port that the kernel might hand out can end up connected to
    itself, and the server can no longer have it.
    """
    for port in random.SystemRandom().sample(range(20000, 30000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port between 20000 and 30000 on 127.0.0.1")


class Server:
    """A process that may be started again and again, with a log that grows.

    `ready` tells, without blocking for long, whether it serves; it may raise OSError for "no".
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, ready: Callable[[], bool]) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running process; raises RuntimeError if it was never started or was stopped."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.pid

    def start(self, deadline: float = 30.0) -> None:
        """Start it and wait until it is ready; raises RuntimeError with the log's end after `deadline` seconds."""
        assert self._process is None, f"{self.name} runs already"
        self._process = _STARTER.submit(self._spawn).result()
        end = time.monotonic() + deadline
        while not self._is_ready():
            if (code := self._process.poll()) is not None or time.monotonic() > end:
                state = f"exited with code {code}" if code is not None else f"is not ready after {deadline} s"
                self.kill()
                raise RuntimeError(f"{self.name} {state}; the end of {self.log}:\n{self._tail()}")
            time.sleep(0.05)

    def stop(self, deadline: float = 10.0) -> None:
        """Ask it to end, and kill it after `deadline` seconds. Nothing if it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self.wait()

    def kill(self) -> None:
        """SIGKILL. Nothing if it does not run."""
        if self._process is not None:
            self._process.kill()
            self.wait()

    def restart(self) -> None:
        """Stop it and start it again, at the same address."""
        self.stop()
        self.start()

    def wait(self, deadline: float = 10.0) -> None:
        """Wait for its end; raises subprocess.TimeoutExpired."""
        if self._process is not None:
            self._process.wait(deadline)
            self._process = None

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.log.parent,
            )

    def _is_ready(self) -> bool:
        try:
            return self._ready()
        except OSError:
            return False

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])
