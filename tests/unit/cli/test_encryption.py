"""`nodeagent encryption check` as an administrator types it; `status` needs an API server (tests/cluster)."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.cli.conftest import Node

_SOUND = {
    "apiVersion": "apiserver.config.k8s.io/v1",
    "kind": "EncryptionConfiguration",
    "resources": [{"resources": ["secrets"], "providers": [{"identity": {}}]}],
}


def _written(directory: Path, text: str) -> str:
    path = directory / "config"
    path.write_text(text)
    return str(path)


def test_a_sound_configuration(node: Node, tmp_path: Path) -> None:
    done = node.run("encryption", "check", _written(tmp_path, json.dumps(_SOUND)))
    assert (done.code, done.out) == (0, "a kube-apiserver would read it\n")


def test_one_that_would_be_refused(node: Node, tmp_path: Path) -> None:
    path = _written(tmp_path, json.dumps(_SOUND | {"resources": [{"resources": [], "providers": []}]}))
    done = node.run("encryption", "check", path)
    assert done.code == 3
    assert [line.split(": ")[1] for line in done.out.splitlines()] == [
        "$.resources[0].resources",
        "$.resources[0].providers",
    ]
    assert len(node.run("encryption", "check", path, "-o", "json").json["problems"]) == 2


def test_what_is_no_yaml_and_what_is_not_there(node: Node, tmp_path: Path) -> None:
    done = node.run("encryption", "check", _written(tmp_path, "a: ["))
    assert done.code == 1
    assert "Traceback" not in done.err
    assert node.run("encryption", "check", str(tmp_path / "none")).code == 1
