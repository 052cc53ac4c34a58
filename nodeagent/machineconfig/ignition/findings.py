"""What is wrong with a config: collected all at once, by place, and told to people at the end.

A finding's path is relative to the config (".storage.files[0].mode"). `concerns` names the parts of the config that
together are at fault, in the words of provenance ("file:/etc/x", "unit:a.service"), so that after a merge the objects
which they came from can be named. No message ever holds contents.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nodeagent.errors import Problem


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or with `fatal` False merely worth knowing."""

    path: str
    message: str
    advice: str = ""
    concerns: tuple[str, ...] = ()
    fatal: bool = True

    def problem(self, object: str, at: str) -> Problem:  # noqa: A002 - Problem's own word for what to open
        """The finding as a problem of `object`, where the config stands at JSON path `at`."""
        return Problem(object, at + self.path, self.message, self.advice)


@dataclass
class Findings:
    """Collects findings."""

    found: list[Finding] = field(default_factory=list)

    def at(self, path: str, *concerns: str) -> Place:
        """A place to report from: part `concerns` of the config, at `path`."""
        return Place(self, path, concerns)

    def split(self, object: str, at: str) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:  # noqa: A002 - likewise
        """Problems and warnings of `object`, in the order found."""
        return (
            tuple(finding.problem(object, at) for finding in self.found if finding.fatal),
            tuple(finding.problem(object, at) for finding in self.found if not finding.fatal),
        )


@dataclass(slots=True)  # not frozen: validation makes a dozen for each file, and that would take twice the time
class Place:
    """Reports findings about one part of a config, at paths relative to that part."""

    findings: Findings
    path: str
    concerns: tuple[str, ...] = ()

    def at(self, path: str, *concerns: str) -> Place:
        """A place below this one; concerns the same part unless told otherwise."""
        return Place(self.findings, self.path + path, concerns or self.concerns)

    def problem(self, path: str, message: str, advice: str = "", also: Iterable[str] = ()) -> None:
        """Something that makes the config invalid; `also` are other parts that are at fault with this one."""
        self._add(Finding(self.path + path, message, advice, (*self.concerns, *also)))

    def warn(self, path: str, message: str, advice: str = "") -> None:
        """Something that people should know."""
        self._add(Finding(self.path + path, message, advice, self.concerns, fatal=False))

    def _add(self, finding: Finding) -> None:
        self.findings.found.append(finding)
