"""What the agent has put on the node: the expected state of every path it manages, and how to give the path back.

Written in the same transaction as the changes it describes, so that it is never ahead of or behind the disk. It holds
digests, names and public keys; the bytes of originals lie in a store of their own, by digest.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from nodeagent.changes.files import Trace
from nodeagent.engine.formats import refuse_later
from nodeagent.errors import Broken
from nodeagent.observed.files import FileState

STATE_FILE = "applied.json"
FORMAT = 1
LABEL = "security.selinux"


class Subject(StrEnum):
    """Which part of a MachineConfig a path stands for."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    PARENT = "parent"  # a directory made only because something below it was declared
    UNIT = "unit"
    DROPIN = "dropin"
    ENABLEMENT = "enablement"
    MASK = "mask"
    SSH = "ssh"
    PASSWORD = "password"  # noqa: S105 - a word, no secret
    KERNEL = "kernel"


@dataclass(frozen=True, slots=True)
class Original:
    """What stood at a path before the agent first touched it; a file's bytes are kept under `trace.digest`."""

    trace: Trace
    xattrs: tuple[tuple[str, bytes], ...] = ()

    @classmethod
    def of(cls, state: FileState) -> Original:
        return cls(Trace.of(state), state.xattrs)

    def facts(self) -> dict[str, Any]:
        return _facts(self.trace, self.xattrs)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Original:
        xattrs = tuple((name, base64.b64decode(value)) for name, value in sorted(facts.get("xattrs", {}).items()))
        return cls(Trace.from_facts(facts), xattrs)


@dataclass(frozen=True, slots=True)
class Entry:
    """One managed path: the state it must have, and what to give back when nothing declares it any more.

    `original` is None where nothing stood there. `unit` names the systemd unit that a unit file, dropin or enablement
    link belongs to. `any_contents` is set for a file that was declared without contents: its bytes are nobody's.
    """

    subject: Subject
    trace: Trace
    sources: tuple[str, ...] = ()
    original: Original | None = None
    unit: str = ""
    any_contents: bool = False
    xattrs: tuple[tuple[str, bytes], ...] = ()

    def labelled(self, state: FileState) -> Entry:
        """The entry with the SELinux label that the path has been given, if it had none of its own."""
        label = tuple((name, value) for name, value in state.xattrs if name == LABEL)
        known = any(name == LABEL for name, _ in self.xattrs)
        return self if known or not label else replace(self, xattrs=tuple(sorted((*self.xattrs, *label))))

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "subject": str(self.subject),
            "expected": _facts(self.trace, self.xattrs),
        }
        if self.sources:
            facts["sources"] = list(self.sources)
        if self.original is not None:
            facts["original"] = self.original.facts()
        if self.unit:
            facts["unit"] = self.unit
        if self.any_contents:
            facts["anyContents"] = True
        return facts

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Entry:
        expected = Original.from_facts(facts["expected"])
        return cls(
            Subject(facts["subject"]),
            expected.trace,
            tuple(facts.get("sources", ())),
            Original.from_facts(facts["original"]) if "original" in facts else None,
            facts.get("unit", ""),
            facts.get("anyContents", False),
            expected.xattrs,
        )


class _Entries(Mapping[str, Entry]):
    """Entries by path, from a state file: each is made of its facts when first asked for, and most seldom are.

    Broken is raised for an entry that is damaged.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._entries: dict[str, Any] = dict(facts)

    def __getitem__(self, path: str) -> Entry:
        found = self._entries[path]
        if not isinstance(found, Entry):
            try:
                found = self._entries[path] = Entry.from_facts(found)
            except (ValueError, KeyError, TypeError) as error:
                raise _damaged(error) from error
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, path: object) -> bool:
        return path in self._entries


@dataclass(frozen=True)
class Unit:
    """What was declared of a unit; None where the MachineConfig is silent and the preset decided, or nobody."""

    enabled: bool | None = None
    mask: bool | None = None


@dataclass(frozen=True)
class Account:
    """What the agent put into the configured user's account: public keys and the digest of the password hash.

    `found` are those of the keys that stood there before the agent came: they are not its own to remove.
    `password_before` is the field of /etc/shadow that stood there first ("" where none did).
    """

    user: str = ""
    keys: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    password_digest: str = ""
    password_before: str = field(default="", repr=False)


@dataclass(frozen=True)
class Kernel:
    """Kernel arguments that the agent added to, and took from, the boot loader's configuration.

    `present` and `absent` are all that must and must not be there, whoever saw to it: drift is measured by them.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pending:
    """A reboot that has been prepared and not yet confirmed: `boot` is the boot id it was prepared under.

    With `wait`, an administrator has asked not to reboot now, and the daemon does not either.
    """

    boot: str
    why: str
    since: float
    wait: bool = False


@dataclass(frozen=True)
class Applied:
    """The state that the agent has applied and answers for.

    `removed` are paths that the agent took away for good. `held` names a rendered config that an administrator has
    rolled back from: the daemon leaves it alone until the sources say something else. `foreign_dropins` stood beside
    managed units when they were applied, so they are somebody's and no drift.
    """

    generation: int = 0
    config: str = ""
    entries: Mapping[str, Entry] = field(default_factory=dict)
    units: Mapping[str, Unit] = field(default_factory=dict)
    account: Account = Account()
    kernel: Kernel = Kernel()
    removed: tuple[str, ...] = ()
    pending: Pending | None = None
    held: str = ""
    foreign_dropins: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """The state file: JSON, sorted, one entry a line so that it can be read by people and compared by tools."""
        head = {
            "format": FORMAT,
            "generation": self.generation,
            "config": self.config,
            "units": {name: _given(vars(unit)) for name, unit in sorted(self.units.items())},
            "account": vars(self.account),
            "kernel": {name: list(values) for name, values in vars(self.kernel).items()},
            "removed": list(self.removed),
            "pending": vars(self.pending) if self.pending else None,
            "held": self.held,
            "foreignDropins": list(self.foreign_dropins),
        }
        lines = (f"{_compact(path)}:{_compact(entry.facts())}" for path, entry in sorted(self.entries.items()))
        entries = ",\n".join(lines)
        return f'{_compact(head)[:-1]},"entries":{{\n{entries}\n}}}}\n'.encode()

    @classmethod
    def decode(cls, data: bytes, name: str = STATE_FILE) -> Applied:
        """The state of the state file `name`; Broken if it is damaged or of a later version."""
        try:
            document = json.loads(data)
            refuse_later(name, document["format"], FORMAT)
            return cls._from(document)
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(error) from error

    @classmethod
    def _from(cls, document: Mapping[str, Any]) -> Applied:
        account = document["account"]
        keys = {name: tuple(account[name]) for name in ("keys", "found") if name in account}
        return cls(
            generation=document["generation"],
            config=document["config"],
            entries=_Entries(document["entries"]),
            units={name: Unit(**unit) for name, unit in document["units"].items()},
            account=Account(**(account | keys)),
            kernel=Kernel(**{name: tuple(values) for name, values in document["kernel"].items()}),
            removed=tuple(document["removed"]),
            pending=Pending(**document["pending"]) if document["pending"] else None,
            held=document["held"],
            foreign_dropins=tuple(document["foreignDropins"]),
        )


def _facts(trace: Trace, xattrs: tuple[tuple[str, bytes], ...]) -> dict[str, Any]:
    facts = trace.facts()
    if xattrs:
        facts["xattrs"] = {name: base64.b64encode(value).decode() for name, value in xattrs}
    return facts


def _damaged(error: Exception) -> Broken:
    return Broken(f"the state file is damaged ({error}): restore it from a backup, or move it away to start over")


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


_compact = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode  # one for all lines: making it costs more
