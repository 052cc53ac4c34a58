"""The speaker of BFD on a node with systemd: it outlives the agent that started it."""

from __future__ import annotations

import sys

from tests.capabilities import require
from tests.node.machine import Machine

_CONFIGURATION = "router id 192.0.2.1;\\nprotocol device {}\\nprotocol bfd {}\\n"
_KEEP = f"""
from nodeagent.host.speakers import Speakers
Speakers("/run/bfd").keep("egress-one", "{_CONFIGURATION}")
"""
_ASK = """
from nodeagent.host.speakers import Speakers
print(Speakers("/run/bfd").ask("egress-one", "show status"))
"""
_END = """
from nodeagent.host.speakers import Speakers
Speakers("/run/bfd").end("egress-one")
"""


def test_a_speaker_outlives_the_agent_and_ends_when_told(machine: Machine) -> None:
    require("bird", "ip")
    machine.run("ip", "netns", "add", "egress-one")
    agent = ("systemd-run", "--wait", "--quiet", "--collect", sys.executable, "-c")  # ends, with all that is its own
    machine.run(*agent, _KEEP)
    before = machine.read("/run/bfd/egress-one/pid")
    assert "Daemon is up and running" in machine.python("-c", _ASK).stdout
    machine.run(*agent, _KEEP)
    assert machine.read("/run/bfd/egress-one/pid") == before
    assert "egress-one" in machine.run("ip", "netns", "identify", before.strip()).stdout
    machine.python("-c", _END)
    machine.wait_until(lambda: "bfd-egress-one" not in machine.run("systemctl", "list-units").stdout, 20.0)
    machine.run(*agent, _KEEP)
    assert machine.read("/run/bfd/egress-one/pid") != before
