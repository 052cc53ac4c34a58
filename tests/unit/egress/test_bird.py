"""The speaker's configuration, and its words."""

from __future__ import annotations

import pytest

from nodeagent.egress.node.bird import Session, configuration, sessions
from tests.unit.egress.parts import TIMING, V4, part

REPLY = """\
0001 BIRD 2.0.12 ready.
1020-bfd1:
 IP address                Interface  State      Since         Interval  Timeout
 10.20.0.1                 eth0       Up         09:10:11.123    0.100    0.300
 fd00:20::1                eth0       Down       09:10:12.001    1.000    0.000
0000
"""


def test_each_router_has_a_session_from_our_address() -> None:
    assert configuration(part(), TIMING) == (
        "router id 10.20.0.11;\n"
        "protocol device {}\n"
        "protocol bfd {\n"
        '  interface "eth0" {\n'
        "    min rx interval 100 ms;\n"
        "    min tx interval 100 ms;\n"
        "    idle tx interval 100 ms;\n"
        "    multiplier 3;\n"
        "  };\n"
        '  neighbor 10.20.0.1 dev "eth0" local 10.20.0.11;\n'
        '  neighbor fd00:20::1 dev "eth0" local fd00:20::b;\n'
        "}\n"
    )


def test_a_router_of_a_version_that_the_gateway_lacks_has_none() -> None:
    assert "fd00" not in configuration(part(**V4), TIMING)


def test_sessions_are_read() -> None:
    assert sessions(REPLY) == (
        Session("10.20.0.1", "eth0", "up", 0.1, 0.3),
        Session("fd00:20::1", "eth0", "down", 1.0, 0.0),
    )
    assert [session.up for session in sessions(REPLY)] == [True, False]


def test_a_refusal_is_told_in_its_words() -> None:
    with pytest.raises(ValueError, match="There is no BFD protocol running"):
        sessions("9001 There is no BFD protocol running\n")


def test_other_answers_are_passed_over() -> None:
    assert sessions("0003 Reconfigured\n more\n" + REPLY) == sessions(REPLY)


def test_a_line_that_is_no_session_is_refused() -> None:
    with pytest.raises(ValueError, match="where a session was expected"):
        sessions("1020-bfd1:\n 10.20.0.1 eth0\n0000 \n")
