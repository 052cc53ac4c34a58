"""What to do about drift, by path.

Invariant: a rule's glob is absolute and holds no character that its text form needs ('=' and ',').
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from nodeagent.settings.kinds import SettingError, quoted


class DriftAction(StrEnum):
    """What to do about drift of a path: report it, restore it and record that, or say nothing."""

    ALERT = "alert"
    REMEDIATE = "remediate"
    IGNORE = "ignore"


@dataclass(frozen=True)
class DriftRule:
    """Drift of a path that matches the glob `path` leads to `action`."""

    path: str
    action: DriftAction


class DriftPolicy:
    """Rules by path glob; the first that matches decides."""

    form = 'array of tables {path, action}, or as text "GLOB=ACTION,..."; action is alert | remediate | ignore'

    def parse(self, text: str) -> tuple[DriftRule, ...]:
        pairs = [part.partition("=") for part in text.split(",")] if text else []
        return tuple(_rule(path.strip(), action.strip()) for path, _, action in pairs)

    def native(self, value: object) -> tuple[DriftRule, ...]:
        if not isinstance(value, list):
            raise SettingError(f"{quoted(value)} is not an array of tables")
        return tuple(map(_rule_of_table, value))

    def show(self, value: tuple[DriftRule, ...]) -> str:
        return ",".join(f"{rule.path}={rule.action}" for rule in value)

    def plain(self, value: tuple[DriftRule, ...]) -> list[dict[str, str]]:
        return [{"path": rule.path, "action": str(rule.action)} for rule in value]


def _rule_of_table(table: object) -> DriftRule:
    if not isinstance(table, Mapping) or set(table) != {"path", "action"}:
        raise SettingError(f"{quoted(table)} is not a table of path and action")
    return _rule(table["path"], table["action"])


def _rule(path: object, action: object) -> DriftRule:
    if not isinstance(path, str) or not _is_glob(path):
        raise SettingError(f"{quoted(path)} is not an absolute glob (printable, without '=' and ',')")
    if not isinstance(action, str) or action not in set(DriftAction):
        raise SettingError(f"{quoted(action)} is none of {', '.join(DriftAction)}")
    return DriftRule(path, DriftAction(action))


def _is_glob(path: str) -> bool:
    return path.startswith("/") and path == path.strip() and path.isprintable() and not {"=", ","} & set(path)
