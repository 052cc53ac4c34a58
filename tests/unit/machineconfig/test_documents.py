"""Documents hold JSON values only, and hostile text is refused at a bounded cost."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.machineconfig.documents import parse
from nodeagent.machineconfig.jsondocuments import Unreadable
from nodeagent.machineconfig.yamldocuments import DEPTH_LIMIT, dump_yaml

LAUGHS = "a0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol,lol]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0644", 0o644),
        ("0o644", 0o644),
        ("420", 420),
        ("'0644'", "0644"),
        ("!!str 0644", "0644"),
        ("! 0644", "0644"),
        ("0x1F", 31),
        ("-7", -7),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("420.0", 420.0),
        ("1e3", 1000.0),
        (".inf", math.inf),
        ("9" * 41, "9" * 41),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("2001-01-01", "2001-01-01"),
        ("=", "="),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_plain_scalars_of_yaml(text: str, value: object) -> None:
    (document,) = parse(f"a: {text}".encode())
    assert document == {"a": value}
    assert type(document["a"]) is type(value)


def test_documents_of_one_text() -> None:
    assert parse(b"---\n---\na: 1\n...\n---\n[b]\n") == [{"a": 1}, ["b"]]
    assert parse(b"# nothing\n") == []
    assert parse(b"\xef\xbb\xbf{}") == [{}]


def test_json_is_strict_where_it_must_be() -> None:
    assert parse(b'{"a": [1, 1.5, null, "\\u00e4"]}', strict_json=True) == [{"a": [1, 1.5, None, "ä"]}]
    assert parse(b"{a: 0644}") == [{"a": 420}]
    with pytest.raises(Unreadable, match="is no JSON: line 1, column 2"):
        parse(b"{a: 0644}", strict_json=True)


def test_a_quoted_merge_key_is_a_key_like_any_other() -> None:
    assert parse(b"'<<': 1") == [{"<<": 1}]


def test_aliases_stand_for_what_they_name() -> None:
    assert parse(b"a: &x {b: [1]}\nc: *x\n") == [{"a": {"b": [1]}, "c": {"b": [1]}}]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: 1\nb:\n  c: 1\n  c: 2\n", "line 4: key 'c' stands twice in one object"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "key 'c' stands twice in one object"),
        (b"a: &x [*x]", r"uses alias \*x, which is not defined before it"),
        (b"a: &x 1\n---\nb: *x", r"line 3 uses alias \*x, which is not defined"),
        (b"a: &x {b: 1}\nc:\n  <<: *x\n", "line 3 has a merge key"),
        (b"? [a]\n: b", "has a key that is no string"),
        (b"1: b", "line 1 has a key that is no string"),
        (b"a: !!binary aGk=", "has tag 'tag:yaml.org,2002:binary'"),
        (b"a: !!python/object:os.system {}", "has tag"),
        (b"a: [", "is no YAML: line [12], column"),
        (b"a: 'x\n", "is no YAML"),
        (b"a: \x00", "is no YAML"),
        (b"ok: 1\na: \xff", r"line 2 is not UTF-8 \(byte 0xff\)"),
        (b"[" * (DEPTH_LIMIT + 2), f"line 1 is nested more than {DEPTH_LIMIT} levels"),
        (b'{"a":' * 200_000, "is nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "holds a number of more than 40 digits"),
        (b"a: &x [" + b"1," * 200_000 + b"]\nb: [*x, *x, *x]", "makes the aliases expand to more than"),
        (b"[" + b"1," * (1 << 18) + b"1]", "exceeds 262144 values"),
        (b"a" * ((32 << 20) + 1), "is larger than 32 MiB"),
        (LAUGHS.encode(), "makes the aliases expand to more than 1 MiB"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_refused(data: bytes, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        parse(data)


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": Infinity}', '{"a": 1,}', "[1] 2"])
def test_no_json(text: str) -> None:
    with pytest.raises(Unreadable, match="is no JSON: "):
        parse(text.encode(), strict_json=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(st.characters(codec="utf-8"), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["a", "yes", "0644", "~", "1e3", "a: b"]), JSON, max_size=3))
def test_dumped_yaml_is_read_back_as_it_was(value: dict[str, Any]) -> None:
    assert parse(dump_yaml(value).encode()) == [value]


@pytest.mark.parametrize("text", ["0o644", "0644", "1e3", "yes", "null", "", "2001-01-01", "a\n  b\n\n"])
def test_strings_stay_strings_when_dumped(text: str) -> None:
    assert parse(dump_yaml({"a": text}).encode()) == [{"a": text}]


@given(st.binary(max_size=80) | st.text(alphabet="{}[]&*!:-,'\"|>~ \nab01#%@", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = parse(data)
    except Unreadable:
        return
    assert all(isinstance(value, (dict, list, str, int, float)) for value in found)
