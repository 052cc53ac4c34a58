"""Sources become typed objects, or a list of everything that is wrong with them."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.errors import Rejected
from nodeagent.machineconfig.api import VERSION
from nodeagent.machineconfig.disruption import Action, ActionType
from nodeagent.machineconfig.source import Documents, load
from tests.unit.machineconfig.documents import files, ignition, machine_config, source

HEAD = f"apiVersion: {VERSION}\nkind: MachineConfig\n"


def told(*sources: tuple[str, bytes | str]) -> list[str]:
    """Every problem of the sources."""
    with pytest.raises(Rejected) as caught:
        read(*sources)
    return [str(problem) for problem in caught.value.problems]


def read(*sources: tuple[str, bytes | str]) -> Documents:
    return load((origin, data.encode() if isinstance(data, str) else data) for origin, data in sources)


def test_a_machine_config_in_yaml() -> None:
    text = f"""{HEAD}
metadata:
  name: 50-chrony
  labels:
    machineconfiguration.alauda.io/role: infra
spec:
  kernelArguments: [quiet, a=1]
  config:
    ignition: {{version: 3.4.0}}
    storage:
      files:
      - {{path: /etc/a, mode: 0o644}}
      - {{path: /etc/b, mode: 0644}}
      - {{path: /etc/c, mode: 420}}
"""
    (found,) = read(("chrony.yaml", text)).machine_configs
    assert (found.name, found.role, found.kernel_arguments) == ("50-chrony", "infra", ("quiet", "a=1"))
    assert found.object == "MachineConfig 50-chrony (chrony.yaml)"
    assert found.config is not None
    assert [file.mode for file in found.config.storage.files] == [0o644] * 3


def test_an_ignition_config_by_itself_is_named_after_its_file() -> None:
    document = json.dumps(ignition())
    origins = ("/etc/d/10-base.ign", "20 My_File_.v2..yaml", "-")
    found = read(*((origin, document) for origin in origins)).machine_configs
    assert [(one.name, one.role, one.at) for one in found] == [
        ("10-base", "worker", "$"),
        ("20-my-file.v2", "worker", "$"),
        ("stdin", "worker", "$"),
    ]


def test_lists_and_many_documents() -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [machine_config("a"), machine_config("b")]}
    text = "\n---\n".join(json.dumps(one) for one in (listed, machine_config("c")))
    assert [one.name for one in read(("x.yaml", text)).machine_configs] == ["a", "b", "c"]


def test_a_machine_config_without_config_and_without_role() -> None:
    (found,) = read(("a.yaml", f"{HEAD}metadata: {{name: a}}")).machine_configs
    assert (found.role, found.config, found.kernel_arguments) == ("worker", None, ())


def test_pools_are_passed_over_with_a_warning() -> None:
    found = read(("p.yaml", f"apiVersion: {VERSION}\nkind: MachineConfigPool\nmetadata: {{name: worker}}"))
    assert found.machine_configs == ()
    assert [str(warning) for warning in found.warnings] == [
        "p.yaml: $: a MachineConfigPool means nothing to a node by itself"
    ]


def test_unknown_keys_are_warned_of() -> None:
    document = {**machine_config("a", fips=True, kernelArgument=["x"]), "stats": {}, "meta\ndata": {}}
    assert [str(warning) for warning in load(source(document)).warnings] == [
        "MachineConfig a (a.json): $.stats: unknown key 'stats' is ignored; did you mean 'status'?",
        "MachineConfig a (a.json): $['meta\\ndata']: unknown key 'meta\\ndata' is ignored; did you mean 'metadata'?",
        "MachineConfig a (a.json): $.spec.fips: unknown key 'fips' is ignored",
        (
            "MachineConfig a (a.json): $.spec.kernelArgument: unknown key 'kernelArgument' is ignored; "
            "did you mean 'kernelArguments'?"
        ),
    ]


def test_a_disruption_policy() -> None:
    text = f"""
apiVersion: {VERSION}
kind: MachineConfiguration
metadata: {{name: cluster}}
spec:
  nodeDisruptionPolicy:
    files:
    - path: /etc/chrony.conf
      actions: [{{type: Restart, restart: {{serviceName: chronyd.service}}}}]
"""
    found = read(("policy.yaml", text)).policy
    assert found is not None
    assert found.policy.files == {"/etc/chrony.conf": (Action(ActionType.RESTART, "chronyd.service"),)}


# -- Alauda's two traps, word for word --------------------------------------------------------------------------------


def test_the_documented_mode_is_read_as_octal_and_as_a_string_it_is_explained() -> None:
    text = (
        HEAD
        + "metadata: {name: a}\nspec: {config: {ignition: {version: 3.4.0}, storage: {files: [{path: /a, mode: %s}]}}}"
    )
    (found,) = read(("a.yaml", text % "0o644")).machine_configs
    assert found.config is not None
    assert found.config.storage.files[0].mode == 420
    assert told(("a.yaml", text % "'0o644'")) == [
        (
            "MachineConfig a (a.yaml): $.spec.config.storage.files[0].mode: expected an integer, found a string; "
            "write 420 (octal 0644); YAML also takes 0o644 without quotes"
        )
    ]


def test_the_documented_user_key_is_named() -> None:
    document = machine_config("a", ignition(passwd={"users": [{"user": "boot", "sshAuthorizedKeys": ["k"]}]}))
    assert told(*source(document)) == [
        (
            "MachineConfig a (a.json): $.spec.config.passwd.users[0].user: "
            "unknown key 'user', and 'name' is missing; did you mean 'name'?"
        )
    ]


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"apiVersion": "v1", "kind": "ConfigMap"}, "$.kind: kind 'ConfigMap' is not read here"),
        ({}, "$.kind: has no kind"),
        ({"kind": ["List"], "apiVersion": []}, "$.kind: has no kind"),
        ({"apiVersion": "v1", "kind": "List"}, "$.items: is no list"),
        ({"apiVersion": "v1", "kind": "List", "items": [7]}, "$.items[0]: is no object"),
        (
            {"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "List", "items": []}]},
            "$.items[0].kind: kind 'List' is not read here",
        ),
        ({**machine_config("a"), "apiVersion": "machineconfiguration.openshift.io/v1"}, "$.apiVersion: is not"),
        ({**machine_config("a"), "metadata": {}}, "$.metadata.name: is missing"),
        ({**machine_config("a"), "metadata": []}, "$.metadata: is no object"),
        (machine_config("A_b"), "$.metadata.name: 'A_b' is no name"),
        (machine_config("a" * 254), "$.metadata.name: "),
        (machine_config("a", role="a b"), "$.metadata.labels['machineconfiguration.alauda.io/role']: 'a b' is no"),
        (machine_config("a", kernelArguments="quiet"), "$.spec.kernelArguments: expected a list, found a string"),
        (machine_config("a") | {"spec": {"config": []}}, "$.spec.config: expected an object, found a list"),
        (
            {"apiVersion": VERSION, "kind": "MachineConfiguration", "metadata": {"name": "mine"}},
            "$.metadata.name: only 'cluster' has an effect, this is 'mine'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused(document: dict[str, Any], expected: str) -> None:
    assert any(f": {expected}" in problem for problem in told(("x.json", json.dumps(document))))


def test_names_that_stand_twice_are_told_with_both_origins() -> None:
    assert told(("one.json", json.dumps(machine_config("a"))), ("two.json", json.dumps(machine_config("a")))) == [
        (
            "MachineConfig a (two.json): $.metadata.name: there is another MachineConfig 'a', in one.json; "
            "rename one of them, or remove it"
        )
    ]


def test_a_file_whose_name_cannot_become_one() -> None:
    (problem,) = told(("/etc/___.ign", json.dumps(ignition())))
    assert problem.startswith("/etc/___.ign: its file's name is no name for a MachineConfig")


def test_all_problems_over_all_sources_at_once() -> None:
    broken = machine_config(
        "a", ignition(**files({"path": "x", "mode": "0644"}, {"path": "y"}), systemd={"units": [{}]})
    )
    invalid = machine_config("b", ignition(**files({"path": "z"})))
    problems = told(*source(broken, invalid), ("c.yaml", b"\xff"), ("d.yaml", ""))
    assert [problem.partition(";")[0] for problem in problems] == [
        "MachineConfig a (a.json): $.spec.config.storage.files[0].mode: expected an integer, found a string",
        "MachineConfig a (a.json): $.spec.config.storage.files[1].path: 'y' is not absolute",
        "MachineConfig a (a.json): $.spec.config.systemd.units[0].name: is missing",
        "MachineConfig b (b.json): $.spec.config.storage.files[0].path: 'z' is not absolute",
        "c.yaml: line 1 is not UTF-8 (byte 0xff)",
        "d.yaml: holds no document",
    ]


def test_a_place_in_a_list_is_told() -> None:
    items = [machine_config("a"), machine_config("b", ignition(**files({"path": "/a", "mode": 1.5})))]
    assert told(("x.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))) == [
        (
            "MachineConfig b (x.json): $.items[1].spec.config.storage.files[0].mode: "
            "expected an integer, found a fractional number"
        )
    ]


_HEAD_SCRAPS = ("apiVersion", "kind", "metadata", "items", "name", "labels", "List", "v1", VERSION, "MachineConfig")
_SPEC_SCRAPS = ("spec", "config", "ignition", "version", "3.4.0", "nodeDisruptionPolicy", "files", "actions", "a")
SCRAPS = st.sampled_from([*_HEAD_SCRAPS, *_SPEC_SCRAPS])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | SCRAPS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCRAPS, inner, max_size=4),
    max_leaves=14,
)
OBJECTS = st.fixed_dictionaries(
    {"apiVersion": st.just(VERSION), "kind": st.sampled_from(["MachineConfig", "MachineConfiguration", "List"])},
    optional={"metadata": JSON, "spec": JSON, "items": JSON},
)


@given(st.binary(max_size=60) | (JSON | OBJECTS).map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_rejected(data: bytes) -> None:
    with suppress(Rejected):
        assert isinstance(load([("a.yaml", data)]), Documents)
