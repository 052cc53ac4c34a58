"""The course of a soak: fault after fault, each of which has to heal, for as long as it is to last.

Invariants: the order of faults follows from the seed alone, never from the clock; each fault comes once before any
comes again; in the second half no agent is ended, so that what it has grown by is told by one process's life.
"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.soak.growth import Growth, Size, growths

_DECKS = 2  # that are measured at the least, after one to warm up
_REST = (0.5, 1.5)  # seconds between two faults


@dataclass(frozen=True)
class Fault:
    """`act` does harm and returns once all is well again; AssertionError tells that `invariant` did not hold.

    `ends` tells that an agent ends by it.
    """

    name: str
    invariant: str
    act: Callable[[random.Random], None]
    ends: bool = False


class Scene(Protocol):
    """What is soaked. `counts` are events worth telling, by name."""

    @property
    def name(self) -> str: ...

    @property
    def faults(self) -> Sequence[Fault]: ...

    @property
    def counts(self) -> Counter[str]: ...

    def rest(self) -> None:
        """Return once all is as it should be; AssertionError if it does not become so."""
        ...

    def agents(self) -> Mapping[str, Path]:
        """Directories in /proc of the agents that run."""
        ...


@dataclass
class Course:
    """What has happened: seconds by fault, what each agent grew by, and what was not kept."""

    name: str
    took: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    growths: tuple[Growth, ...] = ()
    broken: list[str] = field(default_factory=list)


def run(scene: Scene, chance: random.Random, seconds: float, course: Course) -> None:
    """Soak `scene` for `seconds` or a little longer, since each half is whole decks; until an invariant is broken."""
    began = time.monotonic()
    try:
        scene.rest()
        for deck in _decks(scene.faults, chance, began + seconds / 2, 1):
            _play(scene, deck, chance, course)
        lasting = [fault for fault in scene.faults if not fault.ends]
        sizes: list[Mapping[str, Size]] = []
        for number, deck in enumerate(_decks(lasting, chance, began + seconds, 1 + _DECKS)):
            found = _play(scene, deck, chance, course)
            sizes += found if number > 0 else ()
        course.growths = growths(sizes)
    except AssertionError as error:
        course.broken.append(str(error))


def _decks(faults: Sequence[Fault], chance: random.Random, until: float, fewest: int) -> Iterator[Sequence[Fault]]:
    """Shuffled decks of all faults, `fewest` at the least and then until a time."""
    while fewest > 0 or time.monotonic() < until:
        yield chance.sample(faults, len(faults))
        fewest -= 1


def _play(scene: Scene, deck: Sequence[Fault], chance: random.Random, course: Course) -> list[Mapping[str, Size]]:
    """Have the faults of a deck happen; how large the agents were at rest after each."""
    sizes: list[Mapping[str, Size]] = []
    for fault in deck:
        began, before = time.monotonic(), _processes(scene)
        try:
            fault.act(chance)
            scene.rest()
        except AssertionError as error:
            raise AssertionError(f"{fault.name}: not kept: {fault.invariant}: {error}") from error
        course.took[fault.name].append(time.monotonic() - began)
        assert fault.ends or _processes(scene) == before, f"{fault.name}: an agent ended that nobody had ended"
        time.sleep(chance.uniform(*_REST))
        sizes.append({name: Size.least(process) for name, process in scene.agents().items()})
    return sizes


def _processes(scene: Scene) -> Mapping[str, str]:
    return {name: process.name for name, process in scene.agents().items()}
