"""A node whose egress traffic is handed over by silence, as the daemon and the command do it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.agent.gatewayhandover import PlannedWork, carried, silenced
from nodeagent.agent.turn import Turn
from nodeagent.cli.main import main
from nodeagent.egress.node.bird import configuration, sessions
from nodeagent.host import namespaces, silence
from nodeagent.host.drainfile import WORK, DrainFiles
from nodeagent.host.speakers import Speakers
from nodeagent.settings import Settings
from tests.capabilities import require
from tests.contract.test_bird import ROUTER, cable
from tests.fabric.network import until
from tests.unit.egress.parts import TIMING, part


class _Events:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def record(self, kind: str, reason: str, _message: str) -> None:
        self.told.append((kind, reason))


def test_planned_work_and_commands_take_the_routers_sessions_down_and_bring_them_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the namespace that is a gateway's falls silent: others that speak BFD are nobody's business."""
    require("root", "ip", "bird", "libnftables")
    speakers, run_dir = Speakers(str(tmp_path / "bfd")), str(tmp_path / "run")
    with cable() as (gateway, router):
        # another run of the tests on this machine has gateways of its own
        monkeypatch.setattr(namespaces, "names", lambda prefix: [n for n in (gateway, router) if n.startswith(prefix)])

        def states() -> set[str]:
            return {each.state for each in sessions(speakers.ask(router, "show bfd sessions"))}

        for priority in ("1001", "1002"):  # as every gateway's namespace has them, and no other's
            subprocess.run(
                ["ip", "-n", gateway, "rule", "add", "priority", priority, "table", "main"], check=True, timeout=10
            )
        try:
            speakers.keep(router, ROUTER)
            speakers.keep(gateway, configuration(part(), TIMING))
            until(lambda: states() == {"up"}, "all sessions are up", 30.0)
            until(lambda: gateway in carried(), "the gateway is found by who listens", 30.0)
            events, files = _Events(), DrainFiles(run_dir)
            settings = replace(Settings(), run_dir=run_dir)
            work = PlannedWork(settings, silenced(settings, None, WORK), Turn(None, "", "", "n1", ""), events)
            work.prepare("a reboot", 20.0)
            assert events.told == [("Normal", "EgressHandedOver")]
            assert files.word() == "drain"
            assert silence.silenced(gateway)
            assert not silence.silenced(router)
            assert "up" not in states()
            assert files.begun(WORK)
            work.resume()
            assert not files.begun(WORK)
            until(lambda: states() == {"up"}, "all sessions are back", 30.0)

            flags = ["--run-dir", run_dir, "--gateways-detection", "1"]
            assert main(["egress", "drain", *flags]) == 0
            until(lambda: "up" not in states(), "the routers have missed it", 30.0)
            work.resume()  # a drain by command outlives planned work
            assert silence.silenced(gateway)
            assert main(["egress", "resume", *flags]) == 0
            assert states() == {"up"}  # it waits for them
            assert files.left() == ()
        finally:
            for name in speakers.names():
                speakers.end(name)
