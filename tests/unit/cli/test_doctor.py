"""`nodeagent doctor` as an administrator types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeagent.agent import doctor
from nodeagent.doctor.check import Check, Verdict
from nodeagent.settings import Settings
from tests.unit.cli.conftest import Node

NAMES = [
    "privileges",
    "mounts",
    "fanotify",
    "rename",
    "systemd",
    "api",
    "ovn",
    "keepalived",
    "clock",
    "disk",
]


def test_every_aspect_has_a_check_and_the_code_follows_the_verdicts(node: Node) -> None:
    done = node("doctor", "-o", "json")
    checks = done.json["checks"]
    assert [each["name"] for each in checks] == NAMES
    assert all(each.keys() == {"name", "verdict", "explanation", "advice"} for each in checks)
    verdicts = {each["verdict"] for each in checks}
    assert verdicts <= {"ok", "warning", "failed", "not applicable"}
    assert done.code == (3 if verdicts & {"warning", "failed"} else 0)
    assert all(bool(each["advice"]) is (each["verdict"] in ("warning", "failed")) for each in checks)


def test_what_is_not_set_up_does_not_apply(node: Node) -> None:
    checks = {each["name"]: each["verdict"] for each in node("doctor", "-o", "json").json["checks"]}
    assert {checks[name] for name in ("systemd", "api", "ovn", "keepalived")} == {"not applicable"}


def test_it_leaves_the_node_alone(node: Node) -> None:
    node.declare("50", "")
    (node.root / "var/lib/nodeagent").mkdir(parents=True, mode=0o700)
    before = sorted(map(str, node.root.rglob("*")))
    node("doctor")
    assert sorted(map(str, node.root.rglob("*"))) == before


def test_a_cluster_that_cannot_be_reached_is_a_finding_with_advice(node: Node, tmp_path: Path) -> None:
    done = node("doctor", "--cluster-enabled", "--cluster-kubeconfig", tmp_path / "none")
    assert done.code == 3
    assert "no credentials for the API server" in done.out
    assert "-> see cluster.kubeconfig" in done.out


def test_settings_that_are_wrong_are_an_error(node: Node) -> None:
    assert node("doctor", "--node-name", "a b").code == 1
    assert node("doctor", "--nonsense").code == 2


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (("ok", "not applicable"), 0),
        (("ok", "warning"), 3),
        (("failed", "ok"), 3),
    ],
)
def test_codes(node: Node, monkeypatch: pytest.MonkeyPatch, verdicts: tuple[str, ...], code: int) -> None:
    def found(_: Settings) -> tuple[Check, ...]:
        return tuple(Check(f"c{each}", Verdict(each), "why", "") for each in verdicts)

    monkeypatch.setattr(doctor, "diagnosis", found)
    assert node("doctor").code == code
