"""Boot entries, GRUB's environment block and the command line of future kernels: edited and given back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.machineconfig import bls, kernelargs
from nodeagent.machineconfig.applied import Kernel
from nodeagent.machineconfig.kernelargs import Wanted
from tests.unit.machineconfig.kernel_lines import NOTHING, UNTOUCHED, edits, entry_arguments

EDITS = edits(entry_arguments())
Example = tuple[list[str], Wanted, Wanted]
WANTED = Wanted(("audit=1", "console=ttyS0"), ("quiet",))

PLAIN = b"""title Fedora Linux (6.8) \xe2\x80\x94 \xff
version 6.8
# options in a comment: quiet
linux /vmlinuz-6.8
options root=UUID=1 ro  quiet
options\trhgb audit=1
initrd /initramfs-6.8.img $tuned_initrd
"""
INDIRECT = b"title RHEL\nlinux /vmlinuz-4.18\noptions $kernelopts $tuned_params quiet\n"


def block(*lines: str) -> bytes:
    text = "# GRUB Environment Block\n" + "".join(f"{line}\n" for line in lines)
    return text.encode().ljust(1024, b"#")


BLOCK = block("saved_entry=abc-4.18", "kernelopts=root=/dev/sda1 ro quiet", "boot_success=0")


def test_what_is_wanted_stands_in_the_last_options_line() -> None:
    edited = bls.edit_entry(PLAIN, WANTED, UNTOUCHED)
    assert edited == PLAIN.replace(b"ro  quiet", b"ro").replace(b"rhgb audit=1", b"rhgb audit=1 console=ttyS0")
    assert bls.arguments(edited) == ("root=UUID=1", "ro", "rhgb", "audit=1", "console=ttyS0")


@pytest.mark.parametrize(
    ("entry", "edited"),
    [
        (b"linux /a\n", b"linux /a\noptions audit=1 console=ttyS0\n"),
        (b"linux /a", b"linux /a\noptions audit=1 console=ttyS0\n"),
        (b"", b"options audit=1 console=ttyS0\n"),
        (b"options\nlinux /a\n", b"options audit=1 console=ttyS0\nlinux /a\n"),
        (b"options quiet\r\nlinux /a\r\n", b"options audit=1 console=ttyS0\r\nlinux /a\r\n"),
        (b"  options ro", b"  options ro audit=1 console=ttyS0"),
        (b"options-x quiet\n", b"options-x quiet\noptions audit=1 console=ttyS0\n"),
    ],
)
def test_options_lines_of_every_shape_are_edited(entry: bytes, edited: bytes) -> None:
    assert bls.edit_entry(entry, WANTED, UNTOUCHED) == edited
    assert bls.edit_entry(edited, WANTED, UNTOUCHED) == edited


@pytest.mark.parametrize("entry", [b"", b"linux /a", b"options\n", b"options  a  b \r\n", PLAIN, INDIRECT])
def test_an_entry_that_is_not_concerned_stays_byte_for_byte(entry: bytes) -> None:
    assert bls.edit_entry(entry, NOTHING, UNTOUCHED) == entry
    assert bls.edit_entry(entry, Wanted((), ("nothing",)), UNTOUCHED) == entry


def test_arguments_of_an_entry_with_kernelopts_go_to_the_environment_block() -> None:
    edited = bls.edit_entry(INDIRECT, WANTED, UNTOUCHED)
    assert edited == INDIRECT.replace(b" quiet", b"")
    assert bls.uses_environment(INDIRECT)
    assert not bls.uses_environment(PLAIN)
    environment = bls.edit_environment(BLOCK, WANTED, UNTOUCHED)
    assert environment == block(
        "saved_entry=abc-4.18", "kernelopts=root=/dev/sda1 ro audit=1 console=ttyS0", "boot_success=0"
    )
    assert bls.arguments(edited, environment) == (
        "root=/dev/sda1", "ro", "audit=1", "console=ttyS0", "$tuned_params",
    )  # fmt: skip


def test_an_environment_block_keeps_its_size_or_is_refused() -> None:
    room = 1024 - len(BLOCK.rstrip(b"#"))
    for length in (room - 1, room):
        long = "a" * (length - 1)
        if length == room:
            fits = Wanted((long[1:],))  # with the space in front of it
            edited = bls.edit_environment(BLOCK, fits, UNTOUCHED)
            assert len(edited) == 1024
            assert bls.edit_environment(edited, NOTHING, Kernel(added=fits.present)) == BLOCK
    with pytest.raises(ValueError, match="3 bytes too small"):
        bls.edit_environment(BLOCK, Wanted(("a" * (room + 2),)), UNTOUCHED)


@pytest.mark.parametrize(
    ("broken", "why"),
    [(b"", "signature"), (b"kernelopts=a\n", "signature"), (block("saved_entry=1"), "no kernelopts")],
)
def test_what_is_no_environment_block_is_refused(broken: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        bls.edit_environment(broken, WANTED, UNTOUCHED)
    with pytest.raises(ValueError, match=why):
        bls.kernelopts(broken)


def test_the_command_line_of_future_kernels_is_edited_in_place() -> None:
    before = b"root=UUID=1 ro\nquiet\n"
    edited = bls.edit_command_line(before, WANTED, UNTOUCHED)
    assert edited == b"root=UUID=1 ro audit=1 console=ttyS0\n"
    assert bls.edit_command_line(before, NOTHING, UNTOUCHED) == before


@given(EDITS, st.integers(0, 8))
def test_editing_an_entry_and_back_restores_it(example: Example, cut: int) -> None:
    line, first, second = example
    entry = f"linux /a\noptions {' '.join(line[:cut])}\ntitle b\noptions {' '.join(line[cut:])}\n".encode()
    before = kernelargs.claim([line], first, UNTOUCHED)
    applied = bls.edit_entry(entry, first, UNTOUCHED)
    assert bls.edit_entry(applied, first, before) == applied
    assert set(first.present) <= set(bls.arguments(applied))
    assert not set(first.absent) & set(bls.arguments(applied))
    then = kernelargs.claim([bls.arguments(applied)], second, before)
    restored = bls.edit_entry(bls.edit_entry(applied, second, before), NOTHING, then)
    assert set(bls.arguments(restored)) == set(line)
    if not before.removed and not then.removed:
        assert bls.arguments(restored) == tuple(line)


@given(st.binary(max_size=60))
def test_any_bytes_pass_through_an_edit_of_nothing(noise: bytes) -> None:
    assert bls.edit_entry(noise, NOTHING, UNTOUCHED) == noise
    assert bls.edit_command_line(noise, NOTHING, UNTOUCHED) == noise


def test_arguments_that_loaders_read_differently_are_refused() -> None:
    fine = ("a=1", 'ima_policy="tcb|x"', "memmap=1K#2", "a=*")
    assert bls.refused(Wanted(fine, ("b;c",))) == ("b;c",)
    assert bls.refused(Wanted(("$x", 'a="$x"', "#a", "a{b}", "a&b", "a>b"))) == (
        "$x", 'a="$x"', "#a", "a{b}", "a&b", "a>b",
    )  # fmt: skip


def test_entries_are_found_by_name() -> None:
    here = f"{bls.ENTRIES}/"
    present = {here + "b.conf", here + "a.conf", here + "README", "/boot/loader/loader.conf"}
    assert bls.entries(present) == (here + "a.conf", here + "b.conf")
    assert bls.detect(present)
    assert not bls.detect({"/boot/loader/loader.conf"})
