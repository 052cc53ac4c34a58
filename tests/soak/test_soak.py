"""A minute of the soak, and that its measure of growth tells growth from coming and going."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.soak.acts import Acts
from tests.soak.course import Fault
from tests.soak.growth import Size, growths
from tests.soak.soak import soak, text

_SEED = 20261123


def test_a_minute_of_all_jobs_under_faults_keeps_every_invariant(tmp_path: Path) -> None:
    found = soak(tmp_path, 60.0, _SEED)
    told = text(found, _SEED)
    assert [each.unkept for each in found] == [[], [], [], []], told
    for each in found:
        assert set(each.course.took) == {fault.name for fault in each.faults}, told
        assert each.course.growths, told


def test_a_loss_belongs_to_the_last_fault_before_it() -> None:
    now = iter([1.0, 2.0])
    acts = Acts(lambda: next(now))
    for name in ("cut", "jam"):
        acts.noting(Fault(name, "", lambda _: None)).act(random.Random(1))
    losses = [(0.5, "early"), (1.5, "refused"), (1.6, "refused"), (2.5, "late")]
    assert acts.lost(losses) == {"": 1, "cut": 2, "jam": 1}
    assert acts.unkept(losses, "probes", {"": 1, "cut": 2}) == []
    assert acts.unkept(losses, "probes", {"": 0, "jam": 0}) == [
        "at first: 1 probes lost, allowed are 0: ",
        "jam: 1 probes lost, allowed are 0: 0.50 s after it (before it: cut): late",
    ]
    assert acts.times("cut") == 1


def test_what_comes_and_goes_is_no_growth() -> None:
    (growth,) = growths([{"a": Size(30 + number % 2, 10 + number % 3, 5)} for number in range(12)])
    assert (growth.memory, growth.descriptors, growth.threads) == (0, 0, 0)


def test_what_is_open_for_a_moment_is_not_seen(tmp_path: Path) -> None:
    before = Size.least(Path("/proc/self"))
    with ThreadPoolExecutor(1) as other:
        briefly = other.submit(_open_for_a_moment, tmp_path / "file")
        found = Size.least(Path("/proc/self"))
        briefly.result()
    assert found.descriptors == before.descriptors


def _open_for_a_moment(path: Path) -> None:
    with path.open("w"):
        time.sleep(0.2)


def test_what_is_never_given_back_is_growth() -> None:
    (growth,) = growths([{"a": Size(30 + number / 10, 10 + number, 5 + number // 4)} for number in range(12)])
    assert growth.memory > 0
    assert growth.descriptors == 5
    assert growth.threads > 0
