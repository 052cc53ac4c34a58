"""The images that a kubeadm node of the tests runs, from files of this machine: no registry is asked for any.

Invariant: the agent's image holds what deploy/Containerfile puts into one: a Python with its libraries, the packages
that requirements/systemd.txt lists, and the checkout's own package; nothing else of the machine.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from tests.controlplane.binaries import Binaries
from tests.kubeadm.oci import Archive, Layer
from tests.node.machine import CHECKOUT

AGENT = "docker.io/library/nodeagent:0.1.0"  # what the container runtime makes of the name in deploy/
_ENVIRONMENT = "opt/nodeagent"  # a virtual environment in the image: agents start interpreters that heed no variable
_PACKAGES = f"{_ENVIRONMENT}/lib/python3.{sys.version_info.minor}/site-packages"
_UNUSED = {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "site-packages", "__pycache__", "lib2to3"}
_PATH = "PATH=/usr/local/bin:/usr/bin:/bin"
_SLEEP = Path("/bin/sleep")
_CHROOT = Path("/usr/sbin/chroot")  # what the agent starts of the slim image besides Python


def build(folder: Path, binaries: Binaries) -> Path:
    """The archive of all images that one node needs, in `folder`."""
    archive = Archive(folder)
    _control_plane(archive, binaries)
    _agent(archive, folder)
    return archive.write()


def names(binaries: Binaries) -> list[str]:
    """The images that kubeadm of that version expects."""
    command = [binaries.path("kubeadm"), "config", "images", "list", "--kubernetes-version", version(binaries)]
    return _output(command).split()


def version(binaries: Binaries) -> str:
    """Such as v1.34.4."""
    return _output([binaries.path("kubeadm"), "version", "-o", "short"]).strip()


def _control_plane(archive: Archive, binaries: Binaries) -> None:
    components = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    contents = {
        **dict.fromkeys(components, archive.layer(_program(binaries, components))),
        "etcd": archive.layer(_program(binaries, ("etcd", "etcdctl"))),
        "pause": archive.layer(Layer({"bin/sleep": _SLEEP, **_libraries([_SLEEP])}, {})),
    }
    for name in names(binaries):
        component = name.rsplit("/", 1)[1].partition(":")[0]
        if component in contents:
            entry = [str(_SLEEP), "infinity"] if component == "pause" else [f"/usr/local/bin/{component}"]
            archive.image(name, contents[component], Entrypoint=entry, Env=[_PATH])


def _program(binaries: Binaries, components: tuple[str, ...]) -> Layer:
    """One static program under the names of its components."""
    program = Path(binaries.path(components[0])).resolve()
    links = {f"usr/local/bin/{component}": program.name for component in components}
    return Layer({f"usr/local/bin/{program.name}": program}, links)


def _agent(archive: Archive, folder: Path) -> None:
    settings = folder / "pyvenv.cfg"
    settings.write_text(f"home = {_interpreter().parent}\n")
    python = dict(_python())
    packages = {**dict(_requirements()), **_tree(CHECKOUT / "nodeagent", f"{_PACKAGES}/nodeagent")}
    libraries = _libraries(each for each in {**python, **packages}.values() if _is_program(each))
    programs = {"usr/sbin/chroot": _CHROOT, **_libraries([_CHROOT])}
    nftables = _library("libnftables.so.1")
    libraries |= {str(nftables).lstrip("/"): nftables.resolve(), **_libraries([nftables])}
    files = {**libraries, **programs, **python, **packages, f"{_ENVIRONMENT}/pyvenv.cfg": settings}
    links = {f"{_ENVIRONMENT}/bin/python": str(_interpreter())}
    layer = archive.layer(Layer(files, links, ("host", "proc", "run", "sys", "tmp")))
    entry = [f"/{_ENVIRONMENT}/bin/python", "-m", "nodeagent"]
    archive.image(AGENT, layer, Entrypoint=entry, Env=[_PATH, "PYTHONDONTWRITEBYTECODE=1"])


def _interpreter() -> Path:
    return Path(sys.base_prefix) / f"bin/python3.{sys.version_info.minor}"


def _python() -> Iterator[tuple[str, Path]]:
    """The interpreter and its library, at the paths that it was built for."""
    yield str(_interpreter()).lstrip("/"), _interpreter().resolve()
    library = Path(sys.base_prefix) / f"lib/python3.{sys.version_info.minor}"
    yield from _tree(library, str(library).lstrip("/")).items()


def _requirements() -> Iterator[tuple[str, Path]]:
    """The files of each package that is listed and installed; one that only other Pythons need may be missing."""
    listed = re.findall(r"^([\w.-]+)==[^\s;]+( ;)?", (CHECKOUT / "requirements/systemd.txt").read_text(), re.MULTILINE)
    for name, condition in listed:
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:
            if condition:
                continue
            raise
        yield from ((f"{_PACKAGES}/{file}", Path(str(file.locate()))) for file in files if _belongs(Path(file)))


def _belongs(path: Path) -> bool:
    """Whether a file of a package goes into the image: no program outside the packages, no cache, no tests."""
    return ".." not in path.parts and path.suffix != ".a" and not _UNUSED & set(path.parts)


def _tree(folder: Path, below: str) -> dict[str, Path]:
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {f"{below}/{relative}": path.resolve() for relative, path in found.items() if _belongs(relative)}


def _is_program(path: Path) -> bool:
    """Whether ldd can tell what `path` needs: an extension module, or the interpreter."""
    return ".so" in path.suffixes or path == _interpreter().resolve()


def _libraries(programs: Iterable[Path]) -> dict[str, Path]:
    """The shared libraries that `programs` need, the dynamic loader among them, each at its path."""
    needed = re.findall(r"(?:=> |^\s+)(/\S+) \(0x", _output(["ldd", *map(str, programs)]), re.MULTILINE)
    return {path.lstrip("/"): Path(path).resolve() for path in needed}


def _library(name: str) -> Path:
    """Where the loader finds it on this machine."""
    found = re.search(rf"{re.escape(name)} .*=> (/\S+)", _output(["ldconfig", "-p"]))
    assert found, f"{name} is not installed"
    return Path(found[1])


def _output(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{command[:3]} -> {done.returncode}: {done.stderr}"
    return done.stdout
