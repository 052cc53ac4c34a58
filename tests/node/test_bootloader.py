"""The boot loaders' own tools on what the agent writes: grub-mkconfig, GRUB's parser and bootctl.

Invariant: all of it happens in mount namespaces of the test's own, with its directories over /boot and /etc/default, so
that nothing which could boot this machine is ever seen.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from nodeagent.machineconfig import bls, grub, kernelargs
from nodeagent.machineconfig.applied import Kernel
from nodeagent.machineconfig.kernelargs import Wanted
from tests.capabilities import require

DEADLINE = 60.0
WANTED = Wanted(
    (
        "audit=1",
        'dyndbg="file drivers/usb/* +p"',
        "memmap=64K$0x18690000",
        "a=$(touch${IFS}/boot/run)`touch`;{x}|<>#&",
    ),
    ("quiet", "splash", 'b="x  y"'),
)
DEFAULTS = """GRUB_TIMEOUT=0
GRUB_CMDLINE_LINUX_DEFAULT="quiet splash c=3"
GRUB_CMDLINE_LINUX='net.ifnames=0 b="x  y" d="1  2"'
"""
CLOUD = 'GRUB_CMDLINE_LINUX_DEFAULT="console=tty1 quiet audit=0"\n'

# Stands in for grub-probe, which wants real disks under / and /boot (a machine of CI may have an overlay there).
PROBE = """#!/bin/sh
case "$*" in
    *target=device*) echo /dev/disk1 ;;
    *target=fs_uuid*) echo 11111111-2222-3333-4444-555555555555 ;;
    *target=fs*) echo ext2 ;;
    *target=partmap*) echo msdos ;;
    *target=abstraction* | *cryptodisk*) ;;
    *target=hints_string*) echo --hint-bios=hd0,msdos1 ;;
    *) echo hd0,msdos1 ;;
esac
"""
MOUNT = """set -e
mount --bind "$1/boot" /boot
mount --bind "$1/default" /etc/default
mount --bind "$1/grub-probe" /usr/sbin/grub-probe
shift
exec "$@"
"""


class GrubNode:
    """Debian's GRUB on a disk of the test's own, with two kernels installed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for path in ("boot/grub", "default/grub.d"):
            directory.joinpath(path).mkdir(parents=True)
        for version in ("6.1.0-1-amd64", "6.1.0-2-amd64"):
            directory.joinpath(f"boot/vmlinuz-{version}").write_bytes(b"a kernel")
            directory.joinpath(f"boot/initrd.img-{version}").write_bytes(b"a disk")
        directory.joinpath("default/grub").write_text(DEFAULTS)
        directory.joinpath("default/grub.d/50-cloud.cfg").write_text(CLOUD)
        directory.joinpath("grub-probe").write_text(PROBE)
        directory.joinpath("grub-probe").chmod(0o755)

    def regenerate(self, command: Sequence[str]) -> bytes:
        """The menu, once `command` has written it and GRUB's parser has found no fault."""
        before = sorted(os.listdir(self.directory / "boot"))
        _in_private(MOUNT, self.directory, *command)
        menu = self.directory / "boot/grub/grub.cfg"
        _run(["grub-script-check", menu])
        assert sorted(os.listdir(self.directory / "boot")) == before  # nothing in an argument was run
        return menu.read_bytes()

    def configure(self, wanted: Wanted) -> None:
        fragment = self.directory / f"default/grub.d/{os.path.basename(grub.DROPIN)}"
        if data := grub.dropin(wanted):
            fragment.write_bytes(data)
        else:
            fragment.unlink(missing_ok=True)


def _run(command: Sequence[str | Path], **environment: str) -> str:
    path = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=DEADLINE, check=False, env=path | environment
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def _in_private(script: str, *arguments: str | Path, **environment: str) -> str:
    return _run(
        ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh", *arguments],
        **environment,
    )


@pytest.fixture
def node(tmp_path: Path) -> GrubNode:
    require("root", "unshare", "grub-mkconfig", "update-grub", "grub-script-check")
    return GrubNode(tmp_path)


@pytest.mark.parametrize("tools", [{grub.UPDATE}, {grub.MKCONFIG}])
def test_the_menu_that_grub_writes_has_what_is_wanted(node: GrubNode, tools: set[str]) -> None:
    command = grub.regenerate(tools)
    original = node.regenerate(command)
    before = grub.configured(original)
    assert len(before) == 3  # the simple entry and one for each kernel
    assert all(kernelargs.deviations(line, WANTED) == (WANTED.present, ("quiet", 'b="x  y"')) for line in before)
    node.configure(WANTED)
    after = grub.configured(node.regenerate(command))
    assert [kernelargs.deviations(line, WANTED) for line in after] == [((), ())] * 3
    added = {each.replace('"', "") for each in WANTED.present}
    for old, new in zip(before, after, strict=True):
        foreign = [each for each in new if each not in added]
        assert foreign == [each for each in old if each not in ("quiet", "b=x  y")]
        assert "d=1  2" in foreign
    node.configure(Wanted())
    assert node.regenerate(command) == original


def test_what_the_defaults_say_already_is_not_said_twice(node: GrubNode) -> None:
    node.configure(Wanted(("console=tty1", "net.ifnames=0")))
    for line in grub.configured(node.regenerate(grub.regenerate({grub.UPDATE}))):
        assert [line.count(each) for each in ("console=tty1", "net.ifnames=0")] == [1, 1]


BOOTCTL = """set -e
mount -t tmpfs none "$1"
mkdir -p "$1/loader/entries" "$1/EFI"
touch "$1/vmlinuz"
cp "$2"/*.conf "$1/loader/entries/"
exec bootctl list --json=short --no-pager --esp-path="$1"
"""


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """What bootctl prints: objects one after another up to systemd 252, and one list since."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        value, at = decoder.raw_decode(text, at)
        yield from value if isinstance(value, list) else [value]
        at += len(text[at:]) - len(text[at:].lstrip())


def test_boot_entries_are_read_by_systemd_as_they_are_by_us(tmp_path: Path) -> None:
    require("root", "unshare", "bootctl")
    for name in ("mount", "entries"):
        tmp_path.joinpath(name).mkdir()
    wanted = Wanted(("audit=1", 'c="x  y"'), ("quiet",))
    texts = {
        "a.conf": b"title A\nversion 1\nlinux /vmlinuz\noptions root=UUID=1  ro quiet\noptions b=2\n",
        "b.conf": b"title B\nversion 2\nlinux /vmlinuz",
        "c-rescue.conf": b"title C\nversion 3\noptions quiet\nlinux /vmlinuz\n",
    }
    edited = {name: bls.edit_entry(text, wanted, Kernel()) for name, text in texts.items()}
    for name, text in edited.items():
        tmp_path.joinpath("entries", name).write_bytes(text)
    listed = _in_private(BOOTCTL, tmp_path / "mount", tmp_path / "entries", SYSTEMD_RELAX_ESP_CHECKS="1")
    options = {each["id"]: kernelargs.arguments(each["options"]) for each in _objects(listed) if each["id"] in texts}
    assert options == {name: bls.arguments(text) for name, text in edited.items()}
    assert options["a.conf"] == ("root=UUID=1", "ro", "b=2", "audit=1", 'c="x  y"')
