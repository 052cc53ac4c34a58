"""What `nodeagent uninstall` takes back of egress gateways on a node: namespaces, speakers, rules of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeagent.agent import uninstall
from nodeagent.agent.gateways import remove
from nodeagent.changes.leavings import EndSilence, RemoveGateway
from nodeagent.egress.node.bird import configuration
from nodeagent.egress.node.keeper import Keeper, Parts
from nodeagent.egress.node.part import PREFIX
from nodeagent.engine.report import Report
from nodeagent.host import namespaces, silence
from nodeagent.host.gatewaykernel import GatewayKernel
from nodeagent.host.speakers import Speakers
from nodeagent.settings import Settings
from tests.capabilities import require
from tests.contract.test_bird import ROUTER, cable
from tests.fabric.namespace import inside
from tests.fabric.network import network
from tests.fabric.test_gatewaytraffic import _Ports
from tests.unit.egress.parts import TIMING, part


class _Deaf:
    def publish(self, report: Report) -> None:
        assert not report.state.bad, report.reason


def test_a_gateway_goes_with_its_speaker(tmp_path: Path) -> None:
    require("root", "ip", "nsenter", "libnftables", "bird")
    with network(1) as (node,):
        given = part(port=f"gone-{tmp_path.name}", underlay="eth0")
        speakers = Speakers(f"{node.path('/run')}/bfd")

        def build_and_remove() -> None:
            settings = Settings(run_dir="/run")
            Keeper(lambda: Parts((given,)), GatewayKernel(PREFIX), _Ports(), _Deaf(), 1.0).tick()
            Speakers("/run/bfd").keep(given.namespace, configuration(given, TIMING))
            assert RemoveGateway(given.namespace) in set(uninstall._gateways())
            remove(settings, given.namespace)
            assert namespaces.names(PREFIX) == ()
            assert list(uninstall._gateways()) == []

        inside(node, build_and_remove)
        assert speakers.names() == ()


def test_a_rule_in_somebody_elses_namespace_is_found_and_taken_out(tmp_path: Path) -> None:
    require("root", "ip", "libnftables", "bird")
    speakers = Speakers(str(tmp_path))
    with cable() as (_, theirs):
        speakers.keep(theirs, ROUTER)
        try:
            silence.silence(theirs)
            assert EndSilence(theirs) in set(uninstall._gateways())
            silence.unsilence(theirs)
            assert EndSilence(theirs) not in set(uninstall._gateways())
        finally:
            speakers.end(theirs)


@pytest.mark.parametrize("name", [f"{PREFIX}none"])
def test_a_gateway_that_is_gone_already_is_no_failure(name: str, tmp_path: Path) -> None:
    require("root", "libnftables")
    remove(Settings(run_dir=str(tmp_path)), name)
