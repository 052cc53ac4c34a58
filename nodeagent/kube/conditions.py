"""What to patch on a Node so that it says what is wanted; pure.

Invariant: a patch holds only what differs from the Node that was seen, so a Node that says it all gets none; other
writers' annotations and conditions are never in it. Both go in one strategic merge patch of the status subresource, as
the kubelet's do, so that no reader sees one without the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from nodeagent.observed import nodes
from nodeagent.observed.nodes import Condition

LONGEST_REASON: Final = 2000  # characters of the annotation with the reason
LONGEST_MESSAGE: Final = 1000  # characters of a condition's message
LARGEST_ANNOTATION: Final = 16 << 10  # bytes; all annotations of an object share 256 KiB


def timestamp(now: datetime) -> str:
    """meta/v1 Time: RFC 3339 in UTC with seconds."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def bounded(annotation: str, value: str | None) -> str | None:
    """`value` cut to what an annotation may take: the reason by characters, everything by bytes of UTF-8.

    A value that is JSON would be cut in its midst: its writer keeps it small.
    """
    if value is None:
        return None
    text = _cut(value, LONGEST_REASON) if annotation == nodes.REASON else value
    if len(text.encode()) <= LARGEST_ANNOTATION:
        return text
    return text.encode()[: LARGEST_ANNOTATION - 3].decode(errors="ignore") + "…"


def node_patch(
    node: Mapping[str, Any],
    annotations: Mapping[str, str | None],
    conditions: Iterable[Condition],
    now: datetime,
) -> dict[str, Any]:
    """The strategic merge patch that makes `node` say this; {} where it does. An annotation of None is to be absent."""
    seen = _by_type(node)
    changes = [change for each in conditions if (change := _change(each, seen.get(each.type, {}), timestamp(now)))]
    return _patch(_differing(node, annotations), changes)


def removal(node: Mapping[str, Any], annotations: Iterable[str], types: Iterable[str]) -> dict[str, Any]:
    """The strategic merge patch that takes these annotations and conditions from `node`; {} where it has none."""
    seen = _by_type(node)
    gone = [{"type": each, "$patch": "delete"} for each in types if each in seen]
    return _patch(_differing(node, dict.fromkeys(annotations)), gone)


def _patch(annotations: Mapping[str, str | None], conditions: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    patch: dict[str, Any] = {}
    if annotations:
        patch["metadata"] = {"annotations": annotations}
    if conditions:
        patch["status"] = {"conditions": conditions}
    return patch


def _differing(node: Mapping[str, Any], wanted: Mapping[str, str | None]) -> dict[str, str | None]:
    """The annotations, cut to their bounds, that `node` has otherwise."""
    stands = (node.get("metadata") or {}).get("annotations") or {}
    values = {name: bounded(name, value) for name, value in sorted(wanted.items())}
    return {name: value for name, value in values.items() if stands.get(name) != value}


def _by_type(node: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {each["type"]: each for each in (node.get("status") or {}).get("conditions") or ()}


def _change(wanted: Condition, seen: Mapping[str, Any], now: str) -> dict[str, str]:
    """The condition as the patch has it; without the time of its transition where the status stays."""
    said = {"status": wanted.status, "reason": wanted.reason, "message": _cut(wanted.message, LONGEST_MESSAGE)}
    if all(seen.get(key) == value for key, value in said.items()):
        return {}
    changed = {} if seen.get("status") == wanted.status else {"lastTransitionTime": now}
    return {"type": wanted.type, **said, "lastHeartbeatTime": now, **changed}


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
