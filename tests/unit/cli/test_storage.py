"""Files, directories and links of the storage section, on a scratch root."""

from __future__ import annotations

import os
import stat
from typing import Any

import yaml

from tests.unit.cli.conftest import Node


def storage(node: Node, **sections: list[dict[str, Any]]) -> None:
    """Declare one MachineConfig with this storage section."""
    config = {"ignition": {"version": "3.4.0"}, "storage": sections}
    document = {
        "apiVersion": "machineconfiguration.alauda.io/v1alpha1",
        "kind": "MachineConfig",
        "metadata": {"name": "50-x"},
        "spec": {"config": config},
    }
    node.declare("50-x", yaml.safe_dump(document))


def text(path: str, contents: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "contents": {"source": f"data:,{contents}"}, **more}


def test_directories_have_their_mode_and_an_existing_one_may_keep_its_own(node: Node) -> None:
    (node.root / "etc/there").mkdir(mode=0o711)
    storage(node, directories=[{"path": "/etc/new", "mode": 0o750}, {"path": "/etc/there"}])
    assert node.apply().code == 0
    modes = {name: stat.S_IMODE((node.root / "etc" / name).stat().st_mode) for name in ("new", "there")}
    assert modes == {"new": 0o750, "there": 0o711}
    storage(node, directories=[{"path": "/etc/there", "mode": 0o700}])
    assert node.apply().code == 0
    assert not (node.root / "etc/new").exists()
    assert stat.S_IMODE((node.root / "etc/there").stat().st_mode) == 0o700
    assert node("rollback", "0").code == 0
    assert stat.S_IMODE((node.root / "etc/there").stat().st_mode) == 0o711


def test_a_symbolic_link_replaces_a_file_and_gives_it_back(node: Node) -> None:
    (node.root / "etc/localtime").write_text("old")
    storage(node, links=[{"path": "/etc/localtime", "target": "../usr/share/zoneinfo/UTC", "overwrite": True}])
    assert node.apply().code == 0
    assert os.readlink(node.root / "etc/localtime") == "../usr/share/zoneinfo/UTC"
    assert node("rollback", "0").code == 0
    assert (node.root / "etc/localtime").read_text() == "old"


def test_a_hard_link_follows_the_file_that_it_shares(node: Node) -> None:
    for contents in ("one", "two"):
        storage(
            node,
            files=[text("/etc/real", contents)],
            links=[{"path": "/etc/second", "target": "/etc/real", "hard": True}],
        )
        assert node.apply().code == 0
        assert (node.root / "etc/second").read_text() == contents
        assert (node.root / "etc/second").stat().st_ino == (node.root / "etc/real").stat().st_ino
        assert node("plan", node.source).code == 0


def test_a_hard_link_to_what_is_no_file_is_rejected(node: Node) -> None:
    storage(node, links=[{"path": "/etc/second", "target": "/etc/missing", "hard": True}])
    refused = node.apply()
    assert refused.code == 1
    assert "/etc/missing is no regular file" in refused.err


def test_appending_starts_from_what_was_there_first_and_happens_once(node: Node) -> None:
    (node.root / "etc/hosts").write_text("theirs\n")
    for appended in ("ours%0A", "others%0A"):
        storage(node, files=[{"path": "/etc/hosts", "overwrite": False, "append": [{"source": f"data:,{appended}"}]}])
        assert node.apply().code == 0
        assert node("plan", node.source).code == 0
    assert (node.root / "etc/hosts").read_text() == "theirs\nothers\n"
    assert node("rollback", "0").code == 0
    assert (node.root / "etc/hosts").read_text() == "theirs\n"


def test_contents_and_appended_parts_make_one_file(node: Node) -> None:
    storage(node, files=[text("/etc/x", "a", append=[{"source": "data:,b"}, {"source": "data:,c"}])])
    assert node.apply().code == 0
    assert (node.root / "etc/x").read_text() == "abc"


def test_owners_by_name_come_from_the_nodes_own_tables(node: Node) -> None:
    (node.root / "etc/passwd").write_text(f"svc:x:{os.geteuid()}:0::/:/bin/sh\n")
    (node.root / "etc/group").write_text(f"svc:x:{os.getegid()}:\n")
    storage(node, files=[text("/etc/x", "a", user={"name": "svc"}, group={"name": "svc"})])
    assert node.apply().code == 0
    assert (node.root / "etc/x").stat().st_uid == os.geteuid()


def test_owners_that_the_node_does_not_know_are_all_named(node: Node) -> None:
    storage(node, files=[text("/etc/x", "a", user={"name": "ghost"}, group={"name": "ghosts"})])
    refused = node.apply()
    assert refused.code == 1
    assert "there is no user 'ghost' on this node" in refused.err
    assert "there is no group 'ghosts' on this node" in refused.err


def test_a_source_that_is_not_fetched_is_rejected_with_everything_else(node: Node) -> None:
    sources = ("http://127.0.0.1:1/x", "https://127.0.0.1:1/x", "s3://bucket/x")
    files = [{"path": f"/etc/{index}", "contents": {"source": source}} for index, source in enumerate(sources)]
    storage(node, files=[*files, text("/etc/x", "a", user={"name": "ghost"})])
    refused = node.apply()
    assert refused.code == 1
    for named in ("by http on a running node", "by s3 on a running node", "only used with a hash", "no user 'ghost'"):
        assert named in refused.err


def test_a_path_that_two_sections_claim_is_rejected(node: Node) -> None:
    storage(node, files=[text("/etc/systemd/system/x.service", "a")])
    document = yaml.safe_load((node.source / "50-x.yaml").read_text())
    document["metadata"]["name"] = "60-y"
    document["spec"]["config"] = {
        "ignition": {"version": "3.4.0"},
        "systemd": {"units": [{"name": "x.service", "contents": "[Service]\nExecStart=/bin/true\n"}]},
    }
    node.declare("60-y", yaml.safe_dump(document))
    refused = node.apply()
    assert refused.code == 1
    assert "/etc/systemd/system/x.service" in refused.err
