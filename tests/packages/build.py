"""Packages for tests, built as anybody would build them: the checkout's version, and one that comes after it.

Invariant: a build has no network, and sees the sources that were fetched beforehand and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from nodeagent import __version__
from tests.node.machine import CHECKOUT

PYTHON = Path("/usr/bin/python3")  # the distribution's, which the packages are for
KINDS = ("deb", "rpm")
_DEADLINE = 600.0  # seconds for a build, which compiles
_PARTS = ("nodeagent", "docs", "examples", "packaging", "requirements")
_FILES = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")


@dataclass(frozen=True)
class Release:
    """One version and its package of each kind."""

    version: str
    packages: dict[str, Path]


def fetched() -> Path:
    """The sources, from the network the first time and from the cache afterwards."""
    locked = b"".join((CHECKOUT / "requirements" / name).read_bytes() for name in ("systemd.txt", "build.txt"))
    key = hashlib.sha256(locked + str(PYTHON.resolve()).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "nodeagent" / f"sources-{key}"
    if not cache.is_dir():
        staged = cache.with_name(f"{cache.name}.{os.getpid()}")
        _run(CHECKOUT, "packaging/fetch", staged)
        try:
            staged.rename(cache)
        except OSError:  # another run was first
            shutil.rmtree(staged)
    return cache


def releases(directory: Path) -> tuple[Release, Release]:
    """The checkout's version, and the same with the next number."""
    major, minor, patch = __version__.split(".")
    following = f"{major}.{minor}.{int(patch) + 1}"
    sources = fetched()
    trees = {version: _tree(directory / f"tree-{version}", version) for version in (__version__, following)}
    with ThreadPoolExecutor(2) as builders:
        first, second = builders.map(lambda version: _built(trees[version], sources, version), trees)
    return first, second


def _tree(tree: Path, version: str) -> Path:
    """A copy of what a package is built from, under another version."""
    tree.mkdir()
    for name in _FILES:
        shutil.copy2(CHECKOUT / name, tree)
    for name in _PARTS:
        shutil.copytree(CHECKOUT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "nodeagent/__init__.py"):
        text = (tree / name).read_text()
        assert f'"{__version__}"' in text
        (tree / name).write_text(text.replace(f'"{__version__}"', f'"{version}"', 1))
    return tree


def _built(tree: Path, sources: Path, version: str) -> Release:
    output = tree.with_name(f"dist-{version}")
    _run(tree, "unshare", "--net", "packaging/build", sources, output, *KINDS)
    found = {kind: [path for path in output.glob(f"*.{kind}") if ".src." not in path.name] for kind in KINDS}
    assert all(len(paths) == 1 for paths in found.values()), found
    return Release(version, {kind: path for kind, (path,) in found.items()})


def _run(directory: Path, *argv: str | Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key.startswith("PIP_") or key in ("PATH", "HOME")}
    done = subprocess.run(
        list(map(str, argv)),
        cwd=directory,
        env=environment | {"NODEAGENT_PYTHON": str(PYTHON), "LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": "1790000000"},
        capture_output=True,
        text=True,
        timeout=_DEADLINE,
        check=False,
    )
    assert done.returncode == 0, f"{argv} -> {done.returncode}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
