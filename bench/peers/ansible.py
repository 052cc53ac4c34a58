"""ansible-core as a peer: `unarchive` of the same tree over a local connection."""

from __future__ import annotations

import tarfile

from bench import measure
from bench.measure import Cost
from bench.peers.environment import environment

VERSION = "2.19.14"


class Ansible:
    """Unpacks one archive wherever it is told to."""

    def __init__(self, archive: str) -> None:
        self._archive = archive
        self._home = environment("ansible-core", VERSION)

    def unarchive(self, destination: str) -> Cost:
        """Bring `destination` to what the archive holds."""
        arguments = f"src={self._archive} dest={destination} remote_src=yes"
        words = [
            f"{self._home}/bin/ansible",
            "localhost",
            "-c",
            "local",
            "-m",
            "ansible.builtin.unarchive",
            "-a",
            arguments,
        ]
        return measure.run(words, ANSIBLE_PYTHON_INTERPRETER=f"{self._home}/bin/python", ANSIBLE_LOCALHOST_WARNING="0")


def archive(tree: str, path: str) -> str:
    """Pack the directory `tree` into an uncompressed archive at `path`; returns that path."""
    with tarfile.open(path, "w") as packed:
        packed.add(tree, ".")
    return path
