"""Kernel arguments below a root: boot entries are edited and given back, and what cannot be had is rejected."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import HEAD, Node

ENTRY = "title Linux\nversion 6.1\nlinux /vmlinuz\noptions root=UUID=1 ro quiet\n"


def arguments(*present: str, absent: str = "") -> str:
    """A MachineConfig with kernel arguments, in its own list and in Ignition's."""
    ruled_out = f"    kernelArguments:\n      shouldNotExist: [{absent}]\n" if absent else ""
    listed = "".join(f"    - {each}\n" for each in present)
    return HEAD.format(name="70-kernel") + ruled_out + (f"  kernelArguments:\n{listed}" if listed else "")


@pytest.fixture
def entry(node: Node) -> Path:
    file = node.root / "boot/loader/entries/linux.conf"
    file.parent.mkdir(parents=True)
    file.write_text(ENTRY)
    return file


def test_boot_entries_are_edited_and_given_back(node: Node, entry: Path) -> None:
    (node.root / "etc/kernel").mkdir()
    (node.root / "etc/kernel/cmdline").write_text("ro quiet\n")
    node.declare("a", arguments("audit=1", "a=1 b=2", absent="quiet"))
    assert node.apply().code == 0
    assert "options root=UUID=1 ro audit=1 a=1 b=2\n" in entry.read_text()
    assert (node.root / "etc/kernel/cmdline").read_text() == "ro audit=1 a=1 b=2\n"
    assert node("plan", node.source).code == 0
    assert node("verify").code == 0
    assert node("rollback", "0").code == 0
    assert sorted(entry.read_text().split()) == sorted(ENTRY.split())


def test_an_argument_that_stood_there_first_stays_when_ours_go(node: Node, entry: Path) -> None:
    node.declare("a", arguments("ro"))
    assert node.apply().code == 0
    assert node("rollback", "0").code == 0
    assert entry.read_text() == ENTRY


def test_kernel_arguments_are_predicted_to_reboot_with_their_source(node: Node, entry: Path) -> None:
    node.declare("a", arguments("audit=1"))
    planned = node("plan", node.source, "-o", "json").json
    assert planned["actions"] == [{"type": "Reboot"}]
    assert planned["changes"][0]["sources"] == ["70-kernel"]


def test_an_entry_that_somebody_edits_back_is_drift(node: Node, entry: Path) -> None:
    node.declare("a", arguments("audit=1", absent="quiet"))
    node.apply()
    entry.write_text(ENTRY)
    drift = node("verify", "-o", "json").json["drift"]
    assert [each["finding"]["kind"] for each in drift] == ["kernel-arguments"]
    assert drift[0]["finding"]["actual"] == "without audit=1, with quiet"
    assert node.apply().code == 0
    assert node("verify").code == 0


def test_a_node_without_a_boot_loader_that_we_know_is_a_clear_rejection(node: Node) -> None:
    node.declare("a", arguments("audit=1"))
    refused = node.apply()
    assert refused.code == 1
    assert "neither Debian's GRUB" in refused.err
    assert "nor boot entries" in refused.err
    assert "70-kernel" in refused.err or "render-worker" in refused.err
    assert not node.tree()


def test_all_arguments_that_cannot_be_had_are_named_at_once(node: Node, entry: Path) -> None:
    node.declare("a", arguments('"it\'s"', "'a=\"open'"))
    refused = node.apply()
    assert refused.code == 1
    assert "2 problems" in refused.err
    assert entry.read_text() == ENTRY
