"""That keepalived's unit starts at boot, as links among the paths of a setup.

Invariants: a link that enables the unit already stays as it is; where a MachineConfig says whether the unit is enabled,
it alone does (systemctl(1), "enable").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from nodeagent.errors import Problem
from nodeagent.machineconfig.applied import Applied, Subject, Unit
from nodeagent.machineconfig.desired import Declared, Link
from nodeagent.machineconfig.enablement import Install, install
from nodeagent.machineconfig.links import enablement_links, links_to
from nodeagent.machineconfig.node import Node
from nodeagent.machineconfig.resolve.unitfiles import UnitFiles
from nodeagent.vip.setup import UNIT

_NO_WISH = Unit()


def enablement(node: Node, theirs: Applied, sources: tuple[str, ...]) -> tuple[dict[str, Declared], list[Problem]]:
    """The links to declare, and all that keeps the unit from being enabled or started; `theirs` is what is applied."""
    wish = theirs.units.get(UNIT, _NO_WISH)
    if wish.mask or wish.enabled is False:
        message = f"is {'masked' if wish.mask else 'disabled'} by MachineConfig {theirs.config}"
        return {}, [Problem(UNIT, "", message, "have it enabled there, or not named at all")]
    if mask := UnitFiles(node).mask(UNIT):
        return {}, [Problem(UNIT, "", f"is masked by {mask}", f"systemctl unmask {UNIT}")]
    found = _install(node)
    problems = [Problem(UNIT, "[Install]", each) for each in found.problems]
    if not found.links and not problems:
        problems = [Problem(UNIT, "", "has no unit file that says when to start it", "install keepalived's own")]
    return ({} if wish.enabled else _links(node, found, sources)), problems


def _install(node: Node) -> Install:
    files = UnitFiles(node)
    found = files.find(UNIT)
    if found is None:
        return Install()
    path, text = found
    try:
        return install(UNIT, text, path, files.dropins(UNIT))
    except ValueError as error:
        return Install(problems=(f"{path} cannot be read as a unit file: {error}",))


def _links(node: Node, found: Install, sources: tuple[str, ...]) -> dict[str, Declared]:
    uid, gid = node.owner
    link = Link(subject=Subject.ENABLEMENT, sources=sources, uid=uid, gid=gid, target="", unit=UNIT)
    standing = node.states([each.path for each in found.links])
    return {each.path: replace(link, target=_target(standing[each.path].target, each.target)) for each in found.links}


def _target(standing: str, wanted: str) -> str:
    """What stands there if it is a link to the unit, by whatever way."""
    return standing if standing.rpartition("/")[2] == UNIT else wanted


def asleep(node: Node) -> Iterator[Problem]:
    """That nothing starts the unit at boot."""
    if not links_to(UNIT, enablement_links(node)):
        yield Problem(UNIT, "", "does not start at boot", f"systemctl enable {UNIT}")
