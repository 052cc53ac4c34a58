"""What systemd says of a unit (org.freedesktop.systemd1, sd-bus interface of the service manager)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UnitState:
    """State of one unit, in systemd's own words.

    `load` is LoadState (loaded, not-found, masked, …), `active` is ActiveState, `sub` is SubState, `file` is
    UnitFileState (enabled, disabled, static, masked, … or "" where no unit file exists), `result` is the Result
    property of a service ("" for other types), `needs_daemon_reload` is NeedDaemonReload.
    """

    name: str
    load: str
    active: str
    sub: str
    file: str
    result: str = ""
    needs_daemon_reload: bool = False
