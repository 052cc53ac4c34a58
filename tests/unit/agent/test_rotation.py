"""Renewals on a scratch root, with real files, the real engine and real keys: who is renewed, refused, undone."""

from __future__ import annotations

import datetime
import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from nodeagent import agent
from nodeagent.agent.certificates import inspector_of
from nodeagent.agent.rotation import Rotation
from nodeagent.certs.contents import contents
from nodeagent.certs.renewal import Wanted
from nodeagent.engine.executor import Progress, Result
from nodeagent.engine.handover import Handover
from nodeagent.errors import NodeAgentError, Rejected
from nodeagent.observed.certificates import Served
from nodeagent.settings.model import build
from tests import vectors
from tests.unit.certs import authority as made
from tests.unit.certs.authority import DAY, NOW, Pair, cluster_ca
from tests.unit.certs.scratch import Scratch

CASES: list[dict[str, Any]] = json.loads((Path(vectors.__file__).parent / "certs.json").read_text())["cases"]
EVERYTHING = Wanted(everything=True)


@contextmanager
def rotation(root: Path, **settings: Any) -> Iterator[Rotation]:
    found = build({"root": str(root), "state_dir": "/var/lib/nodeagent", **settings}, {})
    with agent.opened(found) as place, place.store.locked(1):
        yield Rotation(place, inspector_of(found, place.tree), Handover())


def silent(_: Progress) -> None:
    """Nobody watches."""


def renew(root: Path, wanted: Wanted, now: datetime.datetime = NOW, **settings: Any) -> Result:
    with rotation(root, **settings) as one:
        return one.renew(one.propose(wanted, now), silent).result


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Scratch]:
    """A control-plane node of which two client certificates and a kubeconfig are 10 days from their end."""
    one = Scratch(tmp_path)
    one.with_ca()
    for name in ("apiserver-kubelet-client", "front-proxy-client"):
        one.pair(name, _ending(f"kube-{name}", 10))
    front = made.issue("front-proxy-ca", ca=True, begins=NOW - 365 * DAY, ends=NOW + 3000 * DAY)
    one.pair("front-proxy-ca", front)
    one.pair("front-proxy-client", _ending("front-proxy-client", 10, front))
    yield one
    one.tree.close()


def _ending(name: str, days: int, authority: Pair | None = None) -> Pair:
    ends = NOW + days * DAY
    signer = authority or cluster_ca()
    return made.issue(name, signer, usages=["clientAuth"], begins=ends - 365 * DAY, ends=ends)


def _leaf(node: Scratch, name: str) -> Any:
    return contents((node.root / f"etc/kubernetes/pki/{name}.crt").read_bytes()).certificates[0]


def _tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "var/lib" not in str(path)
    }


def test_what_is_due_is_renewed_and_then_nothing_is(node: Scratch) -> None:
    assert renew(node.root, Wanted()) is Result.APPLIED
    assert not node.codes("apiserver-kubelet-client")
    assert _leaf(node, "front-proxy-client").issuer_name == "front-proxy-ca"
    assert _leaf(node, "front-proxy-client").not_after == NOW + 365 * DAY
    with rotation(node.root) as one:
        assert one.propose(Wanted(), NOW).renewals == ()


def test_keys_are_0600_whatever_they_were_before_and_copies_are_kept_for_a_while(node: Scratch) -> None:
    renew(node.root, EVERYTHING)
    kept = node.root / "var/lib/nodeagent/replaced"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    copies = list(kept.iterdir())
    assert len(copies) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in copies} == {0o600}
    assert all(path.stat().st_nlink == 1 for path in copies)
    renew(node.root, EVERYTHING, NOW + 30 * DAY)
    assert len(list(kept.iterdir())) == 4, "the older ones are gone"


LOOPBACK = Wanted(("apiserver-loopback",))


@contextmanager
def running(node: Scratch, monkeypatch: pytest.MonkeyPatch, ends: datetime.datetime) -> Iterator[Rotation]:
    """The node as one that runs, with a kube-apiserver whose loopback certificate ends then."""
    node.manifest("kube-apiserver", "--secure-port=1")
    own = made.issue("apiserver-loopback-client@1760000000", begins=ends - 365 * DAY, ends=ends)
    monkeypatch.setattr("nodeagent.host.probe.TlsProbe.served", lambda _, endpoint: Served(endpoint, own.der))
    with rotation(node.root) as one:
        monkeypatch.setattr(one._place.node, "running", True)
        yield one


@pytest.mark.parametrize(
    ("wanted", "days", "restarts"),
    [
        (LOOPBACK, 300, ("kube-apiserver",)),
        (Wanted(), 20, ("kube-apiserver",)),
        (EVERYTHING, 20, ("kube-apiserver",)),
        (Wanted(), 300, ()),
        (EVERYTHING, 300, ()),
        (Wanted(("front-proxy-client",)), 20, ()),
        (Wanted(requests=True), 20, ()),
    ],
)
def test_a_component_starts_anew_for_its_loopback_certificate_by_name_or_when_due(
    node: Scratch, monkeypatch: pytest.MonkeyPatch, wanted: Wanted, days: int, restarts: tuple[str, ...]
) -> None:
    with running(node, monkeypatch, NOW + days * DAY) as one:
        assert one.propose(wanted, NOW).restarts == restarts


def test_nothing_starts_anew_beside_a_second_manifest(node: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    node.manifest("kube-apiserver", file="kube-apiserver.yaml.bak")
    with running(node, monkeypatch, NOW + 300 * DAY) as one, pytest.raises(Rejected) as told:
        one.propose(LOOPBACK, NOW)
    assert "is declared by" in str(told.value)


def test_below_a_mere_root_there_is_no_loopback_certificate(node: Scratch) -> None:
    node.manifest("kube-apiserver")
    assert "apiserver-loopback: there is no such certificate" in refused(node, LOOPBACK)


def test_neither_journal_nor_originals_nor_generations_hold_a_key(node: Scratch) -> None:
    renew(node.root, EVERYTHING)
    state = node.root / "var/lib/nodeagent"
    for path in state.rglob("*"):
        if path.is_file() and path.parent.name != "replaced":
            assert b"PRIVATE" not in path.read_bytes(), path


def test_days_and_a_ca_by_hand(node: Scratch) -> None:
    other = made.issue("kubernetes", ca=True, begins=NOW - DAY, ends=NOW + 3000 * DAY)
    node.write("/root/ca.crt", other.pem + cluster_ca().pem, 0o644)
    node.write("/root/ca.key", other.key_pem)
    node.write("/etc/kubernetes/pki/ca.crt", other.pem + cluster_ca().pem, 0o644)
    wanted = Wanted(("apiserver-kubelet-client",), False, 7 * DAY, "/root/ca.crt", "/root/ca.key")
    assert renew(node.root, wanted) is Result.APPLIED
    assert _leaf(node, "apiserver-kubelet-client").not_after == NOW + 7 * DAY


def refused(node: Scratch, wanted: Wanted = EVERYTHING, now: datetime.datetime = NOW, role: str = "auto") -> str:
    before = _tree(node.root)
    with pytest.raises(Rejected) as told:
        renew(node.root, wanted, now, **{"certs.role": role})
    assert _tree(node.root) == before, "nothing is touched"
    return str(told.value)


def test_a_name_that_is_not_there_is_told_with_those_that_are(node: Scratch) -> None:
    text = refused(node, Wanted(("apiserver", "nonsense")))
    assert "nonsense" in text
    assert "there are: apiserver-kubelet-client, ca, front-proxy-ca, front-proxy-client" in text


def test_an_external_ca_is_refused_by_name_and_told(node: Scratch) -> None:
    (node.root / "etc/kubernetes/pki/ca.key").unlink()
    assert "the CA is external" in refused(node, Wanted(("apiserver-kubelet-client",)))


def test_for_an_external_ca_requests_are_left_with_their_keys(node: Scratch) -> None:
    (node.root / "etc/kubernetes/pki/ca.key").unlink()
    before = _tree(node.root)
    with rotation(node.root) as one:
        proposal = one.propose(Wanted(requests=True), NOW)
        assert [each.name for each in proposal.renewals] == ["apiserver-kubelet-client"]
        assert one.request(proposal, "/root/requests", silent).result is Result.APPLIED
    directory = node.root / "root/requests"
    asked = x509.load_pem_x509_csr((directory / "apiserver-kubelet-client.csr").read_bytes())
    key = contents((directory / "apiserver-kubelet-client.key").read_bytes()).keys[0]
    assert asked.is_signature_valid
    assert asked.subject.rfc4514_string() == _leaf(node, "apiserver-kubelet-client").subject
    assert key.public_key != _leaf(node, "apiserver-kubelet-client").public_key
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    after = {path: data for path, data in _tree(node.root).items() if "requests" not in path}
    assert after == before, "nothing is renewed"


def test_a_key_that_is_not_the_cas_is_refused(node: Scratch) -> None:
    node.write("/etc/kubernetes/pki/ca.key", made.issue("other", ca=True).key_pem)
    assert "is not that CA's" in refused(node, Wanted(("apiserver-kubelet-client",)))


def test_a_ca_that_has_ended_is_refused(node: Scratch) -> None:
    assert "has ended" in refused(node, Wanted(("front-proxy-client",)), NOW + 4000 * DAY)


def test_a_ca_itself_is_refused(node: Scratch) -> None:
    assert "a CA is not renewed" in refused(node, Wanted(("ca",)))


def test_a_worker_is_refused(node: Scratch) -> None:
    text = refused(node, Wanted(("apiserver-kubelet-client",)), role="worker")
    assert "a worker holds no CA key" in text


def test_a_second_manifest_of_one_pod_is_refused(node: Scratch) -> None:
    node.manifest("kube-apiserver")
    node.manifest("kube-apiserver", file="kube-apiserver.yaml.bak")
    assert "kube-apiserver.yaml.bak" in refused(node)


def test_all_that_is_wrong_is_told_at_once(node: Scratch) -> None:
    (node.root / "etc/kubernetes/pki/ca.key").unlink()
    text = refused(node, Wanted(("apiserver-kubelet-client", "ca", "nonsense")))
    assert all(part in text for part in ("nonsense", "the CA is external", "a CA is not renewed"))


def test_a_link_keeps_leading_to_what_is_renewed(node: Scratch) -> None:
    link = node.root / "etc/kubernetes/pki/front-proxy-client.crt"
    real = node.root / "etc/kubernetes/pki/real.crt"
    link.rename(real)
    link.symlink_to("real.crt")
    renew(node.root, Wanted(("front-proxy-client",)))
    assert link.is_symlink()
    assert contents(real.read_bytes()).certificates[0].not_after == NOW + 365 * DAY


def test_a_file_that_changes_meanwhile_is_not_overwritten(node: Scratch) -> None:
    with rotation(node.root) as one:
        proposal = one.propose(Wanted(), NOW)
        real = one._read

        def read(path: str) -> bytes:
            found = real(path)
            if path.endswith("front-proxy-client.crt"):
                node.write(path, b"by somebody else", 0o644)
            return found

        one._read = read  # type: ignore[method-assign]
        with pytest.raises(NodeAgentError):
            one.renew(proposal, silent)
    assert (node.root / "etc/kubernetes/pki/front-proxy-client.crt").read_bytes() == b"by somebody else"
    assert _leaf(node, "apiserver-kubelet-client").not_after == NOW + 10 * DAY, "all or nothing"


@pytest.mark.parametrize(
    "case", [each for each in CASES if "uses_ca_key" in each.get("expect", {})], ids=lambda case: str(case["id"])
)
def test_a_ca_key_that_lies_where_it_should_not_is_not_used(case: dict[str, Any], tmp_path: Path) -> None:
    node = Scratch(tmp_path)
    for path, file in case["files"].items():
        node.write(path, file["text"].encode(), int(file["mode"], 8))
    authority = made.issue("kubernetes", ca=True)
    node.pair("apiserver-kubelet-client", _ending("client", 10, authority))
    now = datetime.datetime.fromisoformat(case["now"])
    assert "a worker holds no CA key" in refused(node, Wanted(("apiserver-kubelet-client",)), now, case["role"])
    node.tree.close()


@pytest.mark.parametrize(
    "case", [each for each in CASES if "renewed" in each.get("expect", {})], ids=lambda case: str(case["id"])
)
def test_the_vectors_are_renewed_as_expected(case: dict[str, Any], tmp_path: Path) -> None:
    node = Scratch(tmp_path)
    for path, file in case["files"].items():
        node.write(path, file["text"].encode(), int(file["mode"], 8))
    now = datetime.datetime.fromisoformat(case["now"])
    before = {each.item.path: each for each in node.survey().specimens}
    assert renew(tmp_path, Wanted(), now, **{"certs.role": case["role"]}) is Result.APPLIED
    (path,) = (path for path in case["files"] if path.endswith(("apiserver.crt", ".conf")))
    (after,) = (
        each for each in node.survey().specimens if each.item.path == path and each.item.kind != "kubeconfig-ca"
    )
    expected = case["expect"]["renewed"]
    assert after.leaf is not None
    if "key_type" in expected:
        assert after.leaf.key_type == expected["key_type"]
        old = before[path].leaf
        assert old is not None
        assert (after.leaf.public_key == old.public_key) is expected["same_public_key"]
    else:
        assert (after.leaf.common_name, list(after.leaf.organizations)) == (expected["cn"], expected["org"])
        assert after.file.mode == int(expected["mode"], 8)
        assert expected["keeps_user"] in (tmp_path / path.lstrip("/")).read_text()
    assert not any(finding.code == "kubeconfig-stale-ca" for finding in node.inventory().findings)
    node.tree.close()
