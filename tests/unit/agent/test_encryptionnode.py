"""A control-plane node is brought to the ring, on a scratch root with the real engine; its API server is a text."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.agent.encryptionnode import Deployed, State, confirms, deploy
from nodeagent.certs.encryptionconfig import digest, document
from nodeagent.certs.keyring import Key, Phase, Ring
from nodeagent.kube.errors import Unavailable
from nodeagent.settings.model import build
from tests.unit.certs.scratch import Scratch

_SECRET = base64.b64encode(b"0" * 32).decode()
RING = Ring(1, Phase.READING, (Key("nodeagent-1", _SECRET, 0.0),), (), ("secrets",))
CONFIG = "/etc/kubernetes/encryption/config"
_FLAGS = (
    f"--encryption-provider-config={CONFIG}",
    "--encryption-provider-config-automatic-reload=true",
    "--advertise-address=192.0.2.11",
    "--secure-port=6444",
)


def _metrics(data: bytes, name: str = "last_config_info") -> str:
    """As a kube-apiserver that has read `data` tells."""
    labels = f'apiserver_id_hash="sha256:aa",hash="sha256:{digest(data)}"'
    return f"# HELP x y\napiserver_encryption_config_controller_{name}{{{labels}}} 1\nother 1\n"


class _Node:
    def __init__(self, root: Path, *flags: str) -> None:
        self.scratch = Scratch(root)
        self.scratch.manifest("kube-apiserver", *(flags or _FLAGS))
        (root / "etc/kubernetes/encryption").mkdir()
        self.config = root / CONFIG[1:]
        self.settings = build({"root": str(root), "state_dir": "/var/lib/nodeagent"}, {})
        self.asked: list[str] = []

    def deploy(self, ring: Ring = RING, told: Callable[[], str] = lambda: _metrics(document(RING))) -> Deployed:
        def metrics(server: str) -> str:
            self.asked.append(server)
            return told()

        return deploy(ring, self.settings, metrics)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[_Node]:
    one = _Node(tmp_path)
    yield one
    one.scratch.tree.close()


@pytest.mark.parametrize("name", ["last_config_info", "automatic_reload_last_config_info"])
def test_what_was_written_and_read_is_confirmed(node: _Node, name: str) -> None:
    found = node.deploy(told=lambda: _metrics(document(RING), name))
    assert found.state is State.SUCCESS
    assert node.config.read_bytes() == document(RING)
    assert stat.S_IMODE(node.config.stat().st_mode) == 0o600
    assert node.asked == ["https://192.0.2.11:6444"]
    assert confirms(found.facts(), RING)
    assert not confirms(found.facts(), replace(RING, revision=2))
    assert not confirms(found.facts(), replace(RING, keys=(Key("nodeagent-1", "other", 0.0),)))


def test_it_is_written_once(node: _Node) -> None:
    node.deploy()
    before = node.config.stat()
    node.deploy()
    assert (node.config.stat().st_ino, node.config.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_was_not_read_yet_is_not_confirmed(node: _Node) -> None:
    found = node.deploy(told=lambda: _metrics(b"another"))
    assert found.state is State.UPDATED
    assert not confirms(found.facts(), RING)


def test_an_api_server_that_does_not_answer_is_waited_for(node: _Node) -> None:
    def away() -> str:
        raise Unavailable("GET /metrics: refused")

    assert node.deploy(told=away).state is State.UPDATED
    assert node.config.read_bytes() == document(RING)


def test_no_state_of_the_agent_holds_a_key(node: _Node) -> None:
    node.deploy()
    node.deploy(replace(RING, revision=2, phase=Phase.WRITING))
    for path in (node.scratch.root / "var/lib/nodeagent").rglob("*"):
        assert not path.is_file() or _SECRET.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("stands", "told"),
    [
        (b"a: [", "is no YAML"),
        (b"kind: Pod\n", "is no EncryptionConfiguration"),
        (document(replace(RING, keys=(Key("theirs", _SECRET, 0.0),))), "keys that are not in the ring: theirs"),
        (
            document(replace(RING, keys=(Key("nodeagent-1", base64.b64encode(b"1" * 32).decode(), 0.0),))),
            "keys that are not in the ring: nodeagent-1",
        ),
    ],
)
def test_what_may_be_the_only_copy_of_a_key_stays(node: _Node, stands: bytes, told: str) -> None:
    node.config.write_bytes(stands)
    found = node.deploy()
    assert found.state is State.UPDATE_FAILED
    assert told in found.message
    assert _SECRET not in found.message
    assert node.config.read_bytes() == stands


def test_what_encrypts_nothing_may_go(node: _Node) -> None:
    node.config.write_bytes(document(Ring()))
    assert node.deploy().state is State.SUCCESS
    assert json.loads(node.config.read_bytes())["resources"][0]["resources"] == ["secrets"]


def test_everything_that_the_manifest_lacks_is_told_at_once(tmp_path: Path) -> None:
    node = _Node(tmp_path, "--secure-port=6443")
    found = node.deploy()
    assert found.state is State.UPDATE_FAILED
    for flag in (
        "--encryption-provider-config:",
        "--encryption-provider-config-automatic-reload",
        "--advertise-address",
    ):
        assert flag in found.message
    assert not node.config.exists()
    node.scratch.tree.close()
