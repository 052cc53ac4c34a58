"""Control packets of BFD are told from others, and whatever comes is read without harm."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.host.bfdears import state


def _packet(second: int, *, port: int = 3784, first: int = 0x20) -> bytes:
    """A UDP packet with the first two bytes of a control packet, and the rest of it (RFC 5880, section 4.1)."""
    body = bytes([first, second, 3, 24]) + bytes(20)
    return struct.pack("!HHHH", 49152, port, 8 + len(body), 0) + body


@pytest.mark.parametrize(
    ("second", "said"),
    [(0x00, "admin_down"), (0x40, "down"), (0x80, "init"), (0xC0, "up"), (0xC8, "up"), (0x48, "down")],
)
def test_the_state_is_in_the_two_highest_bits(second: int, said: str) -> None:
    assert state(_packet(second)) == said


@pytest.mark.parametrize("packet", [_packet(0xC0, port=3785), _packet(0xC0, first=0x40), _packet(0xC0)[:9], b""])
def test_what_is_no_control_packet_says_nothing(packet: bytes) -> None:
    assert state(packet) is None


@given(st.binary(max_size=64))
def test_no_packet_does_harm(packet: bytes) -> None:
    assert state(packet) in (None, "admin_down", "down", "init", "up")
