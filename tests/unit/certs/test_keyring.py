"""Keys are rotated so that whatever was written can be read by every API server, whenever anything happens or dies."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.certs.keyring import IDENTITY, Demand, Key, Phase, Progress, Ring, advance, lost
from nodeagent.errors import Broken

WEEK = 168 * 3600.0
SECRETS = Demand(("secrets",), WEEK, keep=2)
EVERYBODY = Progress(frozenset({"a"}), frozenset({"a"}), migrated=True)


def _secret(number: int) -> str:
    return base64.b64encode(bytes([number % 256]) * 32).decode()


def _through(ring: Ring, demand: Demand, now: float) -> Ring:
    """The ring after a whole rotation in which everybody confirms at once."""
    for _ in range(4):
        ring = advance(ring, demand, EVERYBODY, now, _secret(ring.revision))
    return ring


def test_a_first_rotation_reads_before_it_writes() -> None:
    ring, seen = Ring(), []
    for _ in range(5):
        ring = advance(ring, SECRETS, EVERYBODY, 0.0, _secret(1))
        seen.append((ring.phase, ring.revision, ring.providers()))
    key = "nodeagent-1"
    assert seen == [
        (Phase.READING, 1, {"secrets": (IDENTITY, key)}),
        (Phase.WRITING, 2, {"secrets": (key, IDENTITY)}),
        (Phase.MIGRATING, 2, {"secrets": (key, IDENTITY)}),
        (Phase.SETTLED, 3, {"secrets": (key, IDENTITY)}),
        (Phase.SETTLED, 3, {"secrets": (key, IDENTITY)}),
    ]


def test_the_next_begins_when_the_key_has_been_used_for_long_and_keeps_the_last_ones() -> None:
    ring = _through(Ring(), SECRETS, 0.0)
    assert advance(ring, SECRETS, EVERYBODY, WEEK - 1, _secret(2)) == ring
    second = advance(ring, SECRETS, EVERYBODY, WEEK, _secret(2))
    assert second.providers() == {"secrets": ("nodeagent-1", "nodeagent-4", IDENTITY)}
    third = _through(_through(ring, SECRETS, WEEK), SECRETS, 2 * WEEK)
    assert [key.name for key in third.keys] == ["nodeagent-7", "nodeagent-4"]
    assert third.retired == ("nodeagent-1",)


def test_resources_come_and_go_by_the_same_way() -> None:
    ring = _through(Ring(), SECRETS, 0.0)
    other = Demand(("configmaps",), WEEK)
    reading = advance(ring, other, EVERYBODY, 1.0, _secret(2))
    new, old = (key.name for key in reading.keys)
    assert reading.providers() == {"configmaps": (IDENTITY, new, old), "secrets": (old, new, IDENTITY)}
    writing = advance(reading, other, EVERYBODY, 1.0, "")
    assert writing.providers() == {"configmaps": (new, old, IDENTITY), "secrets": (IDENTITY, new, old)}
    assert writing.migrates == ("configmaps", "secrets")
    assert _through(ring, other, 1.0).providers() == {"configmaps": (new, old, IDENTITY)}


@pytest.mark.parametrize(
    "progress",
    [
        Progress(frozenset({"a", "b"}), frozenset({"a"}), migrated=True),
        Progress(frozenset(), frozenset(), migrated=True),
        Progress(frozenset({"a"}), frozenset({"b"}), migrated=True),
    ],
)
@pytest.mark.parametrize("steps", range(1, 5))
def test_nothing_goes_on_until_everybody_has_confirmed(progress: Progress, steps: int) -> None:
    ring = Ring()
    for _ in range(steps):
        ring = advance(ring, SECRETS, EVERYBODY, 0.0, _secret(1))
    assert advance(ring, SECRETS, progress, 9 * WEEK, _secret(9)) == ring


def test_where_nothing_is_asked_for_nothing_begins() -> None:
    assert advance(Ring(), Demand((), WEEK), EVERYBODY, 9 * WEEK, _secret(1)) == Ring()


def test_a_ring_survives_being_written_down_and_shows_no_secret() -> None:
    ring = _through(Ring(), SECRETS, 5.0)
    assert Ring.from_facts(ring.facts()) == ring
    assert ring.keys[0].secret not in repr(ring)


@pytest.mark.parametrize("facts", [{}, {"format": 1}, {"format": 1, "keys": [{"name": "x"}]}, []])
def test_a_damaged_ring_is_refused(facts: object) -> None:
    with pytest.raises(Broken, match="damaged"):
        Ring.from_facts(facts)  # type: ignore[arg-type]


def test_a_ring_of_a_later_version_is_refused() -> None:
    with pytest.raises(Broken, match="format 2"):
        Ring.from_facts(Ring().facts() | {"format": 2})


def test_keys_that_would_be_lost_are_named() -> None:
    ring = replace(Ring(), keys=(Key("a", "1", 0.0),), retired=("old",))
    assert lost(ring, {"a": "1", "old": "3"}) == ()
    assert lost(ring, {"a": "2", "b": "1"}) == ("a", "b")


# -- every interleaving -----------------------------------------------------------------------------------------------


@dataclass
class _Server:
    """An API server: the configuration that it has read, by resource."""

    providers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    revision: int = 0

    def writes(self, resource: str) -> str:
        return self.providers.get(resource, (IDENTITY,))[0]

    def reads(self, resource: str, key: str) -> bool:
        return key in self.providers.get(resource, (IDENTITY,))


class _Cluster:
    """A ring in its Secret, API servers that follow it, objects in etcd, and what a coordinator remembers."""

    def __init__(self, servers: int) -> None:
        self.ring = Ring()
        self.servers = [_Server() for _ in range(servers)]
        self.objects = {("secrets", 0): IDENTITY, ("configmaps", 0): IDENTITY}
        self.left: list[tuple[str, int]] | None = None  # to be written anew
        self.now = 0.0

    def sync(self, number: int) -> None:
        """The node writes the ring's configuration, and its API server reads it."""
        server = self.servers[number % len(self.servers)]
        server.providers, server.revision = self.ring.providers(), self.ring.revision

    def write(self, number: int, resource: str) -> None:
        server = self.servers[number % len(self.servers)]
        self.objects[resource, number % 3] = server.writes(resource)

    def migrate(self, number: int) -> None:
        """One object is written anew, through any API server."""
        if self.ring.phase is not Phase.MIGRATING:
            return
        if self.left is None:
            self.left = sorted(each for each in self.objects if each[0] in self.ring.migrates)
        if self.left:
            resource, name = self.left.pop()
            self.objects[resource, name] = self.servers[number % len(self.servers)].writes(resource)

    def crash(self) -> None:
        """The coordinator forgets what it does not keep."""
        self.left = None

    def coordinate(self, resources: tuple[str, ...], pause: float) -> None:
        self.now += pause
        names = [str(number) for number, _ in enumerate(self.servers)]
        done = [str(n) for n, each in enumerate(self.servers) if each.revision == self.ring.revision]
        progress = Progress(frozenset(names), frozenset(done), self.left == [])
        demand = Demand(resources, WEEK, keep=2)
        before, self.ring = self.ring, advance(self.ring, demand, progress, self.now, _secret(self.ring.revision))
        if self.ring.phase is not before.phase:
            self.left = None

    def check(self) -> None:
        for (resource, name), key in self.objects.items():
            for number, server in enumerate(self.servers):
                assert server.reads(resource, key), f"{resource}/{name} under {key or 'identity'} by server {number}"


_RESOURCES = st.sampled_from([(), ("secrets",), ("configmaps",), ("configmaps", "secrets")])
_NUMBER = st.integers(0, 5)
_STEPS = st.one_of(
    st.tuples(st.just("sync"), _NUMBER),
    st.tuples(st.just("write"), _NUMBER, st.sampled_from(["secrets", "configmaps"])),
    st.tuples(st.just("migrate"), _NUMBER),
    st.tuples(st.just("crash")),
    st.tuples(st.just("coordinate"), _RESOURCES, st.sampled_from([0.0, WEEK])),
)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 3), st.lists(_STEPS, max_size=80))
def test_everything_can_be_read_by_everybody_at_any_time(servers: int, steps: list[tuple[object, ...]]) -> None:
    cluster = _Cluster(servers)
    for name, *arguments in steps:
        getattr(cluster, str(name))(*arguments)
        cluster.check()


def test_the_same_over_many_whole_rotations() -> None:
    """Random steps alone seldom come far: here everybody keeps up, between writes of all kinds."""
    cluster = _Cluster(3)
    for number in range(400):
        cluster.coordinate([("secrets",), ("configmaps", "secrets"), ("configmaps",), ()][number // 100], WEEK / 3)
        cluster.write(number, ("secrets", "configmaps")[number % 2])
        for each in range(3):
            cluster.sync(each)
            cluster.check()
            cluster.migrate(number + each)
            cluster.check()
    assert cluster.ring.revision > 50
    assert len(cluster.ring.keys) <= 3
