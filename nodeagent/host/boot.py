"""Which boot of the kernel this is."""

from __future__ import annotations


def boot_id() -> str:
    """The random id of the running boot (random(4), /proc/sys/kernel/random/boot_id)."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
