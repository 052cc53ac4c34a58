"""Has keepalived itself judge a configuration before anything reads it.

Invariant: the text is never on disk under a name; keepalived reads it from memory, with a fixed environment and within
a deadline. keepalived 2.2 and later end with 5 for a file that they find fault with (keepalived(8), --config-test).
"""

from __future__ import annotations

import os
import subprocess

from nodeagent.errors import Broken, Problem, Transient

_DEADLINE = 10.0  # seconds; it takes about 20 ms
_FAULTY = 5
_SHOWN = 20  # lines of its complaint


def complaints(text: str, path: str, root: str = "/") -> tuple[Problem, ...]:
    """What the keepalived below `root` has against `text` as its file `path`; () if nothing.

    Broken: it is not installed or ends in another way. Transient: it does not end.
    """
    descriptor = os.memfd_create("keepalived.conf", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)  # keepalived passes over what may be executed
        with open(descriptor, "w", closefd=False) as file:
            file.write(text)
        ended = _tested(descriptor, root)
    finally:
        os.close(descriptor)
    if ended.returncode == 0:
        return ()
    lines = [_named(line, descriptor) for line in ended.stderr.decode(errors="replace").splitlines() if line.strip()]
    if ended.returncode != _FAULTY:
        raise Broken(f"keepalived -t ended with status {ended.returncode}: {lines[-1] if lines else 'it says nothing'}")
    return tuple(Problem(path, "", line) for line in lines[:_SHOWN] or ["keepalived finds fault with it"])


def _tested(descriptor: int, root: str) -> subprocess.CompletedProcess[bytes]:
    command = ["keepalived", "-t", "-f", f"/proc/self/fd/{descriptor}"]
    try:
        return subprocess.run(  # noqa: S603 - a fixed program of the node, no shell, no input from outside
            [*(("chroot", root) if root != "/" else ()), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[descriptor],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
            timeout=_DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Transient(f"keepalived -t did not end within {_DEADLINE:g} s") from error
    except OSError as error:
        raise Broken("keepalived cannot be run to check the configuration: install it first") from error


def _named(line: str, descriptor: int) -> str:
    return line.replace(f"/proc/self/fd/{descriptor}: ", "").strip()
