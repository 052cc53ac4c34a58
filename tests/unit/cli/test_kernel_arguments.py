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


def test_what_held_by_itself_at_first_is_drift_once_somebody_changes_it(node: Node, entry: Path) -> None:
    node.declare("a", arguments("ro", absent="splash"))
    assert node.apply().code == 0
    assert entry.read_text() == ENTRY
    entry.write_text(ENTRY.replace(" ro quiet", " quiet splash"))
    drift = node("verify", "-o", "json").json["drift"]
    assert [each["finding"]["actual"] for each in drift] == ["without ro, with splash"]


def test_a_node_without_a_boot_loader_that_we_know_is_a_clear_rejection(node: Node) -> None:
    node.declare("a", arguments("audit=1"))
    refused = node.apply()
    assert refused.code == 1
    assert "neither Debian's GRUB" in refused.err
    assert "nor boot entries" in refused.err
    assert "MachineConfig 70-kernel: $.spec.kernelArguments" in refused.err
    assert not node.tree()


def test_a_withdrawal_without_the_boot_loader_asks_for_it_back(node: Node, entry: Path) -> None:
    node.declare("a", arguments("audit=1"))
    assert node.apply().code == 0
    entry.unlink()
    refused = node("rollback", "0")
    assert refused.code == 1
    assert "put back the one that holds the arguments set earlier" in refused.err


@pytest.fixture
def environment(node: Node, entry: Path) -> Path:
    """GRUB's environment block, to which the entry refers; the test puts it there."""
    entry.write_text("title RHEL\nlinux /vmlinuz\noptions $kernelopts\n")
    block = node.root / "boot/grub2/grubenv"
    block.parent.mkdir()
    return block


BLOCK = b"# GRUB Environment Block\nkernelopts=root=UUID=1 ro quiet\n".ljust(1024, b"#")


def test_an_environment_block_is_edited_and_given_back(node: Node, entry: Path, environment: Path) -> None:
    environment.write_bytes(BLOCK)
    before = entry.read_text()
    node.declare("a", arguments("audit=1"))
    assert node.apply().code == 0
    assert environment.read_bytes() == BLOCK.replace(b"quiet\n########", b"quiet audit=1\n")
    assert entry.read_text() == before
    environment.write_bytes(BLOCK)
    drift = node("verify", "-o", "json").json["drift"]
    assert [each["finding"]["path"] for each in drift] == ["/boot/grub2/grubenv"]
    assert node("rollback", "0").code == 0
    assert environment.read_bytes() == BLOCK


def test_an_environment_block_behind_a_link_is_refused_with_the_source(
    node: Node, entry: Path, environment: Path
) -> None:
    elsewhere = node.root / "boot/elsewhere"
    elsewhere.write_bytes(BLOCK)
    environment.symlink_to("../elsewhere")
    node.declare("a", arguments("audit=1"))
    refused = node.apply()
    assert refused.code == 1
    assert "MachineConfig 70-kernel: $.spec.kernelArguments" in refused.err
    assert "/boot/grub2/grubenv cannot be read" in refused.err
    assert "links are not followed" in refused.err
    assert elsewhere.read_bytes() == BLOCK


def test_an_environment_block_without_room_is_refused(node: Node, environment: Path) -> None:
    environment.write_bytes(BLOCK)
    node.declare("a", arguments("a" * 1000))
    refused = node.apply()
    assert refused.code == 1
    assert "/boot/grub2/grubenv is" in refused.err
    assert "bytes too small" in refused.err
    assert environment.read_bytes() == BLOCK


def test_all_arguments_that_cannot_be_had_are_named_at_once(node: Node, entry: Path) -> None:
    node.declare("a", arguments('"it\'s"', "'a=\"open'"))
    refused = node.apply()
    assert refused.code == 1
    assert "2 problems" in refused.err
    assert entry.read_text() == ENTRY
