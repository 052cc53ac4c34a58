"""Applies the scenario's plan to a root directory, or recovers what an earlier run left there. Made to be killed.

    python -m tests.crash.driver ROOT apply|recover|renew|resume

The last two renew certificates, and recover from that.

Ends with status 0, or 1 and the error for people on standard error. BARRIER=fsync or BARRIER=syncfs in the environment
forces one of the two ways in which the barrier flushes; BARRIER=ahead flushes each file besides when it is staged.
"""

from __future__ import annotations

import concurrent.futures
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from nodeagent.errors import NodeAgentError
from nodeagent.host import barrier, files
from nodeagent.host.store import Store
from nodeagent.host.tree import Tree
from tests.crash import scenario

_MANY_DIRTY = {"fsync": -1, "syncfs": 1 << 60, "ahead": 1 << 60}


class _OneByOne:
    """Stands in for the threads of the barrier, so that the calls of a run come in the same order each time."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to wait for."""

    def map(self, call: Callable[[Any], Any], each: Iterable[Any]) -> Iterator[Any]:
        return map(call, each)


class _AtOnce:
    """Stands in for the thread that flushes ahead, for the same reason: it is over when it has been started."""

    ident = None

    def __init__(self, target: Callable[[], None], name: str) -> None:
        self.start, self.name = target, name

    def is_alive(self) -> bool:
        return False


def main(root: str, command: str) -> int:
    barrier._MANY_DIRTY = _MANY_DIRTY[os.environ["BARRIER"]]
    barrier.Thread = _AtOnce  # type: ignore[assignment, attr-defined]
    if os.environ["BARRIER"] == "ahead":
        files._STRIDE = 1
    concurrent.futures.ThreadPoolExecutor = _OneByOne  # type: ignore[assignment, misc]
    try:
        _COMMANDS[command](root)
    except (NodeAgentError, OSError) as error:  # what the command line tells in a line
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _apply(root: str) -> None:
    with Tree(root) as tree:
        executor = scenario.executor(tree, Store(tree, scenario.STATE).prepare())
        executor.execute(scenario.plan(tree), scenario.TRANSACTION)


def _recover(root: str) -> None:
    with Tree(root) as tree:
        scenario.executor(tree, Store(tree, scenario.STATE).prepare()).recover()


def _renew(root: str) -> None:
    from tests.crash import renewal  # noqa: PLC0415 - by need: it brings cryptography along

    renewal.renew(root)


def _resume(root: str) -> None:
    from tests.crash import renewal  # noqa: PLC0415 - as above

    renewal.resume(root)


_COMMANDS = {"apply": _apply, "recover": _recover, "renew": _renew, "resume": _resume}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
