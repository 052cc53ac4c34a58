"""Runs on the node: has the kube-apiserver start anew, as the daemon does before its loopback certificate ends."""

import json
import sys
from datetime import UTC, datetime

from nodeagent import agent
from nodeagent.agent.certificates import inspector_of
from nodeagent.agent.rotation import Rotation
from nodeagent.certs.renewal import Wanted
from nodeagent.engine.executor import Progress
from nodeagent.engine.handover import Handover
from nodeagent.settings.model import build


class Participant:
    """A job that carries traffic, and remembers what it was asked."""

    name = "participant"
    interrupted = False

    def __init__(self) -> None:
        self.asked: list[str] = []

    def prepare(self, reason: str, deadline: float) -> None:
        assert deadline > 0
        self.asked.append(reason)

    def resume(self) -> None:
        self.asked.append("resume")


def silent(_: Progress) -> None:
    """Nobody watches."""


def main() -> None:
    participant, handover, settings = Participant(), Handover(), build({}, {})
    handover.register(participant)
    with agent.opened(settings) as place, place.store.locked(30.0):
        rotation = Rotation(place, inspector_of(settings, place.tree), handover)
        now = datetime.now(UTC)
        outcome = rotation.renew(rotation.propose(Wanted(("apiserver-loopback",)), now), silent)
    sys.stdout.write(json.dumps({"result": str(outcome.result), "why": outcome.why, "asked": participant.asked}))


if __name__ == "__main__":
    main()
