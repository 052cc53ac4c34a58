"""What is put right of the kubelet's own certificates, which it rotates itself while nothing is in its way. Pure.

Invariant: no repair makes a key or leaves the kubelet with less than it had: each lets it use what is on the node
already, or start its own rotation again. What only a new certificate can mend is a renewal.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from nodeagent.certs import rewriting
from nodeagent.certs.catalog import KUBELET_CLIENT, KUBELET_CONF, KUBELET_SERVER, Kind, Manager
from nodeagent.certs.due import State, state
from nodeagent.certs.findings import Code
from nodeagent.certs.identity import Role
from nodeagent.certs.inventory import Inventory
from nodeagent.certs.node import ReadYaml
from nodeagent.certs.survey import Specimen, Survey
from nodeagent.certs.swap import Disk
from nodeagent.certs.trust import key_match
from nodeagent.changes.files import FileChange, MakeLink, WriteFile
from nodeagent.observed.certificates import Standing

_CURRENT: Final = (KUBELET_CLIENT, KUBELET_SERVER)
_SOURCES: Final = ("certs",)
_SECRET: Final = 0o600
_REASONS: Final = (
    Code.LINK_BROKEN,
    Code.CERTIFICATE_MISSING,
    Code.KUBELET_CURRENT_NO_LINK,
    Code.KUBELET_CONF_STALE,
    Code.KUBELET_ROTATION_OVERDUE,
    Code.EXPIRED,
)


@dataclass(frozen=True)
class Relink:
    """Let the link at `path` lead to `target`, the newest usable file beside it.

    With `moved`, the file that stands at `path` gets that name first: the kubelet rotates through a link alone.
    """

    name: str
    path: str
    target: str
    moved: bool

    def describe(self) -> str:
        return f"link {self.path} to {'itself, renamed to ' if self.moved else ''}{self.target}"


@dataclass(frozen=True)
class Refer:
    """Let `user` of the kubeconfig `path` name `target`, which the kubelet rotates, instead of what only ages."""

    name: str
    path: str
    user: str
    target: str

    def describe(self) -> str:
        return f"let user {self.user} of {self.path} name {self.target}"


@dataclass(frozen=True)
class Restart:
    """Restart the kubelet, which then looks at its rotation afresh. `serial` is the overdue certificate's, decimal."""

    name: str
    path: str
    serial: str

    def describe(self) -> str:
        return f"restart the kubelet, whose rotation of {self.path} is overdue"


Repair = Relink | Refer | Restart


def facts(repair: Repair) -> dict[str, Any]:
    """The repair as a JSON object."""
    return {"name": repair.name, "path": repair.path, "repair": repair.describe()}


def called_for(inventory: Inventory) -> bool:
    """Whether any finding is one that a repair might mend: if not, nobody has to look closer."""
    return any(finding.code in _REASONS for finding in inventory.findings)


def repairs(
    survey: Survey, inventory: Inventory, now: datetime.datetime, tried: Collection[str] = ()
) -> tuple[Repair, ...]:
    """What can be put right, in the order of the inventory; nothing twice for the serials `tried`."""
    restarts = (each for each in _restarts(survey, inventory, now) if each.serial not in tried)
    return (*_links(survey, now), *_references(survey, inventory, now), *restarts)


def _links(survey: Survey, now: datetime.datetime) -> Iterator[Relink]:
    for specimen in survey.specimens:
        path, file = specimen.path, specimen.file
        if path not in _CURRENT:
            continue
        if file.standing in (Standing.ABSENT, Standing.DANGLING):
            if newest := _newest(survey.dated.get(path, ()), now):
                yield Relink(specimen.item.name, path, newest.path, moved=False)
        elif file.standing is Standing.FILE and not file.target and _usable(specimen, now):
            yield Relink(specimen.item.name, path, path.replace("current", f"{now:%Y-%m-%d-%H-%M-%S}"), moved=True)


def _newest(specimens: Collection[Specimen], now: datetime.datetime) -> Specimen | None:
    usable = (each for each in specimens if _usable(each, now))
    return max(usable, key=lambda each: (each.leaf.not_before if each.leaf else now, each.path), default=None)


def _usable(specimen: Specimen, now: datetime.datetime) -> bool:
    leaf = specimen.leaf
    return leaf is not None and key_match(leaf, specimen.keys) is True and state(leaf, now) is State.VALID


def _references(survey: Survey, inventory: Inventory, now: datetime.datetime) -> Iterator[Refer]:
    """Only to a pair that works: the kubelet reads nothing else when it starts."""
    current = next((each for each in survey.specimens if each.path == KUBELET_CLIENT), None)
    if current is None or not _usable(current, now):
        return
    for entry in inventory.entries:
        if entry.path == KUBELET_CONF and any(each.code is Code.KUBELET_CONF_STALE for each in entry.findings):
            yield Refer(entry.name, KUBELET_CONF, entry.field.removeprefix("user "), KUBELET_CLIENT)


def _restarts(survey: Survey, inventory: Inventory, now: datetime.datetime) -> Iterator[Restart]:
    """Where rotation is overdue; of what has expired only where a bootstrap token may bring another."""
    for entry in inventory.entries:
        found = entry.certificate
        if not entry.due or found is None or entry.manager is not Manager.KUBELET or entry.kind is Kind.KUBECONFIG:
            continue
        worker = inventory.node.role is Role.WORKER
        if state(found, now) is State.VALID or (worker and survey.can_bootstrap):
            yield Restart(entry.name, entry.path, str(found.serial))


# -- what is done -----------------------------------------------------------------------------------------------------


def paths(found: Iterable[Repair]) -> tuple[str, ...]:
    """The files whose states `changes` asks for."""
    linked = [path for each in found if isinstance(each, Relink) for path in (each.path, each.target)]
    return (*linked, *(each.path for each in found if isinstance(each, Refer)))


def changes(found: Iterable[Repair], disk: Disk, read_yaml: ReadYaml) -> tuple[FileChange, ...]:
    """What the repairs change in files, in no order."""
    made: list[FileChange] = []
    for each in found:
        match each:
            case Relink():
                made += _relinked(each, disk)
            case Refer():
                made.append(_referred(each, disk, read_yaml))
    return tuple(made)


def _relinked(repair: Relink, disk: Disk) -> Iterator[FileChange]:
    before = disk.states[repair.path]
    if repair.moved:
        moved = disk.read(repair.path)
        yield WriteFile(
            path=repair.target,
            before=disk.states[repair.target],
            data=moved,
            mode=_SECRET,
            uid=before.uid,
            gid=before.gid,
            sources=_SOURCES,
        )
    yield MakeLink(path=repair.path, before=before, target=repair.target, sources=_SOURCES)


def _referred(repair: Refer, disk: Disk, read_yaml: ReadYaml) -> FileChange:
    before = disk.states[disk.real(repair.path)]
    return WriteFile(
        path=disk.real(repair.path),
        before=before,
        data=rewriting.with_reference(disk.read(repair.path), repair.user, repair.target, read_yaml),
        mode=before.mode,
        uid=before.uid,
        gid=before.gid,
        xattrs=before.xattrs,
        sources=_SOURCES,
    )
