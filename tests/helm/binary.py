"""Helm for tests: the one on the PATH, else built once from the Go module here.

Invariant: a file of the cache that has its final name is complete, and follows from that name: a hash of the module,
the linker's flags and the architecture.
"""

from __future__ import annotations

import functools
import hashlib
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from tests.controlplane import golang

_MODULE = Path(__file__).parent
_BUILD_SECONDS = 1800  # cold, on two slow cores, it takes two minutes
_KUBERNETES = {"k8sVersionMajor": "1", "k8sVersionMinor": "34"}  # which Helm's own build tells it through the linker
_TOLD = [f"-X helm.sh/helm/v3/pkg/chartutil.{key}={value}" for key, value in _KUBERNETES.items()]
_FLAGS = " ".join(["-s -w", *_TOLD])


def ensured() -> str:
    """The path of the helm command, built first if need be. Raises golang.Unavailable."""
    if on_path := shutil.which("helm"):
        return on_path
    built = golang.cache() / _name()
    if not built.exists():
        with golang.lock():
            if not built.exists():
                _build(built)
    return str(built)


@functools.cache
def obtainable() -> bool:
    """Whether `ensured` succeeds: it is tried."""
    try:
        ensured()
    except golang.Unavailable:
        return False
    return True


def _name() -> str:
    digest = hashlib.sha256(f"{platform.machine()} {_FLAGS}".encode())
    for file in ("go.mod", "go.sum"):
        digest.update((_MODULE / file).read_bytes())
    return f"helm-{digest.hexdigest()[:16]}"


def _build(built: Path) -> None:
    """Build under another name, which becomes its own when all is there."""
    with tempfile.TemporaryDirectory(dir=built.parent, prefix="building-") as scratch:
        draft = Path(scratch) / "helm"
        flags = ["-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", _FLAGS]
        golang.run(_MODULE, _BUILD_SECONDS, "build", *flags, "-o", str(draft), "helm.sh/helm/v3/cmd/helm")
        draft.rename(built)


if __name__ == "__main__":
    sys.stdout.write(f"{ensured()}\n")
