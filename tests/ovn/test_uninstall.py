"""`nodeagent uninstall --cluster` against a real northbound database: our rows go, those of others stay."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodeagent.cli.main import main
from nodeagent.egress.difference import difference
from nodeagent.egress.rows import DROP, KUBE_OVN, LOCAL, NODEAGENT, REROUTE, rows
from nodeagent.observed.northbound import ADDRESS_SET, BFD, POLICY, PORT
from nodeagent.ovn.link import Follow, Link
from tests.fakes.api import Api
from tests.ovn.central import Database, nbctl
from tests.unit.egress.site import asked


@pytest.fixture
def link(northbound: Database) -> Link:
    """A link to a database with the rows of two gateways, of which one is ours."""
    switches = ["--", "ls-add", "inside", "--", "ls-add", "pods"]
    nbctl(northbound, "lr-add", "vpc1", *switches, "--", "lsp-add", "pods", "x1.red")
    link = Link(northbound.remote, Follow((LOCAL, REROUTE, DROP), ports=True), lambda: None, random.Random(1))
    link.start()
    link.wait(30)
    ours = asked()
    theirs = replace(ours, gateway=replace(ours.gateway, name="theirs"), bfd_port="other")
    for demand, vendor in ((ours, NODEAGENT), (theirs, KUBE_OVN)):
        with link.view() as seen:
            plan = difference(demand.gateway.key, vendor, rows(demand, vendor, seen), seen)
        link.commit(plan)
    return link


def _owners(link: Link) -> set[tuple[str, str]]:
    with link.view() as seen:
        found = [row for table in (PORT, BFD, ADDRESS_SET, POLICY) for row in seen.table(table).values()]
        return {(row.table, row.said("vendor")) for row in found}


def test_our_rows_go_and_those_of_others_stay(
    link: Link, northbound: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (empty := tmp_path / "empty.toml").touch()

    def uninstall(*words: str) -> tuple[int, dict[str, Any]]:
        flags = ["--config", str(empty), "--cluster-kubeconfig", kubeconfig, "--egress-northbound", northbound.remote]
        code = main(["uninstall", "--cluster", *words, *flags, "-o", "json"])
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return code, document

    assert len(_owners(link) - {(PORT, "")}) == 7
    with Api() as api:
        kubeconfig = api.kubeconfig(tmp_path)
        code, planned = uninstall()
        (change,) = planned["changes"]
        assert (code, change["change"], change["subject"]) == (3, "DeleteRows", "default/gw")
        code, done = uninstall("--yes", "--plan", planned["fingerprint"])
        assert (code, done["failures"]) == (0, [])
        assert uninstall()[0] == 0
    assert _owners(link) == {(PORT, ""), *((table, KUBE_OVN) for table in (BFD, ADDRESS_SET, POLICY))}
    assert nbctl(northbound, "lr-policy-list", "vpc1").count("drop") > 0
    link.close()
