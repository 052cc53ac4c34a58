"""Kubernetes and etcd for tests: the folder that KUBEBUILDER_ASSETS names, else built once from the Go module here.

Invariant: a folder of the cache that has its final name is complete, and what is in it follows from that name: a hash
of the module, the linker's flags and the architecture. One process builds at a time; the others wait for it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.controlplane import golang
from tests.controlplane.golang import FETCH_SECONDS, Unavailable, cache, lock

__all__ = ["Binaries", "Unavailable", "ensured", "found", "obtainable"]

KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubeadm", "kubectl")
ETCD = ("etcd", "etcdctl")
_NEEDED = ("kube-apiserver", "etcd")  # what a control plane is not without
_MODULE = Path(__file__).parent
_BUILD_SECONDS = 2400  # cold, on two slow cores, it takes ten minutes


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
    folder = cache() / _name()
    return Binaries(folder) if folder.is_dir() else None


def ensured() -> Binaries:
    """The binaries, built first if need be: ten minutes once, then none. Raises Unavailable."""
    if here := found():
        return here
    with lock():
        return found() or _build(cache() / _name())


def obtainable() -> bool:
    """Whether `ensured` should succeed: they are here, or Go is, and the module's largest part can be had."""
    try:
        if found() is None:
            with lock():
                module = f"k8s.io/kubernetes@{_kubernetes_version()}"
                golang.run(_MODULE, FETCH_SECONDS, "mod", "download", module)
    except Unavailable:
        return False
    return True


def _name() -> str:
    """The name that the folder with the result of a build has in the cache."""
    sources = sorted([*_MODULE.glob("go.*"), *_MODULE.glob("*/*.go")])
    digest = hashlib.sha256(f"{platform.machine()} {_linker_flags()}".encode())
    for source in sources:
        digest.update(f"\0{source.relative_to(_MODULE)}\0".encode() + source.read_bytes())
    return f"control-plane-{digest.hexdigest()[:16]}"


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
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="building-", ignore_cleanup_errors=True) as scratch:
        draft = Path(scratch) / folder.name
        draft.mkdir()
        for program, names in (("kubernetes", KUBERNETES), ("etcd", ETCD)):
            flags = ["-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", _linker_flags()]
            golang.run(_MODULE, _BUILD_SECONDS, "build", *flags, "-o", str(draft / f"{program}.bin"), f"./{program}")
            for name in names:
                (draft / name).symlink_to(f"{program}.bin")
        draft.rename(folder)
    return Binaries(folder)


if __name__ == "__main__":
    sys.stdout.write(f"{ensured().folder}\n")
