"""What a first apply would cost in Python with nothing but its system calls, digests and JSON: no model, no checks.

The same files and units as in bench.apply; side by side with cp -a and sync -f: python -m bench.floor [ROUNDS]
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field

from bench.apply import Arena
from bench.workload import Workload
from nodeagent.host.syscalls import syncfs

_FILES, _UNITS = 1000, 50


@dataclass
class _Root:
    """A directory, with the descriptors of those below it."""

    path: str
    _open: dict[str, int] = field(default_factory=dict)

    def within(self, directory: str) -> int:
        if directory not in self._open:
            os.makedirs(self.path + directory, exist_ok=True)
            self._open[directory] = os.open(self.path + directory, os.O_RDONLY | os.O_DIRECTORY)
        return self._open[directory]

    def stage(self, path: str, data: bytes, aside: str) -> None:
        where = self.within(os.path.dirname(path))
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=where)
        os.write(descriptor, data)
        os.fchmod(descriptor, 0o644)
        os.close(descriptor)

    def swap(self, path: str, aside: str) -> None:
        where = self.within(os.path.dirname(path))
        os.rename(aside, os.path.basename(path), src_dir_fd=where, dst_dir_fd=where)

    def settle(self) -> None:
        syncfs(self.within("/"))


def apply(sources: str, root: _Root) -> list[float]:
    """Seconds that reading, planning and executing take."""
    began = time.perf_counter()
    documents = []
    for name in sorted(os.listdir(sources)):
        with open(f"{sources}/{name}", "rb") as file:
            documents.append(json.load(file)["spec"]["config"])
    read = time.perf_counter()
    files = [each for document in documents for each in _files(document)]
    history = json.dumps(documents).encode()
    digests = [hashlib.sha256(data).hexdigest() for _, data in (*files, ("", history))]
    there = sum(os.path.lexists(root.path + path) for path, _ in files)
    state = json.dumps([{"path": path, "digest": one} for (path, _), one in zip(files, digests, strict=False)]).encode()
    planned = time.perf_counter()
    staged = [*files, ("/state/history", history), ("/state/state", state)]
    root.stage("/state/journal", state, "journal")
    os.fsync(root.within("/state"))
    for number, (path, data) in enumerate(staged):
        root.stage(path, data, f".{number}")
    root.settle()
    for number, (path, _) in enumerate(staged):
        root.swap(path, f".{number}")
    root.settle()
    assert there == 0, "the directory is not fresh"
    return [read - began, planned - read, time.perf_counter() - planned]


def _files(document: dict[str, dict[str, list[dict[str, object]]]]) -> list[tuple[str, bytes]]:
    """Path and bytes of everything that a config declares."""
    found = []
    for each in document.get("storage", {}).get("files", []):
        source = str(each["contents"]["source"])  # type: ignore[index] # as the workload writes them
        found.append((str(each["path"]), base64.b64decode(source.partition(",")[2])))
    units = document.get("systemd", {}).get("units", [])
    return [*found, *((f"/etc/systemd/system/{each['name']}", str(each["contents"]).encode()) for each in units)]


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as base:
        arena = Arena(base, Workload(_FILES, _UNITS))
        limits, found = [], []
        for _ in range(rounds):
            limits.append(arena.copy().wall)
            found.append(apply(arena.sources, _Root(arena.fresh())))
    limit = statistics.median(limits)
    steps = [statistics.median(each) for each in zip(*found, strict=True)]
    for name, seconds in zip(("read", "plan", "execute"), steps, strict=True):
        print(f"{name:<24} {seconds * 1000:6.1f} ms")
    print(f"{'plan and execute':<24} {sum(steps[1:]) * 1000:6.1f} ms, {sum(steps[1:]) / limit:.2f} times of the limit")
    print(f"{'the limit':<24} {limit * 1000:6.1f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
