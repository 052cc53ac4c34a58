"""`nodeagent support-bundle`: enough to help, and nothing that is secret."""

from __future__ import annotations

import base64
import io
import json
import os
import stat
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from nodeagent.agent import support
from nodeagent.doctor.check import Check
from nodeagent.engine.journal import Journal
from nodeagent.settings import Settings
from nodeagent.telemetry.status import write_status
from tests.unit.certs.authority import issue
from tests.unit.cli.conftest import HEAD, Node

SECRET = "correct-horse-battery-staple"
HASH = "$6$saltsalt$abcdefghijklmnopqrstuvwxyz0123456789"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA one@example.org"
FILES = {
    "versions.json",
    "settings.json",
    "doctor.json",
    "status.json",
    "history.json",
    "journal.json",
    "manifest.json",
}

MACHINE_CONFIG = (
    HEAD.format(name="50-secret")
    + f"""\
    passwd:
      users:
        - name: boot
          passwordHash: "{HASH}"
          sshAuthorizedKeys:
            - {KEY}
    storage:
      files:
        - path: /etc/app/credentials
          mode: 0600
          contents:
            source: data:;base64,{base64.b64encode(SECRET.encode()).decode()}
"""
)


def _contents(data: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
        assert all(each.isreg() and each.mode == 0o600 and each.uid == 0 for each in members)
        assert len({each.name.partition("/")[0] for each in members}) == 1
        found = {each.name.partition("/")[2]: archive.extractfile(each) for each in members}
        return {name: file.read().decode() for name, file in found.items() if file is not None}


@pytest.fixture
def used(node: Node, tmp_path: Path) -> Node:
    """A node with secrets in its configuration, originals, PKI, status and journal; no check looks at the machine."""
    root = node.root
    (root / "home/boot").mkdir(parents=True)
    (root / "etc/passwd").write_text(f"boot:x:{os.geteuid()}:{os.getegid()}::/home/boot:/bin/sh\n")
    (root / "etc/shadow").write_text("root:*:1:0:99999:7:::\nboot:!:1:0:99999:7:::\n")
    (root / "etc/app").mkdir()
    (root / "etc/app/credentials").write_text(f"the original {SECRET}")
    pair = issue("kubernetes", ca=True)
    (root / "etc/kubernetes/pki").mkdir(parents=True)
    (root / "etc/kubernetes/pki/ca.key").write_bytes(pair.key_pem)
    (root / "etc/kubernetes/admin.conf").write_text(f"token: {SECRET}\n")
    node.declare("a", MACHINE_CONFIG)
    assert node.apply().code == 0
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    reason = f"refused: password={SECRET}\n{pair.key_pem.decode()}"
    write_status(
        str(run), {"node": "n", "jobs": {"machineconfig": {"state": "Degraded", "reason": reason, "token": SECRET}}}
    )
    directory = os.open(root / "var/lib/nodeagent", os.O_RDONLY)
    digest = {"type": "file", "mode": 0o600, "digest": "ab" * 32}
    inverse = {"undo": "swap", "path": "/etc/app/credentials", "before": digest, "xattrs": {"user.x": SECRET}}
    with Journal(directory).begin("20260101-1") as opened:
        opened.append({"at": "begin", "boot": "b", "inverses": [inverse]})
    os.close(directory)
    return node


def _bundle(node: Node, tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "bundle.tar.gz"
    done = node("support-bundle", "-o", path, "--run-dir", tmp_path / "run", "--cluster-kubeconfig", "/etc/x.conf")
    assert done.code == 0, done.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return _contents(path.read_bytes())


def test_no_secret_of_a_machine_config_or_a_pki_is_in_it(used: Node, tmp_path: Path) -> None:
    found = _bundle(used, tmp_path)
    everything = "\n".join(found.values())
    pem = (used.root / "etc/kubernetes/pki/ca.key").read_text().splitlines()
    body = base64.b64encode(SECRET.encode()).decode().rstrip("=")
    for secret in (SECRET, body, HASH, KEY.split()[1], *pem[1:-1], "BEGIN", "ab" * 32):
        assert secret not in everything
    assert set(found) == FILES


def test_what_helps_is_in_it(used: Node, tmp_path: Path) -> None:
    found = {name: json.loads(text) for name, text in _bundle(used, tmp_path).items()}
    assert found["settings.json"]["cluster.kubeconfig"]["value"] == "/etc/x.conf"
    (generation,) = found["history.json"]
    assert generation["generation"] == 1
    assert any("/etc/app/credentials" in change for change in generation["changes"])
    (record,) = found["journal.json"]["journal.20260101-1"]
    assert record["inverses"][0]["path"] == "/etc/app/credentials"
    assert found["status.json"]["jobs"]["machineconfig"]["state"] == "Degraded"
    assert {"nodeagent", "python", "kernel", "libraries"} <= found["versions.json"].keys()
    assert len(found["doctor.json"]["checks"]) == 10
    parts = found["manifest.json"]["parts"]
    assert "not the root of a running system" in parts["log.txt"]["problem"]
    assert parts["status.json"]["problem"] == ""


def test_it_changes_nothing_and_works_where_nothing_was_applied(node: Node, tmp_path: Path) -> None:
    before = sorted(node.root.rglob("*"))
    found = _bundle(node, tmp_path)
    assert sorted(node.root.rglob("*")) == before
    assert json.loads(found["history.json"]) == []
    assert "no daemon has run" in json.loads(found["manifest.json"])["parts"]["status.json"]["problem"]


def test_what_stands_there_is_not_written_over(node: Node, tmp_path: Path) -> None:
    path = tmp_path / "bundle.tar.gz"
    path.symlink_to(tmp_path / "elsewhere")
    done = node("support-bundle", "-o", path)
    assert done.code == 1
    assert "bundle.tar.gz: File exists" in done.err
    assert not (tmp_path / "elsewhere").exists()


def test_it_gets_a_name_of_its_own_here(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert node("support-bundle", "--node-name", "n1").code == 0
    (path,) = tmp_path.glob("nodeagent-support-n1-*.tar.gz")
    assert _contents(path.read_bytes())


def test_standard_output(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream(io.StringIO):
        buffer = io.BytesIO()

    monkeypatch.setattr(sys, "stdout", stream := Stream())
    assert node("support-bundle", "-o", "-").code == 0
    assert "settings.json" in _contents(stream.buffer.getvalue())


def test_parts_are_bounded(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(_: Settings) -> tuple[Check, ...]:
        raise OSError(5, "Input/output error", "/dev/x")

    monkeypatch.setattr(support, "LARGEST", 100)
    monkeypatch.setattr(support, "diagnosis", endless)
    found = _bundle(node, tmp_path)
    manifest: dict[str, Any] = json.loads(found["manifest.json"])["parts"]
    assert len(found["settings.json"]) == 100
    assert manifest["settings.json"]["problem"].startswith("cut to 100 bytes of ")
    assert manifest["doctor.json"] == {"bytes": 0, "problem": "/dev/x: Input/output error"}
