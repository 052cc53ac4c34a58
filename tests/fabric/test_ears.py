"""What is heard between two looks, in a real network namespace."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nodeagent.host.vrrpears import VrrpEars
from tests.fabric.namespace import inside
from tests.fabric.network import DEADLINE, Router, until

_OURS, _OTHER = "10.77.0.55", "10.77.0.56"


@contextmanager
def _ears(router: Router) -> Iterator[tuple[VrrpEars, Callable[[], int]]]:
    """Ears for one address in a router, and how often they have woken somebody."""
    woken = threading.Semaphore(0)
    ears = inside(router, lambda: VrrpEars(router.path("/run/vrrp.fifo"), woken.release))
    ears.heed(frozenset({_OURS}))
    ears.start()

    def count() -> int:
        counted = 0
        while woken.acquire(blocking=False):
            counted += 1
        return counted

    try:
        yield ears, count
    finally:
        ears.close()


def _address(router: Router, verb: str, address: str) -> None:
    router.run("ip", "address", verb, f"{address}/24", "dev", "eth0")


def test_addresses_of_others_wake_nobody(router: Router) -> None:
    with _ears(router) as (_, count):
        for _ in range(20):
            _address(router, "add", _OTHER)
            _address(router, "del", _OTHER)
        _address(router, "add", _OURS)
        woken = list[int]()

        def told() -> bool:
            woken.append(count())
            return sum(woken) > 0

        until(told, "our own wakes")
        assert sum(woken) == 1, "forty changes before it woke nobody"


def test_the_fifo_is_heard_whenever_it_comes(router: Router) -> None:
    with _ears(router) as (ears, count):
        time.sleep(0.2)
        router.run("mkfifo", "/run/vrrp.fifo")
        for state in ("BACKUP", "MASTER"):
            router.run("sh", "-c", f"echo 'INSTANCE \"VI_1\" {state} 100' > /run/vrrp.fifo")
        until(lambda: ears.heard().get("VI_1") is not None and ears.heard()["VI_1"].state == "MASTER", "it is heard")
        assert count() > 0


def _batch(router: Router, lines: str, *around: str) -> None:
    """One `ip` that does all of it, over one socket."""
    command = router.inside(*around, "ip", "-batch", "-")
    subprocess.run(command, input=lines, text=True, check=True, timeout=DEADLINE)


def test_a_program_that_takes_its_own_address_away_is_no_other(router: Router) -> None:
    """As keepalived in a container does: its socket has a number of its pid namespace, another process on the node."""
    with _ears(router) as (ears, count):
        both = "".join(f"address {verb} {_OURS}/24 dev eth0\n" for verb in ("add", "del"))
        _batch(router, both, "unshare", "--pid", "--fork")
        until(lambda: count() > 0, "it is heard")
        _address(router, "add", _OURS)
        until(lambda: count() > 0, "it is heard")
        assert ears.removals() == ()


def test_who_takes_the_address_of_another_away_is_named(router: Router) -> None:
    with _ears(router) as (ears, _):
        _address(router, "add", _OURS)
        lines = f"address del {_OURS}/24 dev eth0\n"
        command = router.inside("ip", "-batch", "-")
        with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as remover:
            assert remover.stdin is not None
            remover.stdin.write(lines)
            remover.stdin.flush()  # it goes on waiting for more, so that it lives while it is looked at
            until(lambda: ears.removals() != (), "it is told")
            assert [each.by for each in ears.removals()] == [f"ip (process {remover.pid})"]
            remover.stdin.close()
