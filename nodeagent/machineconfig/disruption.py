"""What has to happen on a node once its configuration has changed: the disruption policy. Pure.

A Reboot wins over everything else, None counts for nothing beside another action, no action stands twice, and the order
is always the same: Drain, DaemonReload, Reload, Restart, services by name. Kernel arguments and a forced apply always
reboot. Where nothing else is said, changed files and SSH keys ask for nothing and changed units for a reboot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class ActionType(StrEnum):
    """The actions of nodeDisruptionPolicy."""

    NONE = "None"
    DRAIN = "Drain"
    DAEMON_RELOAD = "DaemonReload"
    RELOAD = "Reload"
    RESTART = "Restart"
    REBOOT = "Reboot"


_ORDER: Final = tuple(ActionType)


@dataclass(frozen=True, slots=True)
class Action:
    """One action; `service` is the unit that a Reload or Restart is for."""

    type: ActionType
    service: str = ""

    def __str__(self) -> str:
        return f"{self.type} {self.service}" if self.service else str(self.type)


Actions = tuple[Action, ...]

NOTHING: Final[Actions] = (Action(ActionType.NONE),)
REBOOT: Final[Actions] = (Action(ActionType.REBOOT),)


@dataclass(frozen=True)
class Policy:
    """Actions by file or directory path and by unit name, and what holds for the rest. The defaults are Alauda's."""

    files: Mapping[str, Actions] = field(default_factory=dict)
    units: Mapping[str, Actions] = field(default_factory=dict)
    sshkey: Actions = NOTHING
    default_files: Actions = NOTHING
    default_units: Actions = REBOOT

    def services(self) -> frozenset[str]:
        """Every unit that the policy may reload or restart."""
        lists = (*self.files.values(), *self.units.values(), self.sshkey, self.default_files, self.default_units)
        return frozenset(action.service for actions in lists for action in actions if action.service)


@dataclass(frozen=True, slots=True)
class Changed:
    """What an update changes: paths of files, names of units, and whether anything else does."""

    files: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    ssh: bool = False
    kernel_arguments: bool = False
    force: bool = False


def actions(changed: Changed, policy: Policy) -> Actions:
    """What has to happen after `changed`; (None,) if nothing has to."""
    if changed.kernel_arguments or changed.force:
        return REBOOT
    return settle(_asked(changed, policy))


def action_for_file(path: str, policy: Policy) -> Actions:
    """What a change of one file asks for: the policy of the path, or else of its closest directory that has one."""
    for closest in (path, *_above(path)) if policy.files else ():
        if closest in policy.files:
            return policy.files[closest]
    return policy.default_files


def _above(path: str) -> Iterator[str]:
    """The directories above an absolute path, nearest first."""
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        yield path


def action_for_unit(name: str, policy: Policy) -> Actions:
    """What a change of one unit, or of a dropin of it, asks for."""
    return policy.units.get(name, policy.default_units)


def settle(asked: Iterable[Action]) -> Actions:
    """The actions to take where all of `asked` are asked for."""
    wanted = {action for action in asked if action.type is not ActionType.NONE}
    if any(action.type is ActionType.REBOOT for action in wanted):
        return REBOOT
    return tuple(sorted(wanted, key=lambda action: (_ORDER.index(action.type), action.service))) or NOTHING


def _asked(changed: Changed, policy: Policy) -> Iterator[Action]:
    for path in changed.files:
        yield from action_for_file(path, policy)
    for name in changed.units:
        yield from action_for_unit(name, policy)
    if changed.ssh:
        yield from policy.sshkey
