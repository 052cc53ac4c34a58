"""Whether the kernel can name who changes files, and believes its own clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from nodeagent.doctor.check import Check, judged, warning
from nodeagent.observed.vitals import KernelClock

FANOTIFY: Final = "fanotify"
CLOCK: Final = "clock"


def fanotify(problems: Iterable[str]) -> Check:
    """`problems` say where writers cannot be named, and why. Drift is found all the same."""
    advice = "Linux 5.15 or later names them, to a process with CAP_SYS_ADMIN, on local file systems"
    findings = [warning(each, advice) for each in problems]
    return judged(FANOTIFY, findings, "the kernel names who changes files (FAN_REPORT_PIDFD)")


def clock(seen: KernelClock | None) -> Check:
    """Certificates are due by the clock. `seen` is None where this process may not ask the kernel."""
    if seen is None:
        refused = warning("the kernel may not be asked about its clock here", "look with: timedatectl")
        return judged(CLOCK, [refused], "")
    if not seen.synchronised:
        advice = "run a time service (chrony, systemd-timesyncd), and see whether it reaches its servers"
        return judged(CLOCK, [warning("nothing keeps the kernel's clock synchronised", advice)], "")
    return judged(CLOCK, (), f"synchronised; it is wrong by at most {seen.error:.3f} s")
