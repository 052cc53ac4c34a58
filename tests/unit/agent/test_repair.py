"""What is in the way of the kubelet's own rotation is put right: on a scratch root, by the real engine."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeagent import agent
from nodeagent.agent.certificates import inspector_of
from nodeagent.agent.rotation import Proposal, Rotation
from nodeagent.certs.contents import contents
from nodeagent.certs.kubeconfig import kubeconfig
from nodeagent.certs.renewal import Wanted
from nodeagent.changes.units import RestartUnit
from nodeagent.engine.executor import Progress, Result
from nodeagent.engine.handover import Handover
from nodeagent.errors import Rejected
from nodeagent.settings.model import build
from tests.unit.certs.authority import DAY, NOW, Pair, cluster_ca, issue
from tests.unit.certs.scratch import Scratch, read_yaml

KUBELET = "/var/lib/kubelet/pki"
CURRENT = f"{KUBELET}/kubelet-client-current.pem"
CONF = "/etc/kubernetes/kubelet.conf"


class Case:
    """A node's files, and what `certs renew` does to them."""

    def __init__(self, root: Path) -> None:
        self.node = Scratch(root)
        self.root = root

    def client(self, name: str, ends: int, begins: int | None = None) -> Pair:
        pair = issue(
            "system:node:cp1",
            cluster_ca(),
            organization="system:nodes",
            usages=["clientAuth"],
            begins=NOW + (begins if begins is not None else ends - 365) * DAY,
            ends=NOW + ends * DAY,
        )
        self.node.write(f"{KUBELET}/{name}", pair.pem + pair.key_pem)
        return pair

    def link(self, target: str) -> None:
        (self.root / CURRENT.lstrip("/")).symlink_to(f"{KUBELET}/{target}")

    def kubelet_conf(self, pair: Pair) -> None:
        self.node.write(CONF, _kubeconfig(pair))

    def propose(self, *names: str, role: str = "auto") -> Proposal:
        proposal: Proposal = self.within(lambda rotation: rotation.propose(Wanted(names), NOW), role)
        return proposal

    def renew(self, *names: str) -> Result:
        def act(rotation: Rotation) -> Result:
            return rotation.renew(rotation.propose(Wanted(names), NOW), _silent).result

        result: Result = self.within(act)
        return result

    def within(self, act: Callable[[Rotation], Any], role: str = "auto") -> Any:
        found = build({"root": str(self.root), "state_dir": "/var/lib/nodeagent", "certs.role": role}, {})
        with agent.opened(found) as place, place.store.locked(1):
            return act(Rotation(place, inspector_of(found, place.tree), Handover()))

    @property
    def current(self) -> str:
        return os.readlink(self.root / CURRENT.lstrip("/"))


def _silent(_: Progress) -> None:
    """Nobody watches."""


def _kubeconfig(pair: Pair) -> str:
    encoded = [base64.b64encode(each).decode() for each in (cluster_ca().pem, pair.pem, pair.key_pem)]
    return (
        "apiVersion: v1\nkind: Config  # kubeadm made it\nclusters:\n- name: kubernetes\n  cluster:\n"
        f"    certificate-authority-data: {encoded[0]}\n    server: https://192.0.2.1:6443\n"
        "contexts:\n- name: c\n  context: {cluster: kubernetes, user: system:node:cp1}\ncurrent-context: c\n"
        f"users:\n- name: system:node:cp1\n  user:\n    client-certificate-data: {encoded[1]}\n"
        f"    client-key-data: {encoded[2]}\n"
    )


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    one = Case(tmp_path)
    one.node.with_ca()
    one.node.pair("apiserver-kubelet-client", issue("client", cluster_ca(), usages=["clientAuth"]))
    yield one
    one.node.tree.close()


def test_a_broken_link_leads_to_the_newest_usable_file(case: Case) -> None:
    case.client("kubelet-client-2025-01-01-00-00-00.pem", -100)
    newest = case.client("kubelet-client-2026-06-01-00-00-00.pem", 330)
    case.client("kubelet-client-2026-01-01-00-00-00.pem", 200)
    case.node.write(f"{KUBELET}/kubelet-client-2026-06-20-00-00-00.pem", b"half a fi")
    case.link("kubelet-client-2026-06-25-00-00-00.pem")
    assert "link-broken" in case.node.codes(CURRENT)
    assert case.renew() is Result.APPLIED
    assert case.current == f"{KUBELET}/kubelet-client-2026-06-01-00-00-00.pem"
    assert case.node.entry(CURRENT).certificate == newest.facts
    assert not case.propose()


def test_a_link_for_which_nothing_is_usable_stays_as_it_is(case: Case) -> None:
    case.client("kubelet-client-2025-01-01-00-00-00.pem", -100)
    case.link("kubelet-client-2026-06-25-00-00-00.pem")
    assert not case.propose()


def test_a_regular_file_becomes_one_with_a_date_and_a_link(case: Case) -> None:
    pair = case.client("kubelet-client-current.pem", 330)
    assert case.renew() is Result.APPLIED
    dated = case.root / case.current.lstrip("/")
    assert case.current == f"{KUBELET}/kubelet-client-2026-07-01-12-00-00.pem"
    assert dated.read_bytes() == pair.pem + pair.key_pem
    assert dated.stat().st_mode & 0o7777 == 0o600
    assert not case.propose()


@pytest.mark.parametrize("ends", [200, -5])
def test_a_stale_kubelet_conf_names_what_the_kubelet_rotates(case: Case, ends: int) -> None:
    case.client("kubelet-client-2026-06-01-00-00-00.pem", 330)
    case.link("kubelet-client-2026-06-01-00-00-00.pem")
    case.kubelet_conf(issue("system:node:cp1", cluster_ca(), usages=["clientAuth"], ends=NOW + ends * DAY))
    assert case.renew() is Result.APPLIED
    data = (case.root / CONF.lstrip("/")).read_bytes()
    (user,) = kubeconfig(CONF, data, read_yaml).users
    assert (user.certificate.path, user.key.path) == (CURRENT, CURRENT)
    assert b"# kubeadm made it" in data
    assert b"client-key-data" not in data
    assert not case.propose()


def test_a_stale_kubelet_conf_does_not_come_to_name_what_has_ended(case: Case) -> None:
    case.client("kubelet-client-2025-06-01-00-00-00.pem", -5)
    case.link("kubelet-client-2025-06-01-00-00-00.pem")
    case.kubelet_conf(issue("system:node:cp1", cluster_ca(), usages=["clientAuth"], ends=NOW + 20 * DAY))
    assert not any(each.path == CONF for each in case.propose(role="worker").repairs)


def test_one_that_has_ended_is_issued_anew_where_the_cas_key_is(case: Case) -> None:
    old = case.client("kubelet-client-2025-06-01-00-00-00.pem", -5)
    case.link("kubelet-client-2025-06-01-00-00-00.pem")
    assert case.renew() is Result.APPLIED
    entry = case.node.entry(CURRENT)
    assert entry.certificate is not None
    assert (entry.certificate.subject, entry.certificate.not_after) == (old.facts.subject, NOW + 365 * DAY)
    assert entry.key_match
    assert entry.chain_ok
    assert not case.propose()


def test_one_that_has_ended_on_a_worker_is_left_to_a_person(case: Case) -> None:
    case.client("kubelet-client-2025-06-01-00-00-00.pem", -5)
    case.link("kubelet-client-2025-06-01-00-00-00.pem")
    assert not case.propose(role="worker")
    (finding,) = case.node.entry(CURRENT).findings
    assert "docs/certs.md" in finding.advice


def test_one_that_has_ended_without_the_cas_key_is_left_to_a_person(case: Case) -> None:
    case.client("kubelet-client-2025-06-01-00-00-00.pem", -5)
    case.link("kubelet-client-2025-06-01-00-00-00.pem")
    (case.root / "etc/kubernetes/pki/ca.key").unlink()
    assert not case.propose()
    with pytest.raises(Rejected, match="the kubelet renews it by itself"):
        case.propose("kubelet-client")


def test_one_that_is_well_is_left_to_the_kubelet(case: Case) -> None:
    case.client("kubelet-client-2026-06-01-00-00-00.pem", 330)
    case.link("kubelet-client-2026-06-01-00-00-00.pem")
    with pytest.raises(Rejected, match="the kubelet renews it by itself"):
        case.propose("kubelet-client")


def test_names_choose_repairs_too(case: Case) -> None:
    case.client("kubelet-client-2026-06-01-00-00-00.pem", 330)
    case.link("kubelet-client-2026-06-25-00-00-00.pem")
    assert not case.propose("apiserver-kubelet-client").repairs
    proposal = case.propose("kubelet-client")
    assert [each.describe() for each in proposal.repairs] == [
        f"link {CURRENT} to {KUBELET}/kubelet-client-2026-06-01-00-00-00.pem"
    ]
    assert proposal.renewals == ()


@pytest.mark.parametrize(
    ("ends", "role", "bootstrap", "restarts"),
    [
        (5, "worker", False, True),
        (5, "control-plane", False, True),
        (60, "worker", True, False),
        (-5, "worker", False, False),
        (-5, "worker", True, True),
    ],
)
def test_an_overdue_rotation_restarts_the_kubelet_once(
    case: Case, monkeypatch: pytest.MonkeyPatch, ends: int, role: str, bootstrap: bool, restarts: bool
) -> None:
    pair = case.client("kubelet-client-2026-04-01-00-00-00.pem", ends, ends - 91)
    case.link("kubelet-client-2026-04-01-00-00-00.pem")
    if bootstrap:
        case.node.write("/etc/kubernetes/bootstrap-kubelet.conf", "apiVersion: v1\nkind: Config\n")
    assert not case.propose(role=role).repairs, "nothing is restarted where nothing runs"

    def planned(rotation: Rotation) -> tuple[list[str], Proposal]:
        monkeypatch.setattr(rotation._place.node, "running", True)
        proposal = rotation.propose(Wanted(), NOW)
        tried = rotation.propose(Wanted(), NOW, {str(pair.facts.serial)})
        changes = [each for each in rotation._plan(proposal).changes if isinstance(each, RestartUnit)]
        return [each.describe() for each in changes], tried

    described, tried = case.within(planned, role)
    assert described == (["restart kubelet.service"] if restarts else [])
    assert not tried


def test_a_name_that_is_not_there_has_nothing_repaired(case: Case) -> None:
    pair = case.client("kubelet-client-current.pem", 330)
    before = contents((case.root / CURRENT.lstrip("/")).read_bytes())
    with pytest.raises(Rejected):
        case.renew("kubelet-client", "nonsense")
    assert not (case.root / CURRENT.lstrip("/")).is_symlink()
    assert before.certificates == (pair.facts,)
