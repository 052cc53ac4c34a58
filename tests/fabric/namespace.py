"""Runs a function in a router's network and file tree, on a thread of its own."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from tests.fabric.network import DEADLINE, Router

T = TypeVar("T")

_CLONE_FS, _CLONE_NEWNS, _CLONE_NEWNET = 0x200, 0x20000, 0x40000000


def inside(router: Router, function: Callable[[], T], deadline: float = 3 * DEADLINE) -> T:
    """The result of `function` inside `router`, within `deadline` seconds; what it raises is raised here."""
    results: list[T] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            _enter(router)
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - it is raised on the caller's thread
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(deadline)
    assert not thread.is_alive(), f"not within {deadline:g} s"
    if failures:
        raise failures[0]
    return results[0]


def _enter(router: Router) -> None:
    """Only this thread: before it enters a mount namespace it must share no directories with the others."""
    libc = ctypes.CDLL(None, use_errno=True)
    results = [libc.unshare(_CLONE_FS)]
    for kind, flag in (("net", _CLONE_NEWNET), ("mnt", _CLONE_NEWNS)):
        descriptor = os.open(f"/proc/{router.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        results.append(libc.setns(descriptor, flag))
        os.close(descriptor)
    assert not any(results), os.strerror(ctypes.get_errno())
