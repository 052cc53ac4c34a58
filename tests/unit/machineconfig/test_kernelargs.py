"""Kernel command lines: what is accepted, and that an edit does what is wanted and no more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.errors import Rejected
from nodeagent.machineconfig import kernelargs
from nodeagent.machineconfig.applied import Kernel
from nodeagent.machineconfig.kernelargs import Edit, Wanted
from tests.unit.machineconfig.kernel_lines import NOTHING, UNTOUCHED, arguments, edits

EDITS = edits(arguments())
Example = tuple[list[str], Wanted, Wanted]


def test_entries_are_split_on_white_space_outside_quotes() -> None:
    entries = ["a b=1\tc", 'dyndbg="file drivers/usb/* +p" a', '"x y"=z']
    assert kernelargs.split(entries) == ("a", "b=1", "c", 'dyndbg="file drivers/usb/* +p"', '"x y"=z')


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("a\nb", "printable"),
        ("a\0b", "printable"),
        ("a=\x7f", "printable"),
        ("a=é", "printable"),
        ("a=\u00a0b", "printable"),
        ('a="b', "partner"),
        ("a='b'", "single quote"),
        ("a\\b", "backslash"),
        ("a -- b", "init"),
        ("", "empty"),
        (" \t", "empty"),
    ],
)
def test_what_cannot_be_on_a_command_line_is_refused(entry: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        kernelargs.split(["fine", entry])


def test_all_problems_are_told_at_once_with_their_places() -> None:
    with pytest.raises(Rejected) as caught:
        Wanted.of("MachineConfig x", ["ok", "a\nb"], ['"'], ["a\\"])
    assert [problem.path for problem in caught.value.problems] == [
        "$.spec.config.kernelArguments.shouldExist[0]",
        "$.spec.config.kernelArguments.shouldNotExist[0]",
        "$.spec.kernelArguments[1]",
    ]


def test_an_argument_cannot_be_wanted_and_unwanted() -> None:
    with pytest.raises(Rejected, match="quiet is also wanted"):
        Wanted.of("MachineConfig x", ["quiet splash"], [], ["a", "quiet"])


def test_both_lists_are_joined_in_order_and_equal_arguments_count_once() -> None:
    wanted = Wanted.of("MachineConfig x", ["b a", "b"], ["c", "a"], ["d e"])
    assert wanted == Wanted(("b", "a", "c"), ("d", "e"))
    assert wanted
    assert not NOTHING


def test_only_exactly_equal_arguments_match() -> None:
    wanted = Wanted(("console=ttyS0",), ("quiet", "mitigations"))
    edited = kernelargs.edit("console=tty0 quiet=1 mitigations=off quiet", wanted, UNTOUCHED)
    assert edited == "console=tty0 quiet=1 mitigations=off console=ttyS0"


@pytest.mark.parametrize(
    ("line", "edited"),
    [
        ("", "new"),
        ("  \n", "  \nnew"),
        ("quiet", "new"),
        ("quiet\n", "new\n"),
        ("a  b\t quiet\tc \n", "a  b\tc new \n"),
        ("  quiet  a", "  a new"),
        ('a="x  quiet  y"', 'a="x  quiet  y" new'),
    ],
)
def test_white_space_that_is_not_concerned_stays(line: str, edited: str) -> None:
    assert kernelargs.edit(line, Wanted(("new",), ("quiet",)), UNTOUCHED) == edited


@given(EDITS)
def test_an_edited_line_has_what_is_wanted_and_foreign_arguments_in_order(example: Example) -> None:
    line, wanted, _ = example
    edited = kernelargs.arguments(kernelargs.edit(" ".join(line), wanted, UNTOUCHED))
    kept = [each for each in line if each not in wanted.absent]
    assert list(edited[: len(kept)]) == kept
    assert edited[len(kept) :] == tuple(each for each in wanted.present if each not in line)
    assert kernelargs.deviations(edited, wanted)[0] == ()


@given(EDITS)
def test_editing_twice_is_editing_once(example: Example) -> None:
    line, first, second = example
    text = " ".join(line)
    before = kernelargs.claim([line], first, UNTOUCHED)
    applied = kernelargs.edit(text, first, UNTOUCHED)
    assert kernelargs.edit(applied, first, before) == applied
    assert kernelargs.claim([kernelargs.arguments(applied)], first, before) == before
    again = kernelargs.edit(applied, second, before)
    assert kernelargs.edit(again, second, before) == again


@given(EDITS)
def test_withdrawing_gives_back_what_stood_there(example: Example) -> None:
    line, first, second = example
    before = kernelargs.claim([line], first, UNTOUCHED)
    applied = kernelargs.edit(" ".join(line), first, UNTOUCHED)
    then = kernelargs.claim([kernelargs.arguments(applied)], second, before)
    changed = kernelargs.edit(applied, second, before)
    restored = kernelargs.arguments(kernelargs.edit(changed, NOTHING, then))
    assert set(restored) == set(line)
    if not before.removed and not then.removed:
        assert list(restored) == line


def test_an_argument_that_stood_there_before_is_not_ours_to_remove() -> None:
    wanted = Wanted(("quiet", "new"))
    before = kernelargs.claim([["quiet", "ro"]], wanted, UNTOUCHED)
    assert before == Kernel(added=("new",), present=wanted.present)
    assert kernelargs.edit("quiet ro new", NOTHING, before) == "quiet ro"


def test_what_one_of_several_lines_lacked_is_ours() -> None:
    wanted = Wanted(("a",), ("quiet",))
    assert kernelargs.claim([["a"], ["quiet"]], wanted, UNTOUCHED) == Kernel(("a",), ("quiet",), ("a",), ("quiet",))
    assert kernelargs.claim([["a"], ["a"]], wanted, UNTOUCHED) == Kernel(present=("a",), absent=("quiet",))


def test_an_argument_added_first_and_unwanted_later_does_not_come_back() -> None:
    before = kernelargs.claim([["ro"]], Wanted(("a",)), UNTOUCHED)
    then = kernelargs.claim([["ro", "a"]], Wanted((), ("a",)), before)
    assert kernelargs.edit("ro", NOTHING, then) == "ro"


def test_quotes_make_no_difference_to_a_deviation() -> None:
    wanted = Wanted(('a="x y"', "b"), ('c="1"', "d"))
    assert kernelargs.deviations(["a=x y", "c=1"], wanted) == (("b",), ('c="1"',))


@given(st.text('ab "\t', max_size=20))
def test_an_edit_without_anything_wanted_changes_no_byte(text: str) -> None:
    assert kernelargs.edit(text, NOTHING, UNTOUCHED) == text
    assert Edit.of((), NOTHING, UNTOUCHED) == Edit()
