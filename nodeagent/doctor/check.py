"""A check: one aspect of the node, a verdict, why, and what to do.

Invariant: a check's verdict is the worst of its findings, so that nothing that was found is lost behind something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """From harmless to severe, in the order of definition."""

    NOT_APPLICABLE = "not applicable"
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"

    @property
    def bad(self) -> bool:
        """Somebody should do something about it."""
        return self in (Verdict.WARNING, Verdict.FAILED)


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be: a WARNING where a part of the work suffers, FAILED where none can be."""

    verdict: Verdict
    explanation: str
    advice: str


@dataclass(frozen=True)
class Check:
    """The outcome of looking at the aspect `name`; `advice` is "" where there is nothing to do."""

    name: str
    verdict: Verdict
    explanation: str
    advice: str = ""

    def facts(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "verdict": str(self.verdict),
            "explanation": self.explanation,
            "advice": self.advice,
        }


def warning(explanation: str, advice: str) -> Finding:
    return Finding(Verdict.WARNING, explanation, advice)


def failure(explanation: str, advice: str) -> Finding:
    return Finding(Verdict.FAILED, explanation, advice)


def judged(name: str, findings: Iterable[Finding], fine: str) -> Check:
    """The check that these findings make, worst first; `fine` is what is said where there are none."""
    found = sorted(findings, key=lambda each: _severity(each.verdict), reverse=True)
    if not found:
        return Check(name, Verdict.OK, fine)
    explanations = dict.fromkeys(each.explanation for each in found)
    advices = dict.fromkeys(each.advice for each in found)
    return Check(name, found[0].verdict, "; ".join(explanations), "; ".join(advices))


def not_applicable(name: str, why: str) -> Check:
    return Check(name, Verdict.NOT_APPLICABLE, why)


def worst(checks: Iterable[Check]) -> Verdict:
    """The most severe verdict; NOT_APPLICABLE where there is no check."""
    return max((each.verdict for each in checks), key=_severity, default=Verdict.NOT_APPLICABLE)


def document(node: str, checks: Sequence[Check]) -> dict[str, Any]:
    """All checks of a node, for programs."""
    return {"node": node, "verdict": str(worst(checks)), "checks": [each.facts() for each in checks]}


def _severity(verdict: Verdict) -> int:
    return list(Verdict).index(verdict)
