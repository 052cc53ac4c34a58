"""Somebody who may rename in a parent directory cannot make us write anywhere else, however fast they are."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeagent.errors import Transient
from tests.capabilities import require
from tests.unit.host.scratch import Scratch


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    scratch = Scratch(tmp_path / "root")
    yield scratch
    scratch.close()


class Racer:
    """Somebody who owns /home swaps /home/dir with a link to a forbidden place, as fast as they can."""

    def __init__(self, home: Path, forbidden: Path, owner: int | None) -> None:
        self._home, self._forbidden, self._owner = home, forbidden, owner
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._race)
        (home / "dir").mkdir()

    def _race(self) -> None:
        here, away, link = self._home / "dir", self._home / "away", self._home / "link"
        while not self._stop.is_set():
            link.symlink_to(self._forbidden)
            if self._owner is not None:
                os.lchown(link, self._owner, self._owner)
            here.rename(away)
            link.rename(here)
            here.unlink()
            away.rename(here)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _attempts(scratch: Scratch, count: int) -> set[str]:
    """Try to write, change and remove below /home/dir again and again; returns what came of it."""
    results = set()
    for number in range(count):
        scratch.tree.forget()
        try:
            change, link = scratch.write("/home/dir/file", b"%d" % number), scratch.link("/home/dir/link", "x")
            batch = scratch.batch(change, link, transaction=str(number))
        except OSError:
            continue
        try:
            batch.stage()
            batch.commit()
            batch.discard()
            results.add("done")
        except (OSError, Transient):
            results.add("failed")
            _undo_if_it_lets_us(scratch, batch.undo)
    return results


def _undo_if_it_lets_us(scratch: Scratch, undo: Callable[[], None]) -> None:
    try:
        undo()
    except OSError:
        scratch.tree.forget()


def test_nothing_is_ever_written_where_a_racing_link_points(scratch: Scratch, tmp_path: Path) -> None:
    """The link may be our own here, if we are not root: then it is followed, but never out of the root."""
    forbidden = tmp_path / "forbidden"
    forbidden.mkdir()
    scratch.at("/home").mkdir()
    with Racer(scratch.at("/home"), forbidden, None):
        results = _attempts(scratch, 2000)
    assert results
    assert list(forbidden.iterdir()) == []


def test_nothing_is_ever_written_inside_the_root_where_a_racing_link_of_another_user_points(scratch: Scratch) -> None:
    require("root")
    scratch.at("/home").mkdir()
    scratch.at("/forbidden").mkdir()
    with Racer(scratch.at("/home"), Path("/forbidden"), 1234):
        results = _attempts(scratch, 2000)
    assert results
    assert list(scratch.at("/forbidden").iterdir()) == []
