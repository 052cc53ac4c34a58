"""Runs the driver under strace: to see which system calls it makes, and to have one of them fail or be its last."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.capabilities import require

_CHECKOUT = Path(__file__).resolve().parents[2]
_DEADLINE = 60.0  # seconds that one run may take

# Every system call by which Linux lets a program change a file tree, or have it written to disk.
CHANGES_DISK = (
    *("open", "openat", "openat2", "creat", "write", "writev", "pwrite64", "pwritev", "sendfile", "copy_file_range"),
    *("truncate", "ftruncate", "fallocate", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "mknod", "mknodat"),
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "chmod", "fchmod", "fchmodat"),
    *("chown", "lchown", "fchown", "fchownat", "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr"),
    *("fremovexattr", "utimensat", "fsync", "fdatasync", "syncfs", "sync", "sync_file_range"),
)

_LINE = re.compile(r"(?P<pid>\d+) +(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>.*)")
_UNFINISHED = re.compile(r"(?P<pid>\d+) +(?P<begun>.*?) ?<unfinished \.\.\.>")
_RESUMED = re.compile(r"(?P<pid>\d+) +<\.\.\. \w+ resumed>(?P<rest>.*)")
_OPEN_FILE = re.compile(r"\d+<(?P<path>[^>]*)>")
_STRING = re.compile(r'"(?P<text>(\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True)
class Call:
    """One system call as it was recorded: the `ordinal`-th of its name in its thread, counted from 1."""

    name: str
    ordinal: int
    arguments: tuple[str, ...]
    result: str

    def __str__(self) -> str:
        return f"{self.name} number {self.ordinal}: {', '.join(map(_plain, self.arguments))}"

    def path(self, index: int) -> str:
        """Path of the open file that an argument (or, for -1, the result) names; "" if it names none."""
        found = _OPEN_FILE.match(self.result if index < 0 else self.arguments[index])
        return os.fsdecode(_bytes(found["path"])) if found else ""

    def string(self, index: int) -> bytes:
        """An argument that is a string of bytes."""
        found = _STRING.match(self.arguments[index])
        assert found, self
        return _bytes(found["text"])

    def number(self, index: int, base: int = 10) -> int:
        return int(self.arguments[index], base)

    def changes(self, root: Path) -> bool:
        """Whether it changes, or flushes, something below `root`."""
        reads = self.name.startswith("open") and not any("O_CREAT" in each for each in self.arguments)
        below = any(f"{self.path(index)}/".startswith(f"{root}/") for index in range(len(self.arguments)))
        return below and not reads and not self.result.startswith(("-1", "?"))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _plain(argument: str) -> str:
    """An argument without the hexadecimal, for people."""
    return re.sub(r"(\\x[0-9a-f]{2})+", lambda found: _bytes(found[0]).decode(errors="replace")[:80], argument)


@dataclass(frozen=True)
class Ended:
    """How a run ended: status (negative for a signal), standard error, and whether the injection took place."""

    status: int
    error: str
    injected: bool


def _environment(barrier: str) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "BARRIER": barrier}


def _driver(root: Path, command: str) -> list[str]:
    return [sys.executable, "-m", "tests.crash.driver", str(root), command]


def run(root: Path, command: str, barrier: str, *before: str) -> subprocess.CompletedProcess[str]:
    """Run the driver in a process of its own, under the command `before`."""
    arguments = [*before, *_driver(root, command)]
    return subprocess.run(
        arguments,
        cwd=_CHECKOUT,
        env=_environment(barrier),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_DEADLINE,
        check=False,
    )


def record(root: Path, command: str, barrier: str, log: Path, until: Call | None = None) -> list[Call]:
    """Run the driver, and kill it at the call `until`; every call by which it changed something below `root`."""
    require("strace")
    kill = () if until is None else ("-e", f"inject={until.name}:signal=KILL:when={until.ordinal}")
    ended = run(root, command, barrier, *_strace(log, CHANGES_DISK, *kill))
    assert (ended.returncode == 0) == (until is None), ended.stderr
    return [call for call in _calls(log.read_text().splitlines()) if call.changes(root)]


def _strace(log: Path, calls: Sequence[str], *more: str) -> list[str]:
    known = ",".join(f"?{call}" for call in calls)
    shown = ["-y", "-xx", "-s", "1000000", "-e", "signal=none", "-e", f"trace={known}"]
    return ["strace", "-f", "-qq", "-o", str(log), *shown, *more]


def inject(root: Path, command: str, barrier: str, call: Call, fault: str, log: Path) -> Ended:
    """Run the driver with `fault` (in the words of strace(1)) at the occurrence that `call` tells."""
    injection = f"inject={call.name}:{fault}:when={call.ordinal}"
    ended = run(root, command, barrier, *_strace(log, [call.name], "-e", injection))
    hit = [line for line in log.read_text().splitlines() if str(root).encode().hex() in line.replace("\\x", "")]
    return Ended(ended.returncode, ended.stderr, any(line.endswith(("(INJECTED)", "= ?")) for line in hit))


def _calls(lines: list[str]) -> Iterator[Call]:
    seen: Counter[tuple[str, str]] = Counter()
    for line in _joined(lines):
        found = _LINE.match(line)
        if found is not None:
            seen[found["pid"], found["name"]] += 1
            ordinal = seen[found["pid"], found["name"]]
            yield Call(found["name"], ordinal, tuple(found["arguments"].split(", ")), found["result"])


def _joined(lines: list[str]) -> Iterator[str]:
    """Lines in the order in which calls ended, each call on one line."""
    begun: dict[str, str] = {}
    for line in lines:
        if unfinished := _UNFINISHED.match(line):
            begun[unfinished["pid"]] = unfinished["begun"]
        elif resumed := _RESUMED.match(line):
            yield f"{resumed['pid']} {begun.pop(resumed['pid'])}{resumed['rest']}"
        else:
            yield line


def occurrences(calls: Sequence[Call]) -> dict[str, list[Call]]:
    """Recorded calls by name, one for each number at which a fault can be injected."""
    by_number = {(call.name, call.ordinal): call for call in reversed(calls)}
    ordered = sorted(by_number.values(), key=lambda call: (call.name, call.ordinal))
    return {name: list(group) for name, group in itertools.groupby(ordered, key=lambda call: call.name)}
