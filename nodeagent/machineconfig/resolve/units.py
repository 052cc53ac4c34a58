"""Systemd units: unit files, dropins, masks, and enablement as the links that `systemctl enable` would make.

Enablement is resolved to links in /etc/systemd/system whether systemd runs there or not: links can be journalled,
undone and compared like any other file, and systemd is asked afterwards whether it agrees. Where `enabled` is not
declared, the node's presets decide for units that bring their own contents (systemd.preset(5)).
"""

from __future__ import annotations

from collections.abc import Iterable

from nodeagent.changes.units import UNIT_DIRECTORY
from nodeagent.machineconfig.applied import Subject, Unit
from nodeagent.machineconfig.desired import Absent, File, Link
from nodeagent.machineconfig.enablement import Preset, Presets, install, parse_presets
from nodeagent.machineconfig.ignition import model
from nodeagent.machineconfig.links import enablement_links, links_to
from nodeagent.machineconfig.node import Node
from nodeagent.machineconfig.resolve.context import Context
from nodeagent.machineconfig.resolve.unitfiles import MASK, UnitFiles, text

_PRESET_PATH = tuple(f"{base}/systemd/system-preset" for base in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"))


def resolve(context: Context) -> dict[str, Unit]:
    """Declare the paths of all units; returns what was decided for each unit, by name."""
    declared = context.rendered.config.systemd.units
    if not declared:
        return {}
    enabler = _Enabler(context, declared)
    units = {}
    for unit in declared:
        _unit_file(context, unit)
        for dropin in unit.dropins:
            _dropin(context, unit, dropin)
        enabled = enabler.decide(unit)
        if enabled is not None:
            enabler.enable(unit) if enabled else enabler.disable(unit)
        units[unit.name] = Unit(enabled, unit.mask)
    return units


def _unit_file(context: Context, unit: model.Unit) -> None:
    key, path = f"unit:{unit.name}", f"{UNIT_DIRECTORY}/{unit.name}"
    uid, gid = context.node.owner
    sources = context.sources(key)
    if unit.mask:
        masked = Link(subject=Subject.MASK, sources=sources, uid=uid, gid=gid, target=MASK, unit=unit.name)
        context.declare(path, masked, key)
    elif unit.contents:
        file = File(
            subject=Subject.UNIT,
            sources=sources,
            mode=0o644,
            uid=uid,
            gid=gid,
            data=unit.contents.encode(),
            unit=unit.name,
        )
        context.declare(path, file, key)
    elif unit.mask is False and _masked_by_others(context, path):
        context.declare(path, Absent(subject=Subject.MASK, sources=sources, unit=unit.name), key)


def _masked_by_others(context: Context, path: str) -> bool:
    """Whether a mask stands at the path that somebody else put there; our own goes by itself, with what it hid back."""
    entry = context.applied.entries.get(path)
    if entry is None:
        return context.node.states([path])[path].target == MASK
    return entry.original is not None and entry.original.trace.target == MASK


def _dropin(context: Context, unit: model.Unit, dropin: model.Dropin) -> None:
    if not dropin.contents:
        return  # empty contents clear a dropin of an earlier MachineConfig
    key, path = f"dropin:{unit.name}/{dropin.name}", f"{UNIT_DIRECTORY}/{unit.name}.d/{dropin.name}"
    uid, gid = context.node.owner
    data = dropin.contents.encode()
    sources = context.sources(key)
    file = File(subject=Subject.DROPIN, sources=sources, mode=0o644, uid=uid, gid=gid, data=data, unit=unit.name)
    context.declare(path, file, key)


class _Enabler:
    """Turns enabled and disabled into links that must, and must not, be there."""

    def __init__(self, context: Context, declared: Iterable[model.Unit]) -> None:
        self._context = context
        texts = {unit.name: unit.contents for unit in declared if unit.contents}
        dropins = {
            unit.name: {dropin.name: dropin.contents for dropin in unit.dropins if dropin.contents} for unit in declared
        }
        self._files = UnitFiles(context.node, texts, dropins)
        self._links = enablement_links(context.node)
        self._presets: Presets | None = None

    def decide(self, unit: model.Unit) -> bool | None:
        """Whether the unit is to be enabled; None leaves its enablement alone."""
        if unit.enabled is not None or not unit.contents or unit.mask:
            return unit.enabled
        verdict = self._rules().verdict(unit.name)
        return None if verdict is Preset.IGNORE else verdict is Preset.ENABLE

    def _rules(self) -> Presets:
        if self._presets is None:
            self._presets = parse_presets(_preset_files(self._context.node))
        return self._presets

    def enable(self, unit: model.Unit) -> None:
        """Declare the links of the unit and of those that its Also= names."""
        pending, seen = self._names(unit), set[str]()
        while pending:
            name = pending.pop()
            if name in seen:
                continue
            seen.add(name)
            pending += self._enable_one(unit, name)

    def _names(self, unit: model.Unit) -> list[str]:
        """What to enable: the unit, or the instances of a template that the presets name."""
        if unit.enabled is None and unit.name.partition("@")[2].startswith("."):
            return list(self._rules().instances(unit.name)) or [unit.name]
        return [unit.name]

    def _enable_one(self, unit: model.Unit, name: str) -> tuple[str, ...]:
        key = f"unit:{unit.name}"
        found = self._files.find(name)
        if found is None:
            if not unit.mask:
                message = f"there is no unit file for {name} on this node, so it cannot be enabled"
                self._context.problem(key, "enabled", message, "give the unit contents, or install what brings it")
            return ()
        path, text = found
        try:
            installed = install(name, text, path, self._files.dropins(name))
        except ValueError as error:
            self._context.problem(key, "enabled", f"{path} cannot be read as a unit file: {error}")
            return ()
        for problem in installed.problems:
            self._context.problem(key, "contents", problem)
        uid, gid = self._context.node.owner
        for link in installed.links:
            declared = Link(
                subject=Subject.ENABLEMENT,
                sources=self._context.sources(key),
                uid=uid,
                gid=gid,
                target=link.target,
                unit=unit.name,
            )
            self._context.declare(link.path, declared, key)
        return installed.also

    def disable(self, unit: model.Unit) -> None:
        """Declare that no link to the unit may be there, wherever it was enabled."""
        key = f"unit:{unit.name}"
        absent = Absent(subject=Subject.ENABLEMENT, sources=self._context.sources(key), unit=unit.name)
        for path in links_to(unit.name, self._links):
            self._context.declare(path, absent, key)


def _preset_files(node: Node) -> Iterable[tuple[str, str]]:
    """All preset files, strongest directory first, as (path, text)."""
    for directory in _PRESET_PATH:
        for name in node.entries(directory):
            if name.endswith(".preset"):  # one that is masked by a link hides its namesakes in weaker directories
                yield f"{directory}/{name}", text(node, f"{directory}/{name}") or ""
