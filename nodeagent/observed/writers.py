"""Who changed a path, as far as the kernel told us at the time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Writer:
    """A process that changed a path.

    `when` is seconds since the epoch. `unit` is the systemd unit and `container` the container id that the process's
    cgroup names ("" where there is none). A field that could not be read in time is "" (or None for ids); nothing is
    guessed. `login` is the audit login user: who logged in before any sudo.
    """

    when: float
    pid: int
    command: str = ""
    executable: str = ""
    command_line: str = ""
    uid: int | None = None
    user: str = ""
    login: str = ""
    unit: str = ""
    container: str = ""

    def describe(self) -> str:
        """One line for people: `vim (/usr/bin/vim.basic) as root, pid 812, in ssh.service`."""
        name = self.command or "a process that was gone before it could be read"
        parts = [f"{name} ({self.executable})" if self.executable else name]
        if self.user or self.uid is not None:
            parts[0] += f" as {self.user or self.uid}"
        if self.login and self.login != self.user:
            parts[0] += f", logged in as {self.login}"
        parts.append(f"pid {self.pid}")
        if self.container:
            parts.append(f"in container {self.container[:12]}")
        elif self.unit:
            parts.append(f"in {self.unit}")
        return ", ".join(parts)
