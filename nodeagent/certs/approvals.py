"""What waits for an approval, as metrics. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from nodeagent.certs.approver import Verdict

Labels = tuple[str, ...]

COLUMNS: Final[Mapping[str, tuple[str, Labels]]] = {
    "nodeagent_serving_requests": ("Requests for serving certificates that wait", ("decision",)),
    "nodeagent_serving_request_age_seconds": ("How long the oldest of them has waited", ("decision",)),
}
APPROVALS: Final = "nodeagent_serving_approvals"


def series(verdicts: Iterable[Verdict]) -> dict[str, list[tuple[Labels, float]]]:
    """The rows of each table of COLUMNS; the decision is `approve`, or `leave` to an administrator."""
    ages = {
        decision: [each.age for each in known if bool(each.objections) is (decision == "leave")]
        for known in [tuple(verdicts)]
        for decision in ("approve", "leave")
    }
    return {
        "nodeagent_serving_requests": [((decision,), float(len(found))) for decision, found in ages.items()],
        "nodeagent_serving_request_age_seconds": [
            ((decision,), max(found, default=0.0)) for decision, found in ages.items()
        ],
    }
