"""Between MachineConfiguration documents and disruption policies, with the limits that the API sets.

Source: the CustomResourceDefinition of machineconfigurations.machineconfiguration.alauda.io, v1alpha1.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nodeagent.errors import Rejected
from nodeagent.machineconfig import api
from nodeagent.machineconfig.disruption import NOTHING, Action, Actions, ActionType, Policy
from nodeagent.machineconfig.ignition import codec
from nodeagent.machineconfig.ignition.findings import Findings, Place
from nodeagent.machineconfig.ignition.systemd import SUFFIXES

NAME: Final = "cluster"

_ACTION_LIMIT: Final = 10
_ENTRY_LIMIT: Final = 50
_EFFECTIVE_LIMIT: Final = 100  # entries of a status, which holds the controller's own beside those of the spec
_NAME_LIMIT: Final = 255  # characters
_SERVICE: Final = re.compile(rf"[a-zA-Z0-9:._\\-]+\.(?:{'|'.join(SUFFIXES)})")
_WITH_SERVICE: Final = (ActionType.RELOAD, ActionType.RESTART)


def policy_of(spec: object, place: Place, most: int = _ENTRY_LIMIT) -> Policy:
    """The policy that a MachineConfiguration's spec asks for; what is wrong with it is found, and left out."""
    read = codec.read(api.MachineConfigurationSpec, {} if spec is None else spec, place)
    if read is None:
        return Policy()
    declared, below = read.node_disruption_policy, place.at(".nodeDisruptionPolicy")
    files, units = _files(declared.files, below.at(".files"), most), _units(declared.units, below.at(".units"), most)
    sshkey = _key(declared.sshkey, below.at(".sshkey"))
    defaults = read.default_actions
    if defaults is None:
        return Policy(files, units, sshkey)
    at = place.at(".defaultNodeDisruptionPolicySpecAction")
    default_files = _required(defaults.files, at.at(".files"), NOTHING)
    default_units = _required(defaults.units, at.at(".units"), Policy().default_units)
    return Policy(files, units, sshkey, default_files, default_units)


def from_document(document: Mapping[str, Any] | None) -> Policy:
    """The policy of a document that `document_of` made; None is the default policy. Rejected if it is damaged."""
    return Policy() if document is None else _read(document.get("spec"), _ENTRY_LIMIT)


def effective(document: Mapping[str, Any] | None) -> Policy:
    """The policy that holds in a cluster: what the controller put into the object's status, else what its spec says.

    The status has no place for the default actions; they are always the spec's. Rejected with every problem.
    """
    if document is None:
        return Policy()
    spec = document.get("spec") or {}
    status = (document.get("status") or {}).get("nodeDisruptionPolicyStatus") or {}
    if (clusterwide := status.get("clusterPolicies")) is not None:
        spec = {**spec, "nodeDisruptionPolicy": clusterwide}
    return _read(spec, _EFFECTIVE_LIMIT)


def _read(spec: object, most: int) -> Policy:
    findings = Findings()
    policy = policy_of(spec, findings.at(".spec"), most)
    problems, _ = findings.split(f"{api.MACHINE_CONFIGURATION} {NAME}", "$")
    if problems:
        raise Rejected(problems)
    return policy


def document_of(policy: Policy) -> dict[str, Any] | None:
    """The MachineConfiguration document that asks for `policy`; None for the default policy."""
    if policy == Policy():
        return None
    spec = api.MachineConfigurationSpec(
        api.NodeDisruptionPolicy(
            tuple(api.FilePolicy(path, _written(actions)) for path, actions in policy.files.items()),
            tuple(api.UnitPolicy(name, _written(actions)) for name, actions in policy.units.items()),
            api.KeyPolicy(_written(policy.sshkey)),
        ),
        api.DefaultActions(_written(policy.default_files), _written(policy.default_units)),
    )
    head = {"apiVersion": api.VERSION, "kind": api.MACHINE_CONFIGURATION, "metadata": {"name": NAME}}
    return {**head, "spec": codec.encode(spec)}


def _written(actions: Actions) -> tuple[api.PolicyAction, ...]:
    return tuple(_write(action) for action in actions)


def _write(action: Action) -> api.PolicyAction:
    match action.type:
        case ActionType.RELOAD:
            return api.PolicyAction(action.type, reload=api.Service(action.service))
        case ActionType.RESTART:
            return api.PolicyAction(action.type, restart=api.Service(action.service))
        case _:
            return api.PolicyAction(action.type)


def _files(entries: Sequence[api.FilePolicy], place: Place, most: int) -> dict[str, Actions]:
    _limit(entries, most, place)
    policy: dict[str, Actions] = {}
    for index, entry in enumerate(entries):
        at = place.at(f"[{index}]")
        path = entry.path.rstrip("/") or "/"
        if not entry.path.startswith("/") or posixpath.normpath(path) != path:
            at.problem(".path", f"{entry.path!r} is no absolute path in its simplest form", "write /etc/…")
        _add(policy, path, _required(entry.actions, at.at(".actions"), NOTHING), at.at(".path"))
    return policy


def _units(entries: Sequence[api.UnitPolicy], place: Place, most: int) -> dict[str, Actions]:
    _limit(entries, most, place)
    policy: dict[str, Actions] = {}
    for index, entry in enumerate(entries):
        at = place.at(f"[{index}]")
        _unit_name(entry.name, at.at(".name"))
        _add(policy, entry.name, _required(entry.actions, at.at(".actions"), NOTHING), at.at(".name"))
    return policy


def _key(entry: api.KeyPolicy | None, place: Place) -> Actions:
    return NOTHING if entry is None else _required(entry.actions, place.at(".actions"), NOTHING)


def _add(policy: dict[str, Actions], key: str, actions: Actions, place: Place) -> None:
    if key in policy:
        place.problem("", f"{key!r} has an entry already", "remove one of them")
    policy[key] = actions


def _limit(entries: Sequence[object], most: int, place: Place) -> None:
    if len(entries) > most:
        place.problem("", f"has {len(entries)} entries, and {most} are allowed", "shorten the list")


def _required(entries: Sequence[api.PolicyAction] | None, place: Place, otherwise: Actions) -> Actions:
    if entries is None:
        place.problem("", "is missing", "list the actions; None stands for no action")
    return _actions(entries or (), place) or otherwise


def _actions(entries: Sequence[api.PolicyAction], place: Place) -> Actions:
    _limit(entries, _ACTION_LIMIT, place)
    for alone in (ActionType.REBOOT, ActionType.NONE):
        if len(entries) > 1 and any(entry.type == alone for entry in entries):
            place.problem("", f"{alone} must stand alone", "remove it, or the other actions")
    read = (_action(entry, place.at(f"[{index}]")) for index, entry in enumerate(entries))
    return tuple(action for action in read if action is not None)


def _action(entry: api.PolicyAction, place: Place) -> Action | None:
    try:
        kind = ActionType(entry.type)
    except ValueError:
        place.problem(".type", f"{entry.type!r} is no action", f"write one of {', '.join(ActionType)}")
        return None
    service = ""
    for wanted, declared in ((ActionType.RELOAD, entry.reload), (ActionType.RESTART, entry.restart)):
        key = wanted.lower()
        if kind is wanted and declared is None:
            place.problem(f".{key}", "is missing", f"write {key}: {{serviceName: …}}")
        elif kind is not wanted and declared is not None:
            place.problem(f".{key}", f"does not belong to {kind}", "remove it, or change the type")
        elif declared is not None:
            _unit_name(declared.service_name, place.at(f".{key}.serviceName"))
            service = declared.service_name
    return Action(kind, service)


def _unit_name(name: str, place: Place) -> None:
    if not name:
        place.problem("", "is missing", "give the unit's full name, such as chronyd.service")
    elif not _SERVICE.fullmatch(name):
        advice = f"write letters, digits and : - _ . \\ followed by one of {', '.join(SUFFIXES)}"
        place.problem("", f"{name!r} is no name of a unit that the API accepts", advice)
    elif len(name) > _NAME_LIMIT:
        place.problem("", f"is longer than {_NAME_LIMIT} characters", "shorten it")
