"""ansible-core as a peer: `unarchive` of the same tree over a local connection, from a virtual environment of its own.

The environment is made at the first run, below .cache/, with the version pinned here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile

from bench import measure
from bench.measure import Cost
from bench.peers import Missing

VERSION = "2.19.14"
_HOME = os.path.abspath(f".cache/ansible-core-{VERSION}")
_PATIENCE = 300.0  # seconds for the installation


class Ansible:
    """Unpacks one archive wherever it is told to."""

    def __init__(self, archive: str) -> None:
        self._archive = archive
        _install()

    def unarchive(self, destination: str) -> Cost:
        """Bring `destination` to what the archive holds."""
        arguments = f"src={self._archive} dest={destination} remote_src=yes"
        words = [f"{_HOME}/bin/ansible", "localhost", "-c", "local", "-m", "ansible.builtin.unarchive", "-a", arguments]
        return measure.run(words, ANSIBLE_PYTHON_INTERPRETER=f"{_HOME}/bin/python", ANSIBLE_LOCALHOST_WARNING="0")


def archive(tree: str, path: str) -> str:
    """Pack the directory `tree` into an uncompressed archive at `path`; returns that path."""
    with tarfile.open(path, "w") as packed:
        packed.add(tree, ".")
    return path


def _install() -> None:
    if os.path.exists(f"{_HOME}/bin/ansible"):
        return
    print(f"bench: installing ansible-core {VERSION} into {_HOME}", flush=True)
    try:
        _do([sys.executable, "-m", "venv", _HOME])
        _do([f"{_HOME}/bin/pip", "install", "--quiet", f"ansible-core=={VERSION}"])
    except (OSError, subprocess.SubprocessError) as error:
        raise Missing(
            f"ansible-core {VERSION} cannot be installed ({error}); "
            f"with access to PyPI: python -m venv {_HOME} && {_HOME}/bin/pip install ansible-core=={VERSION}"
        ) from error


def _do(words: list[str]) -> None:
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE)
