"""Whether labels fit a label selector (meta/v1 LabelSelector), as the API server decides it; pure.

Invariant: all requirements hold, so an empty selector fits everything; what an unknown operator means is not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def fits(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Raises ValueError for an operator that is not In, NotIn, Exists or DoesNotExist."""
    exact = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in exact.items()) and all(
        _holds(each, labels) for each in selector.get("matchExpressions") or ()
    )


def _holds(requirement: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(requirement["key"]), requirement.get("values") or ()
    match requirement["operator"]:
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case unknown:
            raise ValueError(f"unknown operator {unknown!r} of a label selector")
