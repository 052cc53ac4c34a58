"""A soak: scenes, two at a time, each with its own faults, and what came of it.

Invariant: what happens, and in which order, follows from the seed; each scene draws from a source of its own, so that
one that is slow changes nothing for another.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.capabilities import require
from tests.node.machine import Machine
from tests.soak.cluster import CONNECTIONS, cluster
from tests.soak.configured import Configured
from tests.soak.course import Course, Fault, run
from tests.soak.gateways import gateways
from tests.soak.shared import shared

MEMORY = 2.0  # MiB that an agent may have grown by: what allocators leave lying about
_MARGIN = 1800.0  # seconds: how long what is to end by itself outlives its soak
Play = Callable[[Path, float, int], "Scenery"]


@dataclass(frozen=True)
class Scenery:
    """One scene, and what came of it. `connections` are descriptors that a process may open by need, and keep."""

    course: Course
    faults: tuple[Fault, ...]
    counts: Mapping[str, int]
    lost: Mapping[str, int]
    connections: int = 0

    @property
    def unkept(self) -> list[str]:
        """What was not kept, growth included."""
        grown = [
            f"{each.agent} grew: {each.memory:.1f} MiB, {each.descriptors} descriptors, {each.threads} threads"
            for each in self.course.growths
            if each.memory > MEMORY or each.descriptors > self.connections or each.threads
        ]
        return [*self.course.broken, *grown]


def soak(scratch: Path, seconds: float, seed: int) -> list[Scenery]:
    """All scenes in `seconds`, or a little longer; `scratch` takes logs.

    Two at a time, each on a thread of its own: more would starve each other of the machine, and lose requests by that.
    """
    require("root", "systemd", "overlay", "keepalived", "ip", "nsenter", "ovn", "bird", "libnftables")
    require("control-plane", "setpriv")
    pairs: tuple[tuple[Play, Play], ...] = ((_configured, _shared), (_gateways, _cluster))
    found = []
    for pair in pairs:
        with ThreadPoolExecutor(len(pair)) as threads:
            running = [threads.submit(scene, scratch, seconds / len(pairs), seed) for scene in pair]
            found += [each.result() for each in running]
    return found


def _configured(scratch: Path, seconds: float, seed: int) -> Scenery:
    with Machine(scratch, 60.0) as machine:
        scene = Configured(machine)
        course = Course(scene.name)
        run(scene, _chance(seed, scene.name), seconds, course)
        return Scenery(course, scene.faults, scene.counts, {})


def _shared(_: Path, seconds: float, seed: int) -> Scenery:
    with shared(2 * seconds + _MARGIN) as (scene, load):
        course = Course(scene.name)
        run(scene, _chance(seed, scene.name), seconds, course)
    course.broken += scene.unkept(load)
    scene.counts["requests"] = load.requests
    return Scenery(course, scene.faults, scene.counts, scene.lost(load))


def _gateways(_: Path, seconds: float, seed: int) -> Scenery:
    with gateways() as scene:
        course = Course(scene.name)
        run(scene, _chance(seed, scene.name), seconds, course)
    course.broken += scene.unkept
    return Scenery(course, scene.faults, scene.counts, scene.lost)


def _cluster(scratch: Path, seconds: float, seed: int) -> Scenery:
    with cluster(scratch) as scene:
        course = Course(scene.name)
        run(scene, _chance(seed, scene.name), seconds, course)
    return Scenery(course, scene.faults, scene.counts, {}, CONNECTIONS)


def _chance(seed: int, name: str) -> random.Random:
    return random.Random(f"{seed}/{name}")


def text(sceneries: list[Scenery], seed: int) -> str:
    """The whole of it for people."""
    return "\n".join([f"# Soak, seed {seed}", *(line for each in sceneries for line in _lines(each))]) + "\n"


def _lines(scenery: Scenery) -> Iterator[str]:
    yield from ("", f"## {scenery.course.name}", "", "| fault | kept | times | slowest | lost |")
    yield "| --- | --- | ---: | ---: | ---: |"
    for fault in scenery.faults:
        took = scenery.course.took.get(fault.name, [])
        slowest = f"{max(took):.1f} s" if took else ""
        yield f"| {fault.name} | {fault.invariant} | {len(took)} | {slowest} | {scenery.lost.get(fault.name, 0)} |"
    yield from ("", ", ".join(f"{name}: {number}" for name, number in sorted(scenery.counts.items())), "")
    yield from _growth_lines(scenery.course)
    yield from (f"- NOT KEPT: {each}" for each in scenery.unkept)
    if not scenery.unkept:
        yield "- all invariants kept"


def _growth_lines(course: Course) -> Iterator[str]:
    yield "| agent, after warm-up | memory, MiB | grew by | descriptors | grew by | threads | grew by |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for each in course.growths:
        memory = f"{each.first.memory:.1f} … {each.last.memory:.1f} | {each.memory:.1f}"
        descriptors = f"{each.first.descriptors} … {each.last.descriptors} | {each.descriptors}"
        threads = f"{each.first.threads} … {each.last.threads} | {each.threads}"
        yield f"| {each.agent} | {memory} | {descriptors} | {threads} |"
    yield ""
