"""Generations: what was applied, when and why, kept so that it can be applied again.

Each generation is one private file named by its number; the number grows with each new rendered config and never
shrinks. Generation 0 is the node before the agent came, and is always there to go back to. A file has two lines of
JSON: what history tells, and the rendered config, which is as large as all its contents and seldom read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nodeagent.engine.formats import refuse_later
from nodeagent.errors import Broken

DIRECTORY = "generations"
FORMAT = 1


@dataclass(frozen=True)
class Generation:
    """One applied config. `cause` is why it was applied, `when` in seconds since the epoch.

    `rendered` is the rendered MachineConfig in JSON, `provenance` tells which MachineConfig each part came from,
    `policy` is the MachineConfiguration document whose disruption policy was in force (None for the defaults).
    """

    number: int
    config: str
    cause: str
    when: float
    plan: str
    changes: tuple[str, ...]
    rendered: bytes = field(repr=False)
    provenance: Mapping[str, tuple[str, ...]] = field(repr=False)
    policy: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return file_name(self.number)

    def encode(self) -> bytes:
        head = {name: value for name, value in vars(self).items() if name != "rendered"} | {"format": FORMAT}
        return b"%b\n%b\n" % (json.dumps(head, separators=(",", ":"), sort_keys=True).encode(), self.rendered)

    @classmethod
    def decode(cls, data: bytes, name: str) -> Generation:
        """The generation of the history file `name`; Broken if it is damaged or of a later version."""
        try:
            head, _, rest = data.partition(b"\n")
            document = json.loads(head)
            refuse_later(f"{DIRECTORY}/{name}", document.pop("format", None), FORMAT)
            rendered, _ = rest.split(b"\n")
            provenance = {key: tuple(names) for key, names in document["provenance"].items()}
            changes = tuple(document["changes"])
            return cls(**(document | {"provenance": provenance, "changes": changes, "rendered": rendered}))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(error) from error

    def document(self) -> Any:
        """The rendered MachineConfig as a JSON value; Broken if it is damaged."""
        try:
            return json.loads(self.rendered)
        except ValueError as error:
            raise _damaged(error) from error


def _damaged(error: Exception) -> Broken:
    return Broken(f"a generation's file is damaged ({error}): choose another one")


def file_name(number: int) -> str:
    """Name of a generation's file; sorts by age."""
    return f"{number:08d}.json"


def number_of(name: str) -> int | None:
    """The generation that a file holds; None for any other file."""
    stem, dot, _ = name.partition(".json")
    return int(stem) if dot and stem.isascii() and stem.isdigit() else None


def expired(files: Iterable[tuple[str, int]], current: int, keep: int, max_bytes: int) -> tuple[str, ...]:
    """Names of the history files to remove: all but the newest `keep` that fit in `max_bytes`, and the current."""
    known = sorted(
        ((number, name, size) for name, size in files if (number := number_of(name)) is not None),
        reverse=True,
    )
    gone, kept, used = [], 0, 0
    for number, name, size in known:
        used += size
        if number != current and (kept >= keep or used > max_bytes):
            gone.append(name)
            used -= size
        else:
            kept += 1
    return tuple(sorted(gone))
