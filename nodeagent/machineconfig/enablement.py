"""What `systemctl enable` and `systemctl preset` would do, worked out from texts alone.

Invariant: the same texts give the same links in the same order, whatever node this runs on. A setting that
only a node could answer (a specifier such as %H) is a problem, never a guess. Sources: systemd.unit(5),
"[INSTALL] SECTION OPTIONS" and "SPECIFIERS"; systemd.preset(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from nodeagent.machineconfig.unitfile import UnitFile, parse

UNIT_DIRECTORY = "/etc/systemd/system"

# Option of [Install] -> suffix of the directory that its links go to. UpheldBy= is known since systemd 254.
_DEPENDENCIES = {"WantedBy": ".wants", "RequiredBy": ".requires", "UpheldBy": ".upholds"}
_NAME = re.compile(
    r"(?=.{1,255}\Z)(?P<prefix>[A-Za-z0-9:_.\\-]+)(?P<at>@(?P<instance>[A-Za-z0-9:_.\\@-]*))?"
    r"\.(?P<type>service|socket|target|device|mount|automount|swap|timer|path|slice|scope)\Z"
)
_ALIASED = frozenset({"service", "socket", "target", "device", "timer", "path"})  # types that may have an alias
_WORD = re.compile(r"\"([^\"]*)\"|'([^']*)'|(\S+)")
_SPECIFIER = re.compile(r"%(.?)")


@dataclass(frozen=True, order=True)
class InstallLink:
    """A symbolic link that enables a unit: absolute `path`, and the unit file that it points to."""

    path: str
    target: str


@dataclass(frozen=True)
class Install:
    """What enabling one unit makes: its links, the units to enable with it, and what systemd would refuse."""

    links: tuple[InstallLink, ...] = ()
    also: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Preset(StrEnum):
    """What a preset file says of a unit: systemd.preset(5)."""

    ENABLE = "enable"
    DISABLE = "disable"
    IGNORE = "ignore"


@dataclass(frozen=True)
class _Name:
    """A unit name in its parts; `instance` is None for a plain unit and "" for a template."""

    full: str
    prefix: str
    instance: str | None
    type: str

    @classmethod
    def parse(cls, name: str) -> _Name | None:
        match = _NAME.match(name)
        if match is None:
            return None
        return cls(name, match["prefix"], match["instance"] if match["at"] else None, match["type"])

    @property
    def is_template(self) -> bool:
        return self.instance == ""

    @property
    def is_instance(self) -> bool:
        return bool(self.instance)

    def instantiate(self, instance: str) -> _Name:
        return _Name(f"{self.prefix}@{instance}.{self.type}", self.prefix, instance, self.type)


def template_of(name: str) -> str | None:
    """`x@.service` for `x@any.service`; None for a unit that comes of no template."""
    unit = _Name.parse(name)
    return unit.instantiate("").full if unit and unit.is_instance else None


def install(name: str, text: str, path: str, dropins: Iterable[str] = ()) -> Install:
    """What `systemctl enable NAME` would make of the unit file `text`, which stands at `path`.

    `name` may be an instance of the template at `path`; `dropins` are the texts of its dropins, in order.
    Links are sorted. ValueError if a text cannot be parsed.
    """
    unit = _Name.parse(name)
    if unit is None:
        return Install(problems=(f'"{name}" is not the name of a unit',))
    return _Installer(unit, parse("\n".join((text, *dropins))), path).install()


class _Installer:
    """One unit on its way to being enabled: as it was asked for, and the instance of it that gets enabled."""

    def __init__(self, unit: _Name, file: UnitFile, path: str) -> None:
        self._file = file
        self._path = path
        self._links: set[InstallLink] = set()
        self._problems: list[str] = []
        self._asked = self._unit = unit
        default = self._words("DefaultInstance")
        if default and unit.is_template:
            self._unit = unit.instantiate(default[-1])

    def install(self) -> Install:
        for alias in self._words("Alias"):
            self._alias(alias)
        for option, suffix in _DEPENDENCIES.items():
            for needer in self._words(option):
                self._depend(needer, suffix)
        return Install(tuple(sorted(self._links)), tuple(self._words("Also")), tuple(self._problems))

    def _alias(self, alias: str) -> None:
        other = _Name.parse(alias)
        if other is not None and other.is_template and self._asked.instance:
            other = other.instantiate(self._asked.instance)
        if other is None or not self._may_be_called(other):
            self._problems.append(f'Alias=: {self._asked.full} cannot have the alias "{alias}"')
        elif other.full != self._asked.full:
            self._link(other.full)

    def _may_be_called(self, other: _Name) -> bool:
        """An alias has the same type and is of the same kind: plain, template, or the same instance."""
        unit = self._asked
        if other.type != unit.type or unit.type not in _ALIASED:
            return False
        return other.instance == unit.instance or (other.is_instance and unit.is_template)

    def _depend(self, needer: str, suffix: str) -> None:
        other = _Name.parse(needer)
        if other is None:
            self._problems.append(f'[Install]: "{needer}" is not the name of a unit')
        elif self._unit.is_template and other.instance is None:
            self._problems.append(
                f"[Install]: {needer} cannot need the template {self._unit.full}: enable an instance of it, "
                f"or give it DefaultInstance="
            )
        else:
            self._link(f"{other.full}{suffix}/{self._unit.full}")

    def _link(self, below: str) -> None:
        self._links.add(InstallLink(f"{UNIT_DIRECTORY}/{below}", self._path))

    def _words(self, option: str) -> list[str]:
        """The words of a list option, specifiers expanded; a word that cannot be expanded is a problem."""
        return [
            word for value in self._file.values("Install", option) for word in map(self._expand, _split(value)) if word
        ]

    def _expand(self, word: str) -> str:
        known = _specifiers(self._unit)
        unknown = {name for name in _SPECIFIER.findall(word) if name not in known}
        if unknown:
            named = ", ".join(f"%{name}" for name in sorted(unknown))
            self._problems.append(f'[Install]: "{word}" has {named}, which cannot be known before systemd runs')
            return ""
        return _SPECIFIER.sub(lambda match: known[match[1]], word)


def _specifiers(unit: _Name) -> dict[str, str]:
    """What the specifiers stand for that mean the same on every node: systemd.unit(5), "SPECIFIERS"."""
    return {
        "n": unit.full,
        "N": unit.full.rpartition(".")[0],
        "p": unit.prefix,
        "i": unit.instance or "",
        "j": unit.prefix.rpartition("-")[2],
        "u": "root",
        "U": "0",
        "g": "root",
        "G": "0",
        "%": "%",
    }


def _split(value: str) -> list[str]:
    """Words as systemd splits them: by blanks, with quotes; a backslash stands for itself."""
    return [double or single or bare for double, single, bare in _WORD.findall(value)]


@dataclass(frozen=True)
class _Rule:
    preset: Preset
    pattern: str
    instances: tuple[str, ...] = ()

    def matches(self, unit: str) -> bool:
        return self._names_instance_of(unit) or fnmatchcase(unit, self.pattern.replace("[^", "[!"))

    def _names_instance_of(self, unit: str) -> bool:
        name = _Name.parse(unit)
        return name is not None and self.pattern == template_of(unit) and name.instance in self.instances


@dataclass(frozen=True)
class Presets:
    """The preset rules of a node, in the order that they are tried."""

    _rules: tuple[_Rule, ...] = ()

    def verdict(self, unit: str) -> Preset:
        """The first matching rule decides; a unit that no rule matches is to be enabled."""
        return next((rule.preset for rule in self._rules if rule.matches(unit)), Preset.ENABLE)

    def instances(self, template: str) -> tuple[str, ...]:
        """The instances of `template` that its rule names (`enable x@.service one two`); () if none."""
        rule = next((rule for rule in self._rules if rule.matches(template)), None)
        unit = _Name.parse(template)
        if rule is None or unit is None or rule.pattern != template:
            return ()
        return tuple(unit.instantiate(instance).full for instance in rule.instances)


def parse_presets(files: Iterable[tuple[str, str]]) -> Presets:
    """The rules of all preset files, given as (path, text) with the strongest directory first.

    A file hides those of the same name in weaker directories, also when it is empty. Lines that systemd would
    ignore are ignored.
    """
    by_name: dict[str, str] = {}
    for path, text in files:
        name = path.rpartition("/")[2]
        if name.endswith(".preset"):
            by_name.setdefault(name, text)
    return Presets(tuple(rule for name in sorted(by_name, key=str.encode) for rule in _rules(by_name[name])))


def _rules(text: str) -> Iterator[_Rule]:
    for line in text.splitlines():
        match line.split(maxsplit=1):
            case [verb, pattern] if verb in set(Preset):
                yield _rule(Preset(verb), pattern.strip())


def _rule(preset: Preset, pattern: str) -> _Rule:
    if preset is not Preset.ENABLE:
        return _Rule(preset, pattern)
    unit, *instances = pattern.split()
    return _Rule(preset, unit, tuple(instances))
