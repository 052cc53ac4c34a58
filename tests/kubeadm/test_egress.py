"""Egress traffic of Kube-OVN's gateways, handed over by the agent in its pod, with the rights that it has there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nodeagent.egress.node.dataplane import BACK
from tests.capabilities import require
from tests.kubeadm.agent import AgentPod
from tests.kubeadm.node import KubeadmNode

_SPEAKER = """
import socket, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
    speaker.bind(("0.0.0.0", 3784))
    time.sleep(600)
"""
_SILENCED = "from nodeagent.host import silence; print(*silence.silent())"
_SPEAKING = "from nodeagent.host import silence; print(*silence.speaking())"


@contextmanager
def _gateway(node: KubeadmNode, name: str) -> Iterator[None]:
    """A namespace as Kube-OVN's gateways have it: rules that choose the way, and somebody who listens for BFD."""
    node.run("ip", "netns", "add", name)
    for priority, table in (("1001", "main"), ("1002", str(BACK))):
        node.run("ip", "-n", name, "rule", "add", "priority", priority, "table", table)
    speaker = ("ip", "netns", "exec", name, "python3", "-c", _SPEAKER)
    node.run("systemd-run", "--unit=speaker", "--collect", *speaker)
    try:
        yield
    finally:
        node.run("systemctl", "stop", "speaker.service")
        node.run("ip", "netns", "del", name)


def _say(node: KubeadmNode, *words: str, check: bool = True) -> str:
    command = ("/opt/nodeagent/bin/python", "-m", "nodeagent", "egress", *words, "--gateways-detection=1s")
    return node.kubectl("-n", "nodeagent", "exec", "daemonset/agent", "--", *command, check=check)


def test_the_agent_in_its_pod_silences_a_gateway_and_lets_it_speak_again(node: KubeadmNode, agent: AgentPod) -> None:
    require("ip")
    agent.until_ready()
    with _gateway(node, "cni-veg"):

        def silent() -> str:
            return node.python("-c", _SILENCED).stdout.strip()

        node.until(lambda: "cni-veg" in node.python("-c", _SPEAKING).stdout, "somebody listens")
        assert "no new egress traffic comes here" in _say(node, "drain")
        assert silent() == "cni-veg"
        _say(node, "resume", "--timeout=1", check=False)  # there is no router whose word it could hear
        assert silent() == ""
