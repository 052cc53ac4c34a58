"""SSH keys and the password of the configured user: ours come and go, everybody else's stay."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.unit.cli.conftest import HEAD, Node

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA one@example.org"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB two@example.org"
THEIRS = "# mine\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC me@home\n"
HASH = "$6$salt$hashhashhash"


def user(*keys: str, password: str | None = None) -> str:
    lines = ["    passwd:", "      users:", "        - name: boot"]
    if keys:
        lines += ["          sshAuthorizedKeys:", *(f"            - {key}" for key in keys)]
    if password is not None:
        lines.append(f'          passwordHash: "{password}"')
    return HEAD.format(name="80-ssh") + "\n".join(lines) + "\n"


@pytest.fixture
def home(node: Node) -> Path:
    """A node with the user `boot`, who is whoever runs the test."""
    (node.root / "home/boot").mkdir(parents=True)
    (node.root / "etc/passwd").write_text(f"boot:x:{os.geteuid()}:{os.getegid()}::/home/boot:/bin/sh\n")
    (node.root / "etc/shadow").write_text("root:*:1:0:99999:7:::\nboot:!:1:0:99999:7:::\n")
    return node.root / "home/boot"


def test_keys_come_and_go_and_the_lines_of_others_stay(node: Node, home: Path) -> None:
    (home / ".ssh").mkdir(mode=0o700)
    file = home / ".ssh/authorized_keys"
    file.write_text(THEIRS)
    node.declare("a", user(KEY, OTHER))
    assert node.apply().code == 0
    assert file.read_text() == f"{THEIRS}{KEY}\n{OTHER}\n"
    node.declare("a", user(OTHER))
    assert node.apply().code == 0
    assert file.read_text() == f"{THEIRS}{OTHER}\n"
    assert node("rollback", "0").code == 0
    assert file.read_text() == THEIRS


def test_a_key_that_stood_there_first_stays_when_ours_go(node: Node, home: Path) -> None:
    (home / ".ssh").mkdir(mode=0o700)
    file = home / ".ssh/authorized_keys"
    file.write_text(f"{KEY}\n")
    node.declare("a", user(KEY, OTHER))
    assert node.apply().code == 0
    assert file.read_text() == f"{KEY}\n{OTHER}\n"
    assert node("plan", node.source).code == 0
    node.declare("a", user(OTHER))
    assert node.apply().code == 0
    assert file.read_text() == f"{KEY}\n{OTHER}\n"
    assert node("rollback", "0").code == 0
    assert file.read_text() == f"{KEY}\n"


def test_a_new_keys_file_is_private_to_the_user(node: Node, home: Path) -> None:
    node.declare("a", user(KEY))
    assert node.apply().code == 0
    assert stat.S_IMODE((home / ".ssh").stat().st_mode) == 0o700
    assert stat.S_IMODE((home / ".ssh/authorized_keys").stat().st_mode) == 0o600


def test_an_unknown_user_is_rejected_and_never_created(node: Node) -> None:
    (node.root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    node.declare("a", user(KEY))
    refused = node.apply()
    assert refused.code == 1
    assert "no user 'boot' on this node, and none is created" in refused.err
    assert "boot" not in (node.root / "etc/passwd").read_text()


def test_keys_for_anybody_else_are_rejected(node: Node, home: Path) -> None:
    node.declare("a", user(KEY).replace("name: boot", "name: root"))
    refused = node.apply()
    assert refused.code == 1
    assert "'root' is not managed on this node, only 'boot' is" in refused.err


def test_a_link_in_place_of_the_keys_is_refused_and_not_followed(node: Node, home: Path) -> None:
    (home / ".ssh").mkdir(mode=0o700)
    (home / ".ssh/authorized_keys").symlink_to(node.root / "etc/shadow")
    before = (node.root / "etc/shadow").read_text()
    node.declare("a", user(KEY))
    refused = node.apply()
    assert refused.code == 1
    assert "authorized_keys" in refused.err
    assert (node.root / "etc/shadow").read_text() == before


def test_foreign_and_missing_keys_are_drift_and_show_as_fingerprints(node: Node, home: Path) -> None:
    node.declare("a", user(KEY))
    node.apply()
    (home / ".ssh/authorized_keys").write_text(THEIRS)
    found = node("verify", "-o", "json")
    drift = found.json["drift"][0]["finding"]
    assert (drift["path"], drift["kind"]) == ("/home/boot/.ssh/authorized_keys", "ssh-keys")
    assert drift["actual"].count("SHA256:") == 2
    assert "AAAAC3" not in found.out


def test_a_password_hash_is_set_and_given_back_and_never_shown(node: Node, home: Path) -> None:
    shadow = node.root / "etc/shadow"
    shadow.chmod(0o640)
    node.declare("a", user(password=HASH))
    planned, applied = node("plan", node.source), node.apply()
    assert applied.code == 0
    assert f"boot:{HASH}:" in shadow.read_text()
    assert stat.S_IMODE(shadow.stat().st_mode) == 0o640
    assert HASH not in planned.out + planned.err + applied.out + applied.err
    assert node("plan", node.source).code == 0
    shadow.write_text(shadow.read_text().replace(HASH, "$6$other$hash"))
    assert [each["finding"]["kind"] for each in node("verify", "-o", "json").json["drift"]] == ["password"]
    assert node("rollback", "0").code == 0
    assert "boot:!:" in shadow.read_text()
    assert "root:*:1:0:99999:7:::\n" in shadow.read_text()


def test_an_empty_password_hash_locks_the_password(node: Node, home: Path) -> None:
    node.declare("a", user(password=""))
    assert node.apply().code == 0
    assert "boot:*:" in (node.root / "etc/shadow").read_text()
