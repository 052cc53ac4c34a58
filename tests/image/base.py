"""A base image of Debian's packages, for where no registry of images can be asked: a tree that debootstrap makes.

Invariant: a file of the cache that has its final name is complete; the name follows from the suite, the architecture
and the list of packages.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.controlplane.golang import cache, lock
from tests.ovn import packages
from tests.ovn.packages import Unavailable

_SUITE = "trixie"
_PACKAGES = ("ca-certificates", "python3", "python3-venv")
_IDLE = ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")
_SECONDS = 900


def ensured() -> Path:
    """A tar archive of its files, made first if need be: a minute once, then none. Raises Unavailable."""
    made = cache() / _name()
    if not made.exists():
        with lock():
            if not made.exists():
                _make(made)
    return made


@functools.cache
def obtainable() -> bool:
    """Whether `ensured` succeeds: it is tried."""
    try:
        ensured()
    except Unavailable:
        return False
    return True


def _name() -> str:
    content = " ".join((_SUITE, platform.machine(), *_PACKAGES, *_IDLE))
    return f"base-{hashlib.sha256(content.encode()).hexdigest()[:16]}.tar"


def _make(made: Path) -> None:
    """Pack under another name, which becomes its own when all is there."""
    if os.geteuid() or not shutil.which("debootstrap"):
        raise Unavailable("making a base image needs debootstrap, and root")
    with tempfile.TemporaryDirectory(dir=made.parent, prefix="making-", ignore_cleanup_errors=True) as scratch:
        tree, draft = Path(scratch) / "tree", Path(scratch) / "draft"
        included = f"--include={','.join(_PACKAGES)}"
        _run("debootstrap", "--variant=minbase", included, _SUITE, str(tree), packages.mirror())
        for folder in _IDLE:
            shutil.rmtree(tree / folder)
            (tree / folder).mkdir()
        (tree / "usr/bin/python").symlink_to("python3")  # as images of Python have it
        _run("tar", "--create", "--numeric-owner", f"--file={draft}", f"--directory={tree}", ".")
        draft.rename(made)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except subprocess.CalledProcessError as error:
        last = "\n".join((error.stdout + error.stderr).splitlines()[-20:])
        raise Unavailable(f"{command[0]} failed with exit code {error.returncode}:\n{last}") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} took more than {_SECONDS} s") from None
