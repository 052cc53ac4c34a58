"""The work: seeded files and units, as MachineConfigs for the agent and as a tree for the peers.

Invariant: both forms describe the same tree; the same numbers give the same bytes on every machine.
"""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass

DIRECTORY = "/etc/bench"  # of the files
UNITS = "/etc/systemd/system"
_WANTS = f"{UNITS}/multi-user.target.wants"
_SEED = 20260101
_IN_A_DIRECTORY = 20
_IN_A_CONFIG = 100  # so that an object fits the API server's limit of some 1.5 MiB
_SIZES = (1 << 10, 8 << 10)  # bytes
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789 =.-/"


@dataclass(frozen=True)
class Workload:
    """`files` regular files of 1 to 8 KiB, and `units` small enabled services."""

    files: int
    units: int

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Path and bytes of every regular file, unit files last."""
        source = random.Random(_SEED)
        for index in range(self.files):
            yield path(index), _text(source)
        yield from ((f"{UNITS}/{name}", text.encode()) for name, text in self.services())

    def services(self) -> Iterator[tuple[str, str]]:
        """Name and text of every unit."""
        for index in range(self.units):
            text = f"[Unit]\nDescription=Bench {index}\n[Service]\nExecStart=/bin/true\n"
            yield f"bench-{index:03d}.service", f"{text}[Install]\nWantedBy=multi-user.target\n"

    def write_sources(self, directory: str) -> None:
        """The MachineConfigs, in JSON, one object a file."""
        files = [_file(path, data) for path, data in self.contents() if path.startswith(DIRECTORY)]
        chunks = [files[first : first + _IN_A_CONFIG] for first in range(0, len(files), _IN_A_CONFIG)]
        for number, chunk in enumerate(chunks):
            _write_config(directory, f"50-files-{number:03d}", {"storage": {"files": chunk}})
        units = [{"name": name, "enabled": True, "contents": text} for name, text in self.services()]
        _write_config(directory, "60-units", {"systemd": {"units": units}})

    def write_tree(self, directory: str) -> None:
        """The same as files and links below `directory`."""
        for name, data in self.contents():
            os.makedirs(os.path.dirname(directory + name), exist_ok=True)
            with open(directory + name, "wb") as file:
                file.write(data)
        os.makedirs(directory + _WANTS, exist_ok=True)
        for name, _ in self.services():
            os.symlink(f"{UNITS}/{name}", f"{directory}{_WANTS}/{name}")


def path(index: int) -> str:
    """Path of the file with this number."""
    return f"{DIRECTORY}/{index // _IN_A_DIRECTORY:03d}/{index:05d}.conf"


def _text(source: random.Random) -> bytes:
    size = source.randint(*_SIZES)
    return ("".join(source.choices(_LETTERS, k=size - 1)) + "\n").encode()


def _file(name: str, data: bytes) -> dict[str, object]:
    url = f"data:;base64,{base64.b64encode(data).decode()}"
    return {"path": name, "mode": 0o644, "contents": {"source": url}}


def _write_config(directory: str, name: str, config: dict[str, object]) -> None:
    document = {
        "apiVersion": "machineconfiguration.alauda.io/v1alpha1",
        "kind": "MachineConfig",
        "metadata": {"name": name, "labels": {"machineconfiguration.alauda.io/role": "worker"}},
        "spec": {"config": {"ignition": {"version": "3.4.0"}, **config}},
    }
    with open(f"{directory}/{name}.json", "w") as file:
        json.dump(document, file)
