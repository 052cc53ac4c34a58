"""The state file: what survives it, and what damage to it is found when."""

from __future__ import annotations

import json

import pytest

from nodeagent.changes.files import Trace
from nodeagent.errors import Broken
from nodeagent.machineconfig.applied import Applied, Entry, Subject
from nodeagent.observed.files import FileType

ENTRY = Entry(Subject.FILE, Trace(FileType.FILE, 0o644, 1, 2, "ab"), ("50-a",))
APPLIED = Applied(generation=3, config="render-x", entries={"/etc/a": ENTRY, "/etc/b": ENTRY})


def test_entries_are_equal_to_those_that_were_written() -> None:
    decoded = Applied.decode(APPLIED.encode())
    assert decoded == APPLIED
    assert decoded.encode() == APPLIED.encode()


@pytest.mark.parametrize("damage", [{}, None, [], {"subject": "file"}, {"subject": "x", "expected": {"type": "file"}}])
def test_a_damaged_entry_is_broken_on_first_use_and_leaves_the_others(damage: object) -> None:
    document = json.loads(APPLIED.encode())
    document["entries"]["/etc/a"] = damage
    decoded = Applied.decode(json.dumps(document).encode())
    assert set(decoded.entries) == {"/etc/a", "/etc/b"}
    assert decoded.entries["/etc/b"] == ENTRY
    with pytest.raises(Broken, match="the state file is damaged"):
        decoded.entries["/etc/a"]


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format": 1}', APPLIED.encode()[:-10]])
def test_a_damaged_file_is_broken_at_once(data: bytes) -> None:
    with pytest.raises(Broken, match="the state file is damaged"):
        Applied.decode(data)


def test_a_later_format_is_refused() -> None:
    with pytest.raises(Broken, match="later version"):
        Applied.decode(APPLIED.encode().replace(b'"format":1', b'"format":2'))
