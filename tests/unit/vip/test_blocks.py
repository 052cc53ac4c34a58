"""Statements and blocks of a keepalived.conf."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.vip.blocks import Statement
from nodeagent.vip.words import Token, Unreadable, tokens
from tests.unit.vip.files import document


def _tree(statement: Statement) -> list[object]:
    return [each.words if not each.body else (*each.words, _tree(each)) for each in statement.body]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("state BACKUP # why", ["state", "BACKUP"]),
        ("state BACKUP! why", ["state", "BACKUP"]),
        ('router_id "a # b"', ["router_id", "a # b"]),
        ("x 'it''s'", ["x", "its"]),
        ('abcd" efg h jkl "mnop', ["abcd efg h jkl mnop"]),
        (r'x "a\"b\\c\td"', ["x", 'a"b\\c\td']),
        ("a{b}", ["a", "{", "b", "}"]),
        ("dev ${IF}", ["dev", "${IF}"]),
        ('x ""', ["x", ""]),
    ],
)
def test_words_are_split_as_the_manual_tells(line: str, words: list[str]) -> None:
    assert [each.text for each in tokens(line)] == words


def test_a_quoted_brace_is_a_word() -> None:
    assert tokens('x "{"') == (Token("x"), Token("{"))


def test_a_quote_that_does_not_end_is_told() -> None:
    with pytest.raises(Unreadable, match="not closed"):
        tokens('router_id "k1')


@pytest.mark.parametrize("text", ["a b {\n c\n}", "a b\n{\n c\n}", "a b { c }", "a b {\nc }"])
def test_a_block_may_begin_and_end_on_any_line(text: str) -> None:
    assert _tree(document(text).root) == [("a", "b", [("c",)])]


def test_lines_for_another_node_are_left_out() -> None:
    text = "@k1 a 1\n@k2 a 2\n@^k1 b 1\n@^k2 b 2\n"
    assert _tree(document(text, "k1").root) == [("a", "1"), ("b", "2")]
    assert _tree(document(text, "k2").root) == [("a", "2"), ("b", "1")]


def test_parameters_hold_words_lines_and_other_parameters() -> None:
    text = "$A=x\n$B=${A}y\n$C= \\\n p ${B} \\\n q\nfirst $A ${B} $NOBODY\n$C\n"
    assert _tree(document(text).root) == [("first", "x", "xy", "$NOBODY"), ("p", "xy"), ("q",)]


def test_a_parameter_that_holds_itself_ends() -> None:
    assert document("$A=$A$A\nx $A\n").root.body[0].keyword == "x"


def test_includes_are_read_in_their_place() -> None:
    found = document("a\ninclude *.part.conf\nd", **{"1.part": "b", "2.part": "c"})
    assert _tree(found.root) == [("a",), ("b",), ("c",), ("d",)]
    assert len(found.files) == 3


def test_files_that_include_each_other_end() -> None:
    found = document("include other.conf", other="include keepalived.conf")
    assert any("include too many" in problem.message for problem in found.problems)


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("a {", "line 1", "block of a is not closed"),
        ("a\n}", "line 2", "closes nothing"),
        ("{\n}", "line 1", "no keyword"),
        ("~SEQ(i, 1, 3) x", "line 1", "sequence"),
        ("\n\ninclude gone.conf", "", "No such file"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, where: str, message: str) -> None:
    (problem,) = document(text).problems
    assert problem.path == where
    assert message in problem.message


@given(st.text(alphabet="ab{}\n\"'#!$@\\= ${}~", max_size=60))
def test_reading_never_fails(text: str) -> None:
    found = document(text)
    assert found.files == ("/etc/keepalived/keepalived.conf",)
