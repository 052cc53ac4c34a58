"""Sets up keepalived on this node as one plan of the engine: its file, the guard, its unit's drop-in and enablement.

Invariants: nothing is planned that keepalived itself does not accept; what stood at each path is kept and given back
when the setup is removed; a keepalived.conf that somebody else wrote is left as it is unless it is to be replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib import resources

from nodeagent.agent.vipunit import asleep, enablement
from nodeagent.agent.workplace import VIP_RECORD, Workplace
from nodeagent.changes.files import FileChange, Phase, WriteFile
from nodeagent.changes.units import UNIT_DIRECTORY, DaemonReload, ReloadUnit, RestartUnit, StopUnit
from nodeagent.engine.plan import Change, Plan
from nodeagent.errors import Problem, Rejected
from nodeagent.host.keepalived import KeepalivedHost
from nodeagent.host.keepalivedcheck import complaints
from nodeagent.host.local import LocalNode
from nodeagent.host.trackfile import TRACK
from nodeagent.machineconfig.applied import Applied, Subject
from nodeagent.machineconfig.desired import Declared, Desired, File
from nodeagent.machineconfig.planner import difference, paths_of_interest
from nodeagent.machineconfig.proposal import Proposal
from nodeagent.observed.files import FileType
from nodeagent.observed.vrrp import Daemon
from nodeagent.settings import Settings
from nodeagent.vip.adoption import lacking
from nodeagent.vip.configuration import Vip
from nodeagent.vip.inventory import installations
from nodeagent.vip.setup import CONFIG, DROPIN, FIFO, GUARD, UNIT, Setup, dropin, unreachable

_THERE = "/bin/true"
_SOURCES = ("nodeagent vip configure",)
_RUNNING = ("active", "reloading", "activating")


class Way(StrEnum):
    """What to do about a keepalived.conf."""

    RENDER = "render"  # from the settings; one that somebody else wrote is in the way
    REPLACE = "replace"  # from the settings, whatever stands there
    ADOPT = "adopt"  # leave it as it is
    REMOVE = "remove"  # give back what stood there


@dataclass(frozen=True)
class Configured:
    """A plan, and what is worth saying about it. Executing the plan also writes the record of what is ours."""

    proposal: Proposal
    warnings: tuple[Problem, ...] = ()


def wanted(settings: Settings) -> Setup:
    """The setup that the settings describe; Rejected with every problem."""
    vip = settings.vip
    livez = f"https://{vip.endpoint}/livez?exclude=etcd" if vip.endpoint else "none"
    track = f"{settings.run_dir}/{TRACK}"
    if not vip.addresses:
        advice = "set the VIPs with their prefix lengths, or use --adopt"
        raise Rejected([Problem("settings", "vip.addresses", "is empty", advice)])
    setup = Setup(
        node=settings.node_name,
        vips=vip.addresses,
        interface=vip.interface,
        vrid=vip.router_id,
        priority=vip.priority,
        advert_interval=vip.advert_interval,
        preempt=vip.preempt,
        source=vip.source,
        peers=vip.peers,
        run_dir=settings.run_dir,
        track_file=track,
        livez=livez,
    )
    if problems := tuple(setup.problems()):
        raise Rejected(problems)
    return setup


def propose(place: Workplace, way: Way) -> Configured:
    """The way from what is there to what is wanted; Rejected with every reason if the node cannot have it."""
    applied = _applied(place)
    if way is Way.REMOVE:
        return Configured(_proposal(place, {}, applied))
    if way is Way.ADOPT:
        paths, warnings = _adopted(place)
        return Configured(_proposal(place, paths, applied), warnings)
    setup = wanted(place.settings)
    enabled = _expect_free(place, applied, way)
    checked = replace(setup, guard=_THERE).config()  # the guard comes with the same plan
    if faults := complaints(checked, CONFIG, place.tree.root):
        raise Rejected(faults)
    vips = [Vip(*_split(each), setup.interface) for each in setup.vips]
    paths = {CONFIG: _file(setup.config(), 0o644)} | _beside(vips, setup.run_dir) | enabled
    return Configured(_proposal(place, paths, applied))


def _split(address: str) -> tuple[str, int]:
    bare, _, prefix = address.partition("/")
    return bare, int(prefix)


def _adopted(place: Workplace) -> tuple[Mapping[str, Declared], tuple[Problem, ...]]:
    """What stands beside a file that is left as it is, and what that file lacks."""
    run_dir = place.settings.run_dir
    with KeepalivedHost(place.settings.root) as host:
        there = installations(host)
    found = [each.configuration for each in there]
    if problems := [*unreachable(run_dir), *([] if found else [_nothing()])]:
        raise Rejected(problems)
    track, guard = f"{run_dir}/{TRACK}", f"{GUARD} {run_dir}"
    warnings = tuple(
        each for one in found for each in (*one.problems, *lacking(one, track, guard, f"{run_dir}/{FIFO}"))
    )
    if any(each.daemon is None or each.daemon.unit == UNIT for each in there):
        warnings += tuple(asleep(place.node))
    vips = sorted({vip for one in found for each in one.instances for vip in each.vips}, key=str)
    return _beside(vips, run_dir), warnings


def _nothing() -> Problem:
    return Problem(CONFIG, "", "there is no such file, and no keepalived runs", "set vip.addresses and the like")


def _beside(vips: list[Vip], run_dir: str) -> dict[str, Declared]:
    """The guard and the drop-in."""
    guard = resources.files("nodeagent.vip").joinpath("vip-guard").read_text()
    unit = replace(_file(dropin(vips, run_dir), 0o644), subject=Subject.DROPIN, unit=UNIT)
    return {GUARD: _file(guard, 0o755), DROPIN: unit}


def _file(text: str, mode: int) -> File:
    return File(subject=Subject.FILE, sources=_SOURCES, mode=mode, uid=0, gid=0, data=text.encode())


def _applied(place: Workplace) -> Applied:
    data = place.store.read(VIP_RECORD)
    return Applied(config="vip") if data is None else Applied.decode(data, VIP_RECORD)


def _expect_free(place: Workplace, ours: Applied, way: Way) -> dict[str, Declared]:
    """The links that enable keepalived's unit; Rejected where that, or a path, has another owner."""
    theirs = place.job.applied()
    enabled, problems = enablement(place.node, theirs, _SOURCES)
    problems += [_claimed(path, theirs) for path in (CONFIG, GUARD, DROPIN, *enabled) if path in theirs.entries]
    stands = place.node.states([CONFIG])[CONFIG].type is not FileType.ABSENT
    if stands and way is Way.RENDER and CONFIG not in ours.entries:
        advice = "leave it with --adopt, or take its place with --replace; --remove gives it back"
        problems.append(Problem(CONFIG, "", "stands there and was not written by nodeagent", advice))
    with KeepalivedHost(place.settings.root) as host:
        problems += [_elsewhere(each) for each in host.daemons() if _stays(each, place.node)]
    if problems:
        raise Rejected(problems)
    return enabled


def _claimed(path: str, theirs: Applied) -> Problem:
    owners = " + ".join(theirs.entries[path].sources) or theirs.config
    advice = "have one of the two write it"
    return Problem(path, "", f"is written by MachineConfig {owners} and by nodeagent vip configure", advice)


def _stays(daemon: Daemon, node: LocalNode) -> bool:
    """Whether this keepalived would go on beside, and keep out, one that the unit starts."""
    return bool(daemon.container) or (node.running and daemon.unit != UNIT)


def _elsewhere(daemon: Daemon) -> Problem:
    if daemon.container:
        advice = "its manifest says where its configuration comes from: use --adopt"
        return Problem(UNIT, "", f"keepalived runs in container {daemon.container[:12]}, not as a unit", advice)
    where = f"as {daemon.unit}" if daemon.unit else "started by hand"
    advice = "use --adopt, or stop it first"
    return Problem(UNIT, "", f"another keepalived runs, process {daemon.pid}, {where}", advice)


def _proposal(place: Workplace, paths: Mapping[str, Declared], applied: Applied) -> Proposal:
    desired = Desired("vip", paths, applied.units, applied.account, applied.kernel)
    record = f"{place.store.path}/{VIP_RECORD}"
    observed = place.node.states((*paths_of_interest(desired, applied), record))
    found = difference(desired, applied, observed, place.node.original, place.node.owner)
    forward, compensations = _forward(place, found.changes, wanted=CONFIG in paths)
    after = replace(applied, entries=found.entries, removed=())
    uid, gid = place.node.owner
    written = WriteFile(
        path=record, before=observed[record], data=after.encode(), mode=0o600, uid=uid, gid=gid, phase=Phase.RECORD
    )
    records = () if after.encode() == applied.encode() else (written,)
    plan = Plan.of([*found.changes, *forward], records=records, compensations=compensations)
    return Proposal(plan, after, (), dict)


def _forward(place: Workplace, changes: tuple[FileChange, ...], *, wanted: bool) -> tuple[list[Change], list[Change]]:
    """What systemd and keepalived have to do about the changes, and what brings them back after an undo.

    `wanted`: keepalived is to run, whether or not its file changes.
    """
    touched = {change.path: change.after.type for change in changes if change.after.type is not change.before.type}
    touched |= {change.path: change.after.type for change in changes if isinstance(change, WriteFile)}
    if not place.node.running:
        return [], []
    again: list[Change] = [DaemonReload()] if any(map(_of_units, touched)) else []
    acts: list[tuple[Change, Change]] = []
    if wanted or CONFIG in touched:
        acts = list(_keepalived(place, touched.get(CONFIG)))
    return [*again, *(do for do, _ in acts)], [*again, *(back for _, back in acts)]


def _of_units(path: str) -> bool:
    return path.startswith(f"{UNIT_DIRECTORY}/")


def _keepalived(place: Workplace, config: FileType | None) -> Iterator[tuple[Change, Change]]:
    """What keepalived has to do about what its file becomes, None if that stays; with what takes it back."""
    state = place.node.unit_states([UNIT]).get(UNIT)
    runs = state is not None and state.active in _RUNNING
    match config:
        case FileType.ABSENT:
            if runs:
                yield StopUnit(UNIT), RestartUnit(UNIT)
        case _ if not runs:
            yield RestartUnit(UNIT), StopUnit(UNIT)
        case FileType.FILE:
            yield ReloadUnit(UNIT), ReloadUnit(UNIT)
