"""What the project's vectors say of certificates, in their words, is what the inventory finds."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodeagent.certs.catalog import FILES, KUBECONFIGS
from nodeagent.certs.contents import contents
from nodeagent.certs.due import DEFAULT_RULE
from nodeagent.certs.findings import Finding
from nodeagent.certs.identity import Role
from nodeagent.certs.inventory import Entry, Inventory
from nodeagent.certs.staged import compare
from tests import vectors
from tests.unit.certs.scratch import Scratch

CASES: list[dict[str, Any]] = json.loads((Path(vectors.__file__).parent / "certs.json").read_text())["cases"]
EXTRA = "/etc/extra"
LATER = {"renewed", "uses_ca_key"}  # what a renewal makes of it: tests/unit/agent/test_rotation.py
STATED = {"crash", "state_at"}  # judged below, or by getting there at all


def cases(kind: str | None = None) -> pytest.MarkDecorator:
    chosen = [case for case in CASES if case.get("kind") == kind]
    return pytest.mark.parametrize("case", chosen, ids=lambda case: str(case["id"]))


def lay_out(case: Mapping[str, Any], node: Scratch) -> None:
    for path, file in case["files"].items():
        data = file["text"].encode()
        node.write(path if path.startswith("/") else f"{EXTRA}/{path}", data, int(file["mode"], 8))
    node.now = datetime.datetime.fromisoformat(case["now"])
    node.role = Role(case["role"])
    node.name, node.address = case.get("node", {}).get("name", ""), case.get("node", {}).get("ip", "")
    node.extra = (f"{EXTRA}/*.crt",)


def subject(found: Inventory) -> Entry:
    """The certificate that a case is about: the leaf if there is one."""
    return min(found.entries, key=lambda entry: entry.kind in ("ca", "kubeconfig-ca"))


def finding(found: Inventory, code: str) -> Finding:
    return next(each for each in found.findings if each.code == code)


ANSWERS: dict[str, Callable[[Inventory, Any], Any]] = {
    "state": lambda found, _: subject(found).state,
    "due": lambda found, _: subject(found).due,
    "key_matches": lambda found, _: subject(found).key_match,
    "chain_ok": lambda found, _: subject(found).chain_ok,
    "not_after": lambda found, _: subject(found).facts()["notAfter"],
    "cn": lambda found, _: _certificate(found).common_name,
    "dns": lambda found, _: list(_certificate(found).sans_of("DNS")),
    "ips": lambda found, _: list(_certificate(found).sans_of("IP")),
    "eku": lambda found, _: list(_certificate(found).usages),
    "serial_decimal": lambda found, _: subject(found).facts()["serial"],
    "key_type": lambda found, _: _certificate(found).key_type,
    "source": lambda found, _: "embedded" if subject(found).field else "file",
    "restart": lambda found, _: list(_item(subject(found)).restart),
    "ca_count": lambda found, _: sum(entry.kind == "ca" for entry in found.entries),
    "signing_ca_serial": lambda found, _: next(
        entry.facts()["serial"] for entry in found.entries if entry.kind == "ca" and entry.key_match
    ),
    "finding": lambda found, code: str(finding(found, code).code),
    "signer": lambda _, signer: next(item.signer for item in FILES if item.signer == signer),
}


def _certificate(found: Inventory) -> Any:
    return subject(found).certificate


def _item(entry: Entry) -> Any:
    return next(item for item in (*FILES, *KUBECONFIGS) if item.path == entry.path)


@cases()
def test_is_found_as_expected(case: dict[str, Any], node: Scratch) -> None:
    lay_out(case, node)
    found, expected = node.inventory(), case["expect"]
    if any(isinstance(value, dict) for key, value in expected.items() if key not in LATER):
        for name, words in expected.items():
            entry = next(each for each in found.entries if each.path == f"{EXTRA}/{name}")
            validity = next(each for each in entry.findings if each.code == words["state"])
            assert (entry.state, validity.severity) == (words["state"], words["severity"])
        return
    words = {key: value for key, value in expected.items() if key not in LATER | STATED | {"missing", "severity"}}
    assert {key: ANSWERS[key](found, value) for key, value in words.items()} == words
    if "missing" in expected:
        told = finding(found, expected["finding"])
        assert (list(told.missing), told.severity) == (expected["missing"], expected["severity"])
    if "state_at" in expected:
        node.now = datetime.datetime.fromisoformat(expected["state_at"]).replace(tzinfo=datetime.UTC)
        assert subject(node.inventory()).state == "valid"


@pytest.mark.parametrize(
    "case", [each for each in CASES if each.get("kind") == "threshold"], ids=lambda case: str(case["id"])
)
def test_is_due_at_the_threshold(case: dict[str, Any]) -> None:
    for each in case["expect"]:
        lifetime = datetime.timedelta(days=each["lifetime_days"])
        assert DEFAULT_RULE.is_due(lifetime, datetime.timedelta(days=each["remaining_days"])) is each["due"]


@pytest.mark.parametrize(
    "case", [each for each in CASES if each.get("kind") == "staged"], ids=lambda case: str(case["id"])
)
def test_is_accepted_as_the_successor(case: dict[str, Any], node: Scratch) -> None:
    lay_out(case, node)
    found = node.survey()
    (path,) = (path for path in case["files"] if path.startswith("stage/") and path.endswith(".crt"))
    staged, keys = (contents((node.root / EXTRA[1:] / each).read_bytes()) for each in (path, path[:-3] + "key"))
    (current,) = (each for each in found.specimens if each.item.name == Path(path).stem)
    anchors = found.authorities[current.item.authority]
    assert current.leaf is not None
    verdict = compare(current.leaf, staged, keys, anchors, node.library.signed_by, node.now)
    assert verdict.accepted is case["expect"]["staged_ok"]
    assert list(verdict.added) == case["expect"].get("added", [])
    stranger = replace(staged.certificates[0], sans=())
    assert not compare(
        current.leaf, replace(staged, certificates=(stranger,)), keys, anchors, node.library.signed_by, node.now
    ).accepted


def test_the_vectors_hold_nothing_that_is_not_looked_at() -> None:
    words = {key for case in CASES if "kind" not in case for key in case["expect"] if not key.endswith(".crt")}
    assert words <= {*ANSWERS, *LATER, *STATED, "missing", "severity"}
