"""From renewals and new pairs to a plan of the engine: files that are swapped, and what must be seen afterwards. Pure.

Invariant: a certificate and its key are neighbours in the plan, the key first; each file is written once, whatever is
renewed in it. The engine journals and undoes the plan as a whole: an undone manifest brings the pod back as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from nodeagent.certs import rewriting
from nodeagent.certs.issue import Issued
from nodeagent.certs.node import ReadYaml
from nodeagent.certs.renewal import Renewal
from nodeagent.changes.certs import AwaitServed, AwaitStart, WritePairFile
from nodeagent.changes.files import FileChange, MakeDirectory, Phase, WriteFile
from nodeagent.engine.plan import Change, Plan
from nodeagent.observed.files import FileState, FileType

REPLACED: Final = "replaced"  # directory of the state directory for copies of what was replaced
_DIRECTORY: Final = 0o700
_SECRET: Final = 0o600


@dataclass(frozen=True)
class Renewed:
    """A renewal with its new pair. `fingerprint` is the SHA-256 of the new certificate's DER."""

    renewal: Renewal
    issued: Issued
    fingerprint: str


@dataclass(frozen=True)
class Disk:
    """The files that a plan is made from: their states by path, their bytes, and where links lead ("" for no link)."""

    states: Mapping[str, FileState]
    read: Callable[[str], bytes]
    target: Callable[[str], str]

    def real(self, path: str) -> str:
        return self.target(path) or path


@dataclass(frozen=True)
class Component:
    """A static pod that starts anew: its manifest, where it listens, its health path, when it started before."""

    name: str
    manifest: str
    address: str
    port: int
    health: str
    since: int


@dataclass(frozen=True)
class Served:
    """A component that has to serve the certificate of the file `path`."""

    component: str
    address: str
    port: int
    path: str


@dataclass(frozen=True)
class Aftermath:
    """What has to come about once the files are in place; () on a node that does not run."""

    served: tuple[Served, ...] = ()
    components: tuple[Component, ...] = ()
    also: tuple[Change, ...] = ()


def plan(
    renewed: Iterable[Renewed],
    mends: Iterable[FileChange],
    disk: Disk,
    aftermath: Aftermath,
    read_yaml: ReadYaml,
    state_dir: str,
    stamp: str,
) -> Plan:
    """The plan, with the repairs `mends`; `stamp` tells this rotation from others, in manifests and names of copies."""
    renewed = tuple(renewed)
    files: list[FileChange] = [*_pairs(renewed, disk, read_yaml), *mends]
    files += _manifests(aftermath.components, disk, read_yaml, stamp)
    prints = {each.renewal.path: each.fingerprint for each in renewed}
    forward = [
        AwaitServed(each.component, each.address, each.port, prints[each.path])
        for each in aftermath.served
        if each.path in prints
    ]
    starts = [_start(each, each.since) for each in aftermath.components]
    back = [_start(each, 0) for each in aftermath.components]
    copies = _copies(files, disk, state_dir, stamp)
    return Plan.of([*files, *forward, *starts, *aftermath.also], records=copies, compensations=[*back, *aftermath.also])


def requested(asked: Iterable[tuple[str, Issued]], directory: str, states: Mapping[str, FileState]) -> Plan:
    """A plan that leaves a request and its key for each name in `directory`; what is there already is replaced."""
    absent = [path for path in directories(directory) if states[path].type is FileType.ABSENT]
    changes: list[Change] = [MakeDirectory(path=path, mode=_DIRECTORY) for path in absent]
    for name, issued in asked:
        for path, data in zip(request_files(directory, name), (issued.certificate, issued.key), strict=True):
            changes.append(WriteFile(path=path, before=states[path], data=data, mode=_SECRET, sources=("certs",)))
    return Plan.of(changes)


def directories(path: str) -> tuple[str, ...]:
    """A directory and those on the way to it, from the top."""
    parts = path.strip("/").split("/")
    return tuple("/" + "/".join(parts[: number + 1]) for number in range(len(parts)))


def request_files(directory: str, name: str) -> tuple[str, str]:
    """Where the request of a certificate and its key lie."""
    stem = f"{directory}/{name.replace('/', '_')}"
    return f"{stem}.csr", f"{stem}.key"


def _start(component: Component, since: int) -> AwaitStart:
    return AwaitStart(component.name, component.address, component.port, component.health, since)


def _pairs(renewed: tuple[Renewed, ...], disk: Disk, read_yaml: ReadYaml) -> Iterator[WriteFile]:
    by_path: dict[str, list[Renewed]] = {}
    for each in renewed:
        by_path.setdefault(each.renewal.path, []).append(each)
    for path, several in by_path.items():
        renewal, issued = several[0].renewal, several[0].issued
        if renewal.field:
            yield _write(path, _kubeconfig(path, several, disk, read_yaml), disk, "0")
        elif renewal.key_path:
            yield _write(renewal.key_path, issued.key, disk, "0", pair=path)
            yield _write(path, issued.certificate, disk, "1")
        else:
            yield _write(path, issued.certificate + issued.key, disk, "0")


def _kubeconfig(path: str, several: list[Renewed], disk: Disk, read_yaml: ReadYaml) -> bytes:
    data = disk.read(path)
    for each in several:
        renewal, issued = each.renewal, each.issued
        authorities = disk.read(renewal.trusted) if renewal.trusted else None
        new = rewriting.Credentials(issued.certificate, issued.key, authorities)
        data = rewriting.with_credentials(data, renewal.field.removeprefix("user "), new, read_yaml)
    return data


def _write(path: str, data: bytes, disk: Disk, rank: str, pair: str = "") -> WriteFile:
    real = disk.real(path)
    before = disk.states[real]
    return WritePairFile(
        path=real,
        before=before,
        data=data,
        mode=before.mode if before.type is FileType.FILE else _SECRET,
        uid=before.uid,
        gid=before.gid,
        xattrs=before.xattrs,
        sources=("certs",),
        rank=f"{pair or path} {rank}",
    )


def _manifests(components: Iterable[Component], disk: Disk, read_yaml: ReadYaml, stamp: str) -> Iterator[WriteFile]:
    """Annotated manifests: another pod to the kubelet, which makes the containers anew (touching does nothing)."""
    for each in components:
        real = disk.real(each.manifest)
        before = disk.states[real]
        yield WriteFile(
            path=real,
            before=before,
            data=rewriting.with_annotation(disk.read(each.manifest), f"certificates {stamp}", read_yaml),
            mode=before.mode,
            uid=before.uid,
            gid=before.gid,
            xattrs=before.xattrs,
            sources=("certs",),
            reason=f"restart {each.name}, which reads its certificates only when it starts",
            phase=Phase.UNIT,
        )


def _copies(files: Iterable[FileChange], disk: Disk, state_dir: str, stamp: str) -> Iterator[Change]:
    """Copies of what is replaced, for a person: never links, over which the kube-apiserver would lose its watch."""
    directory = f"{state_dir}/{REPLACED}"
    if disk.states[directory].type is FileType.ABSENT:
        yield MakeDirectory(path=directory, mode=_DIRECTORY)
    for each in files:
        if each.before.type is FileType.FILE:
            name = each.path.strip("/").replace("/", "_")
            data = disk.read(each.path)
            if hashlib.sha256(data).hexdigest() == each.before.digest:
                yield WriteFile(path=f"{directory}/{stamp}_{name}", data=data, mode=_SECRET, phase=Phase.RECORD)
