"""Network namespaces with names, as ip-netns(8) has them: files below /run/netns that keep them alive.

Invariant: a process has one network namespace a thread; work in another is done on a thread of its own, which ends with
it, so that no other thread ever finds itself elsewhere.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import threading
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

DIRECTORY: Final = "/run/netns"
_NEW_NETWORK: Final = 0x40000000  # CLONE_NEWNET
_BIND: Final = 0x1000  # MS_BIND
_DETACH: Final = 2  # MNT_DETACH
_MINE: Final = "/proc/thread-self/ns/net"
_libc = ctypes.CDLL(None, use_errno=True)


def names(prefix: str) -> tuple[str, ...]:
    """The names that begin with `prefix`, sorted."""
    try:
        return tuple(sorted(name for name in os.listdir(DIRECTORY) if name.startswith(prefix)))
    except FileNotFoundError:
        return ()


def make(name: str) -> None:
    """Make a namespace of this name, unless there is one."""
    os.makedirs(DIRECTORY, 0o755, exist_ok=True)
    path = f"{DIRECTORY}/{name}"
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    if not _is_namespace(path):
        _on_a_thread(lambda: _new(path))


def remove(name: str) -> None:
    """Let the namespace go, with all that is in it; done too where there is none."""
    path = f"{DIRECTORY}/{name}"
    with contextlib.suppress(FileNotFoundError):
        if _libc.umount2(os.fsencode(path), _DETACH) != 0 and ctypes.get_errno() != errno.EINVAL:
            raise _failure(path)
        os.unlink(path)


def opened(name: str) -> int:
    """A descriptor of the namespace; FileNotFoundError if there is none."""
    return os.open(f"{DIRECTORY}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)


def within(name: str, work: Callable[[], T]) -> T:
    """What `work` returns in the namespace of this name; what it raises is raised here."""
    descriptor = opened(name)
    try:

        def enter() -> T:
            if _libc.setns(descriptor, _NEW_NETWORK) != 0:
                raise _failure(f"{DIRECTORY}/{name}")
            return work()

        return _on_a_thread(enter)
    finally:
        os.close(descriptor)


def _new(path: str) -> None:
    if _libc.unshare(_NEW_NETWORK) != 0:
        raise _failure("a new network namespace")
    if _libc.mount(os.fsencode(_MINE), os.fsencode(path), b"none", _BIND, None) != 0:
        raise _failure(path)


def _is_namespace(path: str) -> bool:
    return os.stat(path).st_dev == os.stat(_MINE).st_dev


def _on_a_thread(work: Callable[[], T]) -> T:
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits
            errors.append(error)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _failure(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)
