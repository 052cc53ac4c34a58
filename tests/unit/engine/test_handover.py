"""Traffic moves away in order, comes back in reverse, and comes back for everybody when one cannot let go."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from nodeagent.engine.handover import Handover
from nodeagent.errors import Broken, Transient


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Job:
    """A participant that takes `seconds` to hand over."""

    name: str
    log: list[str]
    clock: Clock
    seconds: float = 0.0
    refusal: Exception | None = None
    stuck: Exception | None = None
    deadlines: list[float] = field(default_factory=list)

    def prepare(self, reason: str, deadline: float) -> None:
        self.log.append(f"prepare {self.name} for {reason}")
        self.deadlines.append(deadline)
        self.clock.now += self.seconds
        if self.refusal is not None:
            raise self.refusal

    interrupted: bool = False

    def resume(self) -> None:
        self.log.append(f"resume {self.name}")
        if self.stuck is not None:
            raise self.stuck


@dataclass
class Site:
    """Two jobs and their hand-over."""

    log: list[str] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.vip, self.egress = Job("vip", self.log, self.clock), Job("egress", self.log, self.clock)
        self.handover = Handover(self.clock)
        self.handover.register(self.vip)
        self.handover.register(self.egress)


def test_who_was_left_away_is_brought_back_unless_work_has_begun_since() -> None:
    site = Site()
    site.handover.recover()
    assert site.log == []
    site.vip.interrupted = True
    site.handover.recover()
    assert site.log == ["resume egress", "resume vip"]
    site.handover.prepare("a reboot", 10.0)
    site.log.clear()
    site.handover.recover()
    assert site.log == []


def test_prepares_in_order_and_resumes_in_reverse() -> None:
    site = Site()
    site.handover.prepare("a reboot", 60.0)
    site.handover.resume()
    assert site.log == ["prepare vip for a reboot", "prepare egress for a reboot", "resume egress", "resume vip"]


def test_all_share_one_deadline() -> None:
    site = Site()
    site.vip.seconds = 100.0
    site.handover.prepare("a reboot", 60.0)
    assert site.vip.deadlines == [60.0]
    assert site.egress.deadlines == [0.0]


@pytest.mark.parametrize("refusal", [Transient("no healthy peer"), OSError("no healthy peer")])
def test_one_that_cannot_brings_all_that_were_asked_back(refusal: Exception) -> None:
    site = Site()
    site.egress.refusal = refusal
    with pytest.raises(Transient, match="egress could not hand over before a reboot: no healthy peer"):
        site.handover.prepare("a reboot", 60.0)
    assert site.log == ["prepare vip for a reboot", "prepare egress for a reboot", "resume egress", "resume vip"]


def test_one_that_was_never_asked_is_left_alone() -> None:
    site = Site()
    site.vip.refusal = Transient("no healthy peer")
    with pytest.raises(Transient):
        site.handover.prepare("a reboot", 60.0)
    assert site.log == ["prepare vip for a reboot", "resume vip"]


def test_when_one_does_not_come_back_either_both_failures_are_told() -> None:
    site = Site()
    site.egress.refusal, site.egress.stuck = Transient("no healthy peer"), Broken("keepalived is gone")
    with pytest.raises(Transient) as failure:
        site.handover.prepare("a reboot", 60.0)
    assert "no healthy peer" in str(failure.value)
    assert "keepalived is gone" in str(failure.value)
    assert site.log[-1] == "resume vip"


@pytest.mark.parametrize("stuck", [Broken("keepalived is gone"), OSError("keepalived is gone")])
def test_everybody_is_asked_to_resume_even_if_another_fails(stuck: Exception) -> None:
    site = Site()
    site.egress.stuck = stuck
    with pytest.raises(Transient, match="egress could not take its traffic back: keepalived is gone"):
        site.handover.resume()
    assert site.log == ["resume egress", "resume vip"]


def test_nobody_there_is_fine() -> None:
    handover = Handover(Clock())
    handover.prepare("a reboot", 0.0)
    handover.resume()
