"""Debian's GRUB: fragments really sourced by sh, and menus as grub-mkconfig writes them."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.machineconfig import grub, kernelargs
from nodeagent.machineconfig.kernelargs import Wanted
from tests.unit.machineconfig.kernel_lines import NOTHING, UNTOUCHED, arguments, edits

VARIABLES = ("GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT")
EXAMPLES = settings(max_examples=60, deadline=None)  # each starts a shell


def sourced(fragment: bytes, linux: str, default: str) -> tuple[str, str]:
    """The two lists after /bin/sh has sourced `fragment` as grub-mkconfig does, in a directory with files to match."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "a=1").touch()
        Path(directory, "fragment").write_bytes(fragment)
        base = "".join(
            f"{name}={shlex.quote(value)}\n" for name, value in zip(VARIABLES, (linux, default), strict=True)
        )
        script = f'set -e\n{base}. ./fragment\nprintf "%s\\0" "$GRUB_CMDLINE_LINUX" "$GRUB_CMDLINE_LINUX_DEFAULT"'
        ended = subprocess.run(["/bin/sh", "-c", script], cwd=directory, capture_output=True, timeout=20, check=False)
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert {each.name for each in Path(directory).iterdir()} == {"a=1", "fragment"}
    first, second, _ = ended.stdout.decode().split("\0")
    return first, second


def script(line: list[str]) -> str:
    return " ".join(map(grub.script_word, line))


@EXAMPLES
@given(edits(arguments()), st.integers(0, 8))
def test_a_sourced_fragment_edits_the_lists_as_they_are(example: tuple[list[str], Wanted, Wanted], cut: int) -> None:
    line, wanted, _ = example
    linux, default = sourced(grub.dropin(wanted), script(line[:cut]), script(line[cut:]))
    kept = [each for each in line[:cut] if each not in wanted.absent]
    added = [each for each in wanted.present if each not in line]
    assert kernelargs.arguments(linux) == kernelargs.arguments(script([*kept, *added]))
    assert kernelargs.arguments(default) == kernelargs.arguments(
        script([each for each in line[cut:] if each not in wanted.absent])
    )


@EXAMPLES
@given(edits(arguments()))
def test_sourcing_twice_is_sourcing_once(example: tuple[list[str], Wanted, Wanted]) -> None:
    line, wanted, _ = example
    once = sourced(grub.dropin(wanted), script(line), "quiet")
    assert sourced(grub.dropin(wanted), *once) == once


@pytest.mark.parametrize(
    "hostile",
    [
        "$(touch${IFS}pwned)",
        "`touch`",
        "${HOME}",
        'a="$(touch pwned)"',
        'a="`touch pwned`"',
        "a;touch",
        "*",
        "~",
        "!x",
    ],
)
def test_nothing_in_an_argument_is_run_or_expanded(hostile: str) -> None:
    linux, default = sourced(grub.dropin(Wanted((hostile,), ("quiet",))), "ro", "quiet a=*")
    assert (linux, default) == (f"ro {grub.script_word(hostile)}", " a=*")
    assert grub.script_words(linux)[1:] == (hostile.replace('"', ""),)


@pytest.mark.parametrize("value", ["", "  a  b ", 'x="1  2"', 'broken="a', "tab\tbed"])
def test_a_list_that_is_not_concerned_stays_byte_for_byte(value: str) -> None:
    fragment = grub.dropin(Wanted((), ("quiet", "1", "b=")))
    assert sourced(fragment, value, value) == (value, value)


@pytest.mark.parametrize(
    ("value", "left"),
    [
        ("a\tquiet\t\tb", "a\t\tb"),
        ("quiet", ""),
        ("quiet quiet a", " a"),
        ('x="1  quiet 2" quiet', 'x="1  quiet 2"'),
        ('quiet broken="a quiet', ' broken="a quiet'),
    ],
)
def test_an_unwanted_argument_goes_wherever_it_stands_alone(value: str, left: str) -> None:
    assert sourced(grub.dropin(Wanted((), ("quiet",))), value, value) == (left, left)


def test_an_argument_that_the_defaults_hold_is_not_given_twice() -> None:
    assert sourced(grub.dropin(Wanted(("quiet", "b"))), "a", "quiet\n") == ("a b", "quiet\n")


def test_unset_lists_are_empty_ones() -> None:
    fragment = grub.dropin(Wanted(("a",), ("quiet",))).decode()
    done = subprocess.run(
        ["/bin/sh", "-c", f"set -e\n{fragment}\necho $GRUB_CMDLINE_LINUX"],
        capture_output=True,
        timeout=20,
        check=True,
    )
    assert done.stdout == b"a\n"


def test_no_fragment_is_needed_where_nothing_is_wanted() -> None:
    assert grub.dropin(NOTHING) == b""


@given(st.lists(arguments(), min_size=1))
def test_script_words_are_read_back_as_the_kernel_gets_them(line: list[str]) -> None:
    assert grub.script_words(script(line)) == tuple(each.replace('"', "") for each in line)


def test_quotes_and_escapes_of_the_menu_are_resolved() -> None:
    assert grub.script_words(r"""linux '/a b' "c\$d\"e\f" g\ h${x} i""") == (
        "linux", "/a b", 'c$d"e\\f', "g h${x}", "i",
    )  # fmt: skip


MENU = rb"""### BEGIN /etc/grub.d/00_header ###
linux /other a
### END /etc/grub.d/00_header ###
### BEGIN /etc/grub.d/10_linux ###
menuentry 'Debian' --class debian $menuentry_id_option 'gnulinux-simple-UUID' {
	insmod gzio
	linux	/boot/vmlinuz-6.1 root=UUID=1 ro  a=1 b="x y" memmap=1K\$2
	initrd	/boot/initrd.img-6.1
}
submenu 'Advanced' $menuentry_id_option 'gnulinux-advanced-UUID' {
	menuentry 'Debian, Linux 6.1' --class debian $menuentry_id_option 'gnulinux-6.1-advanced-UUID' {
		linux	/boot/vmlinuz-6.1 root=UUID=1 ro
	}
	menuentry 'Debian, Linux 6.1 (mode de d\303\251pannage)' $menuentry_id_option 'gnulinux-6.1-recovery-UUID' {
		linux	/boot/vmlinuz-6.1 root=UUID=1 ro single
	}
}
### END /etc/grub.d/10_linux ###
### BEGIN /etc/grub.d/20_memtest86+ ###
menuentry 'Memory test' {
	linux16 /boot/memtest86+.bin
}
### END /etc/grub.d/20_memtest86+ ###
"""


def test_arguments_of_each_kernel_but_recovery_are_read_from_the_menu() -> None:
    assert grub.configured(MENU) == (
        ("root=UUID=1", "ro", "a=1", "b=x y", "memmap=1K$2"),
        ("root=UUID=1", "ro"),
    )
    wanted = Wanted(('b="x y"', "memmap=1K$2"), ("a=1",))
    first, second = (kernelargs.deviations(line, wanted) for line in grub.configured(MENU))
    assert (first, second) == (((), ("a=1",)), (wanted.present, ()))


@given(st.binary(max_size=80))
def test_any_bytes_can_be_read_as_a_menu(noise: bytes) -> None:
    assert len(grub.configured(MENU + noise)) == 2
    assert isinstance(grub.configured(b"### BEGIN /etc/grub.d/10_linux ###\n" + noise + b"\n### END "), tuple)


def test_it_is_there_with_its_configuration_and_a_tool() -> None:
    assert grub.detect({grub.DEFAULTS, grub.MKCONFIG})
    assert not grub.detect({grub.DEFAULTS})
    assert not grub.detect({grub.UPDATE})
    assert grub.regenerate({grub.DEFAULTS, grub.UPDATE, grub.MKCONFIG}) == (grub.UPDATE,)
    assert grub.regenerate({grub.MKCONFIG}) == (grub.MKCONFIG, "-o", grub.MENU)


def test_the_line_of_the_fragment_and_of_an_edit_agree() -> None:
    wanted = Wanted(("a=1", "quiet"), ("splash",))
    linux, _ = sourced(grub.dropin(wanted), "ro splash", "")
    assert linux == kernelargs.edit("ro splash", wanted, UNTOUCHED)
