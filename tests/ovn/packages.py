"""OVN with Open vSwitch, and FRR, from Debian's packages, unpacked into the cache and run through their own loader.

Invariant: a folder of the cache that has its final name is complete; the name follows from the suite, the architecture
and the list of packages. Nothing of the machine's own apt or dpkg state is touched. One process fetches at a time.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SUITE = "trixie"
_OVN = (
    *("ovn-central", "ovn-common", "ovn-host", "openvswitch-common", "openvswitch-switch"),
    *("libaudit1", "libbpf1", "libc6", "libcap-ng0", "libcap2", "libelf1t64", "libevent-2.1-7t64", "libnuma1"),
    *("libprotobuf-c1", "libssl3t64", "libudev1", "libunbound8", "libunwind8", "libxdp1", "libzstd1", "zlib1g"),
    *("liblzma5", "libhogweed6t64", "libnettle8t64", "libgmp10", "libnghttp2-14"),
)
_FRR = (
    *("frr", "libc6", "libcap2", "libcares2", "libcrypt1", "libjson-c5", "liblua5.3-0", "liblzma5", "libpcre2-8-0"),
    *("libprotobuf-c1", "libunwind8", "libxxhash0", "libyang3"),
)
_KITS = {"ovn": _OVN, "frr": _FRR}
_LIBRARIES = {"x86_64": ("amd64", "x86_64-linux-gnu", "ld-linux-x86-64.so.2")}  # architecture, folder, loader
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_FETCH_SECONDS = 300
_IDLE_SECONDS = 60  # what a command that only reads or unpacks may take


class Unavailable(Exception):
    """No packages: the message says what is missing and what to do."""


@dataclass(frozen=True)
class Tree:
    """The unpacked packages. A program is named by its path below /usr ("bin/ovn-nbctl")."""

    folder: Path

    def command(self, program: str, *arguments: str) -> list[str]:
        """The argument vector that runs `program` with the libraries of the tree."""
        _, libraries, loader = _LIBRARIES[platform.machine()]
        usr = self.folder / "usr"
        path = f"{usr / 'lib' / libraries}:{usr / 'lib' / libraries / 'frr'}"
        name = os.path.basename(program)
        return [str(usr / "lib64" / loader), "--library-path", path, "--argv0", name, str(usr / program), *arguments]

    def schema(self, name: str) -> str:
        """The path of a schema: "ovn-nb", "ovn-sb" or "vswitch"."""
        package = "openvswitch" if name == "vswitch" else "ovn"
        return str(self.folder / "usr/share" / package / f"{name}.ovsschema")


def ensured(kit: str = "ovn") -> Tree:
    """The packages of "ovn" or "frr", fetched first if need be: 20 seconds once, then none. Raises Unavailable."""
    folder = _cache() / _name(kit)
    if not folder.is_dir():
        with _lock():
            if not folder.is_dir():
                _fetch(folder, _KITS[kit])
    return Tree(folder)


@functools.cache
def obtainable() -> bool:
    """Whether `ensured` succeeds: it is tried."""
    try:
        ensured()
    except Unavailable:
        return False
    return True


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "nodeagent-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _name(kit: str) -> str:
    content = " ".join((_SUITE, platform.machine(), *_KITS[kit]))
    return f"{kit}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


@contextmanager
def _lock() -> Iterator[None]:
    with (_cache() / "ovn-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(folder: Path, names: Sequence[str]) -> None:
    """Unpack into a folder of another name, which gets its own when all is there."""
    _check()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-", ignore_cleanup_errors=True) as scratch:
        state = Path(scratch)
        draft, archives = state / folder.name, state / "archives"
        for directory in (draft, archives, state / "lists/partial", state / "cache/archives/partial"):
            directory.mkdir(parents=True)
        (state / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {mirror()} {_SUITE} main\n")
        apt = _apt(state)
        _run([*apt, "update"], _FETCH_SECONDS)
        _run([*apt, "download", *names], _FETCH_SECONDS, archives)
        for archive in sorted(archives.glob("*.deb")):
            _run(["dpkg-deb", "-x", str(archive), str(draft)], _IDLE_SECONDS)
        draft.rename(folder)


def _check() -> None:
    if platform.machine() not in _LIBRARIES:
        raise Unavailable(f"packages are fetched for {', '.join(_LIBRARIES)} only, and this is {platform.machine()}")
    missing = [name for name in ("apt-get", "dpkg-deb") if not shutil.which(name)]
    missing += [] if os.path.exists(_KEYRING) else [_KEYRING]
    if missing:
        raise Unavailable(f"fetching packages needs {', '.join(missing)}: use a machine of the Debian family")


def mirror() -> str:
    """The mirror of Debian that the machine uses."""
    said = _run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], _IDLE_SECONDS).split()
    mirrors = [each for each in said if each.rstrip("/").endswith("/debian")]
    if not mirrors:
        raise Unavailable("apt has no mirror of Debian among its sources: run apt-get update, or add one")
    return mirrors[0]


def _apt(state: Path) -> list[str]:
    """apt-get with a state of its own."""
    options = {
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state / "cache",
        "Dir::State::status": "/dev/null",
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Architecture": _LIBRARIES[platform.machine()][0],
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "pkgCacheGen::Essential": "none",
    }
    return ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]


def _run(command: Sequence[str], seconds: float, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=True
        )
    except subprocess.CalledProcessError as error:
        last = "\n".join(error.stderr.splitlines()[-20:])
        raise Unavailable(f"{command[0]} failed with exit code {error.returncode}:\n{last}") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} took more than {seconds:.0f} s") from None
    return done.stdout


if __name__ == "__main__":
    sys.stdout.write(f"{ensured().folder}\n")
