"""BIRD as the gateway's end of BFD: kept, asked, silenced, with a real BIRD as the router's end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.egress.node.bird import configuration, sessions
from nodeagent.errors import Broken, Transient
from nodeagent.host import silence
from nodeagent.host.bfdears import heard
from nodeagent.host.speakers import Speakers
from tests.capabilities import require
from tests.contract.test_bird import ROUTER, cable
from tests.fabric.network import until
from tests.unit.egress.parts import TIMING, part


class Scene:
    """Two namespaces with a cable, the gateway's and the router's, and a speaker to be in each."""

    def __init__(self, names: tuple[str, str], folder: Path) -> None:
        self.gateway, self.router = names
        self.speakers = Speakers(str(folder / "speakers"))
        self.text = configuration(part(), TIMING)

    def states(self, namespace: str) -> set[str]:
        return {each.state for each in sessions(self.speakers.ask(namespace, "show bfd sessions"))}

    def pid(self, namespace: str) -> int:
        return int(Path(self.speakers._file(namespace, "pid")).read_text())

    def start(self) -> None:
        self.speakers.keep(self.router, ROUTER)
        self.speakers.keep(self.gateway, self.text)
        until(lambda: self.states(self.gateway) == self.states(self.router) == {"up"}, "all sessions are up", 30.0)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    require("root", "bird", "libnftables")
    with cable() as names:
        found = Scene(names, tmp_path)
        try:
            yield found
        finally:
            for name in found.speakers.names():
                found.speakers.end(name)


def test_a_speaker_is_found_again_and_not_started_twice(scene: Scene) -> None:
    scene.start()
    before = scene.pid(scene.gateway)
    another = Speakers(scene.speakers._directory)
    another.keep(scene.gateway, scene.text)
    assert scene.pid(scene.gateway) == before
    assert scene.states(scene.router) == {"up"}


def test_another_configuration_is_taken_without_losing_the_process(scene: Scene) -> None:
    scene.start()
    before = scene.pid(scene.gateway)
    only = configuration(part(peers=frozenset({"10.20.0.1"})), TIMING)
    scene.speakers.keep(scene.gateway, only)
    until(
        lambda: len(sessions(scene.speakers.ask(scene.gateway, "show bfd sessions"))) == 1, "one session is left", 30.0
    )
    assert scene.pid(scene.gateway) == before


def test_a_configuration_that_was_not_taken_is_asked_for_again(scene: Scene) -> None:
    scene.start()
    for _ in range(2):
        with pytest.raises(Broken, match="does not take its configuration"):
            scene.speakers.keep(scene.gateway, "nonsense;")
    os.kill(scene.pid(scene.gateway), signal.SIGSTOP)
    only = configuration(part(peers=frozenset({"10.20.0.1"})), TIMING)
    with pytest.raises(Transient, match="does not answer"):
        scene.speakers.keep(scene.gateway, only)
    os.kill(scene.pid(scene.gateway), signal.SIGCONT)
    scene.speakers.keep(scene.gateway, only)
    until(
        lambda: len(sessions(scene.speakers.ask(scene.gateway, "show bfd sessions"))) == 1, "one session is left", 30.0
    )


def test_a_speaker_that_was_killed_is_started_again(scene: Scene) -> None:
    scene.start()
    before = scene.pid(scene.gateway)
    os.kill(before, signal.SIGKILL)
    until(lambda: scene.states(scene.router) == {"down"}, "the router has noticed", 30.0)
    scene.start()
    assert scene.pid(scene.gateway) != before


def test_a_configuration_that_is_nonsense_is_told(scene: Scene) -> None:
    with pytest.raises(Broken, match="does not start"):
        scene.speakers.keep(scene.gateway, "nonsense;")


def test_an_ended_speaker_leaves_nothing(scene: Scene) -> None:
    scene.start()
    scene.speakers.end(scene.gateway)
    scene.speakers.end(scene.gateway)
    assert scene.speakers.names() == (scene.router,)
    assert silence.speaking(scene.gateway) == ()


def test_what_routers_say_is_heard_beside_the_speaker(scene: Scene) -> None:
    scene.start()
    assert heard([scene.gateway, "no-such-namespace"], 1.5) == dict.fromkeys(
        [(scene.gateway, "10.20.0.1"), (scene.gateway, "fd00:20::1")], "up"
    )
    silence.silence(scene.gateway)
    until(lambda: set(heard([scene.gateway], 1.5).values()) == {"down"}, "the router says that it misses it", 30.0)


def test_silence_takes_sessions_down_at_the_router_and_the_speaker_lives(scene: Scene) -> None:
    scene.start()
    assert silence.speaking(scene.gateway) == (scene.gateway,)
    assert not silence.silenced(scene.gateway)
    silence.silence(scene.gateway)
    silence.silence(scene.gateway)
    assert silence.silenced(scene.gateway)
    before = scene.pid(scene.gateway)
    until(lambda: scene.states(scene.router) == {"down"}, "the router takes it for dead", 30.0)
    assert scene.states(scene.gateway)  # it still answers
    silence.unsilence(scene.gateway)
    silence.unsilence(scene.gateway)
    until(lambda: scene.states(scene.router) == {"up"}, "it is back", 30.0)
    assert scene.pid(scene.gateway) == before
