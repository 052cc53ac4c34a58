"""Validity of units and dropins.

Stricter than Ignition: a name is one path component of the characters that systemd allows, so that no unit is ever
written outside of its directory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from nodeagent.machineconfig import unitfile
from nodeagent.machineconfig.ignition.findings import Findings, Place
from nodeagent.machineconfig.ignition.model import Dropin, Systemd, Unit

SUFFIXES: Final = (
    *("service", "socket", "device", "mount", "automount", "swap"),
    *("target", "path", "timer", "snapshot", "slice", "scope"),
)

_NAME_LIMIT: Final = 255  # bytes: both systemd's UNIT_NAME_MAX - 1 and a file name's NAME_MAX
_NAME: Final = re.compile(r"[A-Za-z0-9:_.@\\-]*")
_DROPIN_NAME: Final = re.compile(r"[^/\0\n]*")
_INSTANCE: Final = re.compile(r"(?P<prefix>[^@]+)@.+\.service")


def validate(systemd: Systemd, findings: Findings) -> None:
    """Find what is wrong with each unit."""
    templates = {unit.name: unit for unit in systemd.units}
    for index, unit in enumerate(systemd.units):
        place = findings.at(f".systemd.units[{index}]", f"unit:{unit.name}")
        _unit(unit, place)
        _instance(unit, templates, place)
        for position, dropin in enumerate(unit.dropins):
            _dropin(dropin, place.at(f".dropins[{position}]", f"dropin:{unit.name}/{dropin.name}"))


def _unit(unit: Unit, place: Place) -> None:
    _unit_name(unit.name, place)
    parsed = _contents(unit.contents, place)
    if unit.enabled and parsed is not None and unit.contents and not _installs(parsed):
        advice = "add WantedBy= under [Install], or leave enabled out"
        place.warn(".contents", f"{unit.name!r} is enabled and has no [Install] section, so nothing starts it", advice)


def _unit_name(name: str, place: Place) -> None:
    stem, dot, suffix = name.rpartition(".")
    if not name:
        place.problem(".name", "is missing", "give the unit's full name, such as chronyd.service")
    elif not dot or suffix not in SUFFIXES:
        place.problem(".name", f"{name!r} does not end in a type of unit", "end it in .service, for example")
    if not _NAME.fullmatch(stem):
        advice = "use letters, digits and : - _ . @ \\ (systemd-escape makes such names)"
        place.problem(".name", f"{name!r} holds characters that a unit's name cannot have", advice)
    if len(name.encode()) > _NAME_LIMIT:
        place.problem(".name", f"is longer than {_NAME_LIMIT} bytes", "shorten it")


def _contents(contents: str | None, place: Place) -> unitfile.UnitFile | None:
    try:
        unitfile.check_lines(contents or "")
        return unitfile.parse(contents or "")
    except ValueError as error:
        place.problem(".contents", f"is no unit file: {error}", "see systemd.syntax(7)")
        return None


def _installs(parsed: unitfile.UnitFile) -> bool:
    return any(options for name, options in parsed.sections if name == "Install")


def _instance(unit: Unit, units: Mapping[str, Unit], place: Place) -> None:
    """An enabled instance is installed by its template's [Install] section."""
    instance = _INSTANCE.fullmatch(unit.name)
    template = units.get(f"{instance['prefix']}@.service") if instance and unit.enabled else None
    if template is None or not template.contents:
        return
    try:
        parsed = unitfile.parse(template.contents)
    except ValueError:
        return  # reported where the template stands
    if not _installs(parsed):
        message = f"is enabled, and its template {template.name!r} has no [Install] section, so nothing starts it"
        place.warn(".enabled", message, "add WantedBy= under [Install] of the template")


def _dropin(dropin: Dropin, place: Place) -> None:
    if not dropin.name.endswith(".conf"):
        place.problem(".name", f"{dropin.name!r} does not end in .conf", "rename it, for example to 10-custom.conf")
    if not _DROPIN_NAME.fullmatch(dropin.name):
        place.problem(".name", f"{dropin.name!r} is no file name", "leave out slashes, newlines and NUL")
    if len(dropin.name.encode()) > _NAME_LIMIT:
        place.problem(".name", f"is longer than {_NAME_LIMIT} bytes", "shorten it")
    _contents(dropin.contents, place)
