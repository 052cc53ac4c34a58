"""`nodeagent egress` against a real northbound database, with objects from a file."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from nodeagent.cli.main import main
from nodeagent.egress.inventory import inventory
from nodeagent.egress.rows import DROP, LOCAL, REROUTE
from nodeagent.egress.sight import sights
from nodeagent.ovn.link import Follow, Link
from tests.ovn.central import Database, nbctl
from tests.unit.egress.site import document

KEY = "default/gw"


def objects() -> list[dict[str, Any]]:
    """The gateway of the unit tests with what it stands on, as the API has it."""
    port = {"enabled": True, "ip": "10.255.0.1,fd00:255::1"}
    subnets = {"inside": (20, "vpc1"), "pods": (10, "vpc1")}
    annotations = {"ovn.kubernetes.io/logical_router": "vpc1", "ovn.kubernetes.io/allocated": "true"}
    pod = {"namespace": "red", "name": "x1", "labels": {"app": "x"}, "annotations": annotations}
    return [
        document(),
        {"kind": "Vpc", "metadata": {"name": "vpc1"}, "spec": {"bfdPort": port}},
        *(
            {
                "kind": "Subnet",
                "metadata": {"name": name},
                "spec": {
                    "vpc": vpc,
                    "cidrBlock": f"10.{number}.0.0/24,fd00:{number}::/64",
                    "gateway": f"10.{number}.0.1,fd00:{number}::1",
                },
            }
            for name, (number, vpc) in subnets.items()
        ),
        {"kind": "Subnet", "metadata": {"name": "outside"}, "spec": {"cidrBlock": "192.0.2.0/24"}},
        {"kind": "Namespace", "metadata": {"name": "red", "labels": {"team": "a"}}},
        {"kind": "Pod", "metadata": pod, "spec": {}, "status": {"phase": "Running"}},
    ]


class Cluster:
    """A database programmed as Kube-OVN does, and a file with the objects."""

    def __init__(self, northbound: Database, folder: Path) -> None:
        self.northbound = northbound
        self.objects = folder / "objects.json"
        self.write(objects())
        nbctl(northbound, "lr-add", "vpc1", "--", "ls-add", "pods", "--", "lsp-add", "pods", "x1.red")

    def write(self, objects: list[dict[str, Any]]) -> None:
        self.objects.write_text(json.dumps({"kind": "List", "items": objects}))

    def program(self) -> None:
        link = Link(self.northbound.remote, Follow((LOCAL, REROUTE, DROP)), lambda: None, random.Random(1))
        link.start()
        link.wait(30)
        with link.view() as seen:
            (sight,) = sights(inventory(objects()), seen)
        link.commit(sight.plan)
        link.close()
        for uuid in nbctl(self.northbound, "--bare", "--columns=_uuid", "list", "BFD").split():
            nbctl(self.northbound, "set", "BFD", uuid, "status=up")

    def run(self, *words: str) -> int:
        return main([*("egress", *words), "--nb", self.northbound.remote, "--objects", str(self.objects), "-o", "json"])


@pytest.fixture
def cluster(northbound: Database, tmp_path: Path) -> Cluster:
    return Cluster(northbound, tmp_path)


def _said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


def test_a_plan_shows_all_rows_before_anything_is_touched(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert cluster.run("plan") == 3
    (plan,) = _said(capsys)["plans"]
    assert plan["gateway"] == KEY
    assert len(plan["edits"]) == 15  # four sessions, two sets, a group, eight policies
    assert nbctl(cluster.northbound, "lr-policy-list", "vpc1").count("reroute") == 0


def test_rows_that_are_right_give_nothing_to_do(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.program()
    assert cluster.run("plan") == 0
    assert _said(capsys)["plans"] == []
    assert cluster.run("diff") == 0
    assert _said(capsys) == {"findings": [], "problems": []}


def test_damage_is_told(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.program()
    nbctl(cluster.northbound, "lr-policy-del", "vpc1", "29090")
    assert cluster.run("diff", KEY) == 3
    assert {each["code"] for each in _said(capsys)["findings"]} == {"MissingDropPolicy"}


def test_rows_without_an_object_are_told(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.program()
    cluster.write(objects()[1:])
    assert cluster.run("diff") == 3
    assert {each["code"] for each in _said(capsys)["findings"]} == {"OrphanRow"}


def test_a_gateway_is_listed_with_its_sessions(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.program()
    assert cluster.run("list") == 0
    (gateway,) = _said(capsys)["gateways"]
    assert gateway["sessions"] == dict.fromkeys(("10.20.0.11", "10.20.0.12", "fd00:20::11", "fd00:20::12"), "up")
    assert [each["node"] for each in gateway["instances"]] == ["n1", "n2"]


def test_all_of_a_gateway_is_shown(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.program()
    assert cluster.run("show", KEY) == 0
    shown = _said(capsys)
    assert len(shown["rows"]) == 15
    code = main(["egress", "show", KEY, "--nb", cluster.northbound.remote, "--objects", str(cluster.objects)])
    assert code == 0
    assert "session 10.20.0.11: up" in capsys.readouterr().out


def test_a_bad_gateway_costs_no_other_one(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.program()
    bad = document(replicas=99)
    bad["metadata"] = {"namespace": "default", "name": "bad"}
    cluster.write([*objects(), bad])
    assert cluster.run("diff") == 3
    said = _said(capsys)
    assert said["findings"] == []
    assert [each["path"] for each in said["problems"]] == ["$.spec.replicas"]


def test_a_gateway_that_is_not_there_is_told(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert cluster.run("show", "default/none") == 1
    assert "there is no such egress gateway; known are: default/gw" in capsys.readouterr().err


def test_the_doctor_asks_the_database(cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "root").mkdir()
    code = main(
        ["doctor", "-o", "json", "--root", str(tmp_path / "root"), "--egress-northbound", cluster.northbound.remote]
    )
    checks = {each["name"]: each for each in _said(capsys)["checks"]}
    assert code in (0, 3)  # nothing is asked here of the machine's clock and rights
    assert checks["ovn"]["verdict"] == "ok", checks["ovn"]
