"""The layout of fanotify's events, by buffers built after struct fanotify_event_metadata (fanotify(7))."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.host.attribution import Unavailable
from nodeagent.host.fanotify import FAN_CLOSE_WRITE, FAN_Q_OVERFLOW, Event, parse
from nodeagent.observed.writers import Writer

_HANDLE_TYPE = struct.pack("=i", 1)


def _record(kind: int, body: bytes) -> bytes:
    return struct.pack("=BBH", kind, 0, 4 + len(body)) + body


def _name_record(file_system: int, handle: bytes, name: bytes) -> bytes:
    body = struct.pack("=QI", file_system, len(handle)) + _HANDLE_TYPE + handle + name + b"\0"
    return _record(2, body + bytes(-len(body) % 4))


def _event(mask: int, pid: int, *records: bytes, version: int = 3) -> bytes:
    body = b"".join(records)
    return struct.pack("=IBBHQii", 24 + len(body), version, 0, 24, mask, -1, pid) + body


_names = st.binary(min_size=1, max_size=255).filter(lambda name: b"\0" not in name and b"/" not in name)


@given(
    st.lists(
        st.tuples(st.integers(0, 2**64 - 1), st.binary(min_size=1, max_size=128), _names, st.integers(0, 2**22)),
        max_size=5,
    )
)
def test_every_event_of_a_buffer_is_read(events: list[tuple[int, bytes, bytes, int]]) -> None:
    buffer = b"".join(
        _event(FAN_CLOSE_WRITE, pid, _name_record(system, handle, name), _record(4, struct.pack("=i", 7)))
        for system, handle, name, pid in events
    )
    assert list(parse(buffer)) == [
        Event(FAN_CLOSE_WRITE, pid, 7, (system, _HANDLE_TYPE + handle), os.fsdecode(name))
        for system, handle, name, pid in events
    ]


def test_an_overflow_has_neither_directory_nor_process() -> None:
    assert list(parse(_event(FAN_Q_OVERFLOW, 0))) == [Event(FAN_Q_OVERFLOW)]


def test_records_of_other_kinds_are_passed_over() -> None:
    unknown = _record(99, bytes(20))
    (event,) = parse(_event(FAN_CLOSE_WRITE, 5, unknown, _name_record(1, b"h", b"f"), unknown))
    assert (event.pid, event.name, event.pidfd) == (5, "f", -1)


def test_another_version_of_the_format_is_not_misread() -> None:
    with pytest.raises(OSError, match="version 4"):
        list(parse(_event(FAN_CLOSE_WRITE, 5, version=4)))


def test_where_writers_cannot_be_named_the_reason_is_the_answer() -> None:
    attribution = Unavailable("not permitted (CAP_SYS_ADMIN)")
    attribution.watch(["/etc/motd"])
    attribution.start()
    nobody: tuple[Writer, ...] = ()
    assert attribution.writers("/etc/motd", 0) == nobody
    assert attribution.explain("/etc/motd", 0) == "not permitted (CAP_SYS_ADMIN)"
    assert attribution.gaps_since(0) == attribution.gaps == 0
    assert "not permitted" in attribution.problems()[0]
    attribution.close()
