"""IP addresses as settings: what is shown can be set again, and two spellings of an address are one."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.settings.kinds import SettingError
from nodeagent.settings.networks import IpAddresses

BARE, PREFIXED = IpAddresses(), IpAddresses(prefixed=True)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (BARE, "", ()),
        (BARE, "10.0.0.1, FD00:0::1", ("10.0.0.1", "fd00::1")),
        (PREFIXED, "10.0.0.100/24,fd00::0:1/64", ("10.0.0.100/24", "fd00::1/64")),
    ],
)
def test_reads_text_and_arrays(kind: IpAddresses, text: str, value: tuple[str, ...]) -> None:
    assert kind.parse(text) == value
    assert kind.native(list(value)) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (BARE, "10.0.0.1/24"),
        (BARE, "10.0.0.256"),
        (BARE, "host"),
        (BARE, "1,"),
        (PREFIXED, "10.0.0.1"),
        (PREFIXED, "10.0.0.1/33"),
        (PREFIXED, "10.0.0.1/255.255.255.0"),
    ],
)
def test_refuses_what_is_no_such_address(kind: IpAddresses, text: str) -> None:
    with pytest.raises(SettingError):
        kind.parse(text)


@pytest.mark.parametrize("value", ["10.0.0.1", [7], None, {"10.0.0.1": 1}])
def test_refuses_what_is_no_array(value: object) -> None:
    with pytest.raises(SettingError):
        BARE.native(value)


@given(st.sampled_from([BARE, PREFIXED]), st.ip_addresses().map(str) | st.text(max_size=20))
def test_what_is_shown_can_be_set_again(kind: IpAddresses, text: str) -> None:
    with contextlib.suppress(SettingError):
        value = kind.parse(text)
        assert kind.parse(kind.show(value)) == value
        assert kind.native(kind.plain(value)) == value
