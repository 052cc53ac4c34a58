"""The actions after a change: which, in what order, and what a policy document may say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.errors import Rejected
from nodeagent.machineconfig.disruption import (
    NOTHING,
    REBOOT,
    Action,
    Actions,
    ActionType,
    Changed,
    Policy,
    action_for_file,
    action_for_unit,
    actions,
    settle,
)
from nodeagent.machineconfig.ignition.findings import Findings
from nodeagent.machineconfig.policydocument import document_of, from_document, policy_of
from tests import vectors

RELOAD = Action(ActionType.DAEMON_RELOAD)


def restart(service: str) -> Action:
    return Action(ActionType.RESTART, service)


def read(spec: Any) -> tuple[Policy, list[str]]:
    """The policy of a MachineConfiguration's spec and what is wrong with it."""
    findings = Findings()
    policy = policy_of(spec, findings.at(""))
    return policy, [f"{finding.path}: {finding.message}" for finding in findings.found]


def written(action: dict[str, Any]) -> Action:
    service = action.get("restart") or action.get("reload") or {}
    return Action(ActionType(action["type"]), service.get("serviceName", ""))


@vectors.parametrize("disruption")
def test_agrees_with_the_peer(vector: dict[str, Any]) -> None:
    policy, problems = read({"nodeDisruptionPolicy": vector["policies"]})
    assert problems == []
    changes = vector["changes"]
    changed = Changed(
        tuple(changes.get("files", ())),
        tuple(changes.get("units", ())),
        changes.get("ssh", False),
        changes.get("kernelArguments", False),
        vector["forcefile"],
    )
    expected = tuple(written(action) for action in vector["expected"])
    assert actions(changed, replace(policy, default_files=REBOOT)) == expected  # the peer's default, not Alauda's


def test_the_defaults_are_alauda_s() -> None:
    assert actions(Changed(files=("/etc/a",), ssh=True), Policy()) == NOTHING
    assert actions(Changed(units=("a.service",)), Policy()) == REBOOT


def test_the_closest_directory_decides() -> None:
    policy = Policy({"/": (RELOAD,), "/etc": NOTHING, "/etc/a": (restart("a.service"),)}, default_files=REBOOT)
    assert action_for_file("/etc/a", policy) == (restart("a.service"),)
    assert action_for_file("/etc/a/b/c", policy) == (restart("a.service"),)
    assert action_for_file("/etc/ab", policy) == NOTHING
    assert action_for_file("/usr/x", policy) == (RELOAD,)
    assert action_for_file("/usr/x", Policy({"/etc": NOTHING}, default_files=REBOOT)) == REBOOT


def test_units_go_by_their_exact_name() -> None:
    policy = Policy(units={"a.service": (RELOAD,)})
    assert action_for_unit("a.service", policy) == (RELOAD,)
    assert action_for_unit("b.service", policy) == REBOOT


def test_order_and_repeats() -> None:
    asked = (
        restart("b.service"),
        Action(ActionType.RELOAD, "z.service"),
        restart("a.service"),
        Action(ActionType.NONE),
        Action(ActionType.DRAIN),
        RELOAD,
        RELOAD,
    )
    assert [str(action) for action in settle(asked)] == [
        "Drain",
        "DaemonReload",
        "Reload z.service",
        "Restart a.service",
        "Restart b.service",
    ]


ACTIONS = st.sampled_from(ActionType).flatmap(
    lambda kind: (
        st.builds(Action, st.just(kind), st.sampled_from(["a.service", "b.service"]))
        if kind in (ActionType.RELOAD, ActionType.RESTART)
        else st.just(Action(kind))
    )
)


@given(st.lists(ACTIONS, max_size=6), st.randoms(use_true_random=False))
def test_settling_depends_on_what_is_asked_and_not_on_its_order(asked: list[Action], random: Any) -> None:
    settled = settle(asked)
    random.shuffle(asked)
    assert settle(asked) == settled == settle(settled)
    assert (settled == REBOOT) == (REBOOT[0] in asked)


def _lists(alone: st.SearchStrategy[Action]) -> st.SearchStrategy[Actions]:
    several = st.lists(ACTIONS.filter(lambda action: action not in (*NOTHING, *REBOOT)), min_size=1, max_size=3)
    return alone.map(lambda action: (action,)) | several.map(tuple)


LISTS = _lists(st.sampled_from([*NOTHING, *REBOOT]))


@given(
    st.builds(
        Policy,
        st.dictionaries(st.sampled_from(["/", "/etc", "/etc/a b"]), LISTS),
        st.dictionaries(st.sampled_from(["a.service", "b.mount"]), LISTS),
        LISTS,
        LISTS,
        LISTS,
    )
)
def test_a_policy_survives_its_document(policy: Policy) -> None:
    assert from_document(document_of(policy)) == policy


def test_the_default_policy_needs_no_document() -> None:
    assert document_of(Policy()) is None
    assert from_document(None) == Policy()


def test_a_damaged_document_is_rejected() -> None:
    with pytest.raises(Rejected, match=r"\$\.spec: expected an object"):
        from_document({"spec": []})


def test_services() -> None:
    policy = Policy({"/a": (restart("a.service"), RELOAD)}, sshkey=(Action(ActionType.RELOAD, "s.service"),))
    assert policy.services() == {"a.service", "s.service"}


def entry(*listed: dict[str, Any], path: str = "/etc/a") -> dict[str, Any]:
    return {"nodeDisruptionPolicy": {"files": [{"path": path, "actions": list(listed)}]}}


NONE = {"type": "None"}
ACTION = ".nodeDisruptionPolicy.files[0].actions"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (entry({"type": "Special"}), f"{ACTION}[0].type: 'Special' is no action"),
        (entry({"type": "Restart"}), f"{ACTION}[0].restart: is missing"),
        (entry({"type": "None", "reload": {"serviceName": "a.service"}}), f"{ACTION}[0].reload: does not belong to"),
        (
            entry({"type": "Reload", "reload": {"serviceName": "a b.service"}}),
            f"{ACTION}[0].reload.serviceName: 'a b.service' is no name",
        ),
        (
            entry({"type": "Reload", "reload": {"serviceName": "a" * 256 + ".service"}}),
            f"{ACTION}[0].reload.serviceName: is longer than 255",
        ),
        (
            entry({"type": "Restart", "restart": {"name": "a.service"}}),
            f"{ACTION}[0].restart.name: unknown key 'name', and 'serviceName' is missing",
        ),
        (entry({"type": "Reboot"}, {"type": "Drain"}), f"{ACTION}: Reboot must stand alone"),
        (entry(NONE, NONE), f"{ACTION}: None must stand alone"),
        (entry(*[{"type": "Drain"}] * 11), f"{ACTION}: has 11 entries, and 10 are allowed"),
        (entry(NONE, path="etc/a"), ".nodeDisruptionPolicy.files[0].path: 'etc/a' is no absolute path"),
        ({"nodeDisruptionPolicy": {"files": [{"path": "/a"}]}}, f"{ACTION}: is missing"),
        (
            {"nodeDisruptionPolicy": {"files": [{"path": "/a", "actions": []}, {"path": "/a/", "actions": []}]}},
            ".nodeDisruptionPolicy.files[1].path: '/a' has an entry already",
        ),
        (
            {"nodeDisruptionPolicy": {"units": [{"name": f"a{n}.service", "actions": []} for n in range(51)]}},
            ".nodeDisruptionPolicy.units: has 51 entries, and 50 are allowed",
        ),
        (
            {"nodeDisruptionPolicy": {"units": [{"name": "a.nothing", "actions": []}]}},
            ".nodeDisruptionPolicy.units[0].name: 'a.nothing' is no name of a unit that the API accepts",
        ),
        ({"nodeDisruptionPolicy": {"sshkey": {}}}, ".nodeDisruptionPolicy.sshkey.actions: is missing"),
        (
            {"defaultNodeDisruptionPolicySpecAction": {"files": []}},
            ".defaultNodeDisruptionPolicySpecAction.units: is missing",
        ),
        ([], ": expected an object, found a list"),
    ],
    ids=lambda value: value[-40:] if isinstance(value, str) else "",
)
def test_what_the_api_refuses(spec: Any, expected: str) -> None:
    _, problems = read(spec)
    assert any(problem.startswith(expected) for problem in problems), problems


def test_a_whole_spec() -> None:
    policy, problems = read(
        {
            "nodeDisruptionPolicy": {
                "files": [{"path": "/etc/dir/", "actions": [{"type": "DaemonReload"}]}, {"path": "/", "actions": []}],
                "units": [
                    {"name": "a.service", "actions": [{"type": "Reload", "reload": {"serviceName": "a.service"}}]}
                ],
                "sshkey": {"actions": [{"type": "Drain"}]},
            },
            "defaultNodeDisruptionPolicySpecAction": {"files": [{"type": "Reboot"}], "units": []},
        }
    )
    assert problems == []
    assert policy == Policy(
        {"/etc/dir": (RELOAD,), "/": NOTHING},
        {"a.service": (Action(ActionType.RELOAD, "a.service"),)},
        (Action(ActionType.DRAIN),),
        REBOOT,
        REBOOT,
    )
