"""Who writes what on an object: above all, who else writes the annotations that are the agent's on its own Node.

Invariant: pure; what counts is who the API server says wrote a field (metadata.managedFields), not what it holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from nodeagent.observed import nodes

_OPENSHIFT: Final = "machineconfiguration.openshift.io/"
_DAEMONS: Final = frozenset({nodes.CURRENT_CONFIG, nodes.STATE})  # what an agent writes, and no controller
_BY_HAND: Final = ("kubectl",)  # a person who mends something is no other agent


def rival(node: Mapping[str, Any], ours: str) -> str:
    """The first other manager, by name, of fields that only an agent like `ours` writes; "" where there is none.

    Such are Alauda's `currentConfig` and `state`, and OpenShift's of the same names.
    """
    entries = (node.get("metadata") or {}).get("managedFields") or ()
    writers = (
        str(entry.get("manager", ""))
        for entry in entries
        if any(_is_an_agents(annotation) for annotation in _annotations(entry))
    )
    return min((name for name in writers if name and name != ours and not name.startswith(_BY_HAND)), default="")


def annotations_of(node: Mapping[str, Any], manager: str) -> frozenset[str]:
    """The annotations that `manager` has written."""
    entries = (node.get("metadata") or {}).get("managedFields") or ()
    return frozenset(name for entry in entries if entry.get("manager") == manager for name in _annotations(entry))


def managers(found: Mapping[str, Any]) -> frozenset[str]:
    """Everybody who has written a field of an object."""
    return frozenset(
        str(entry.get("manager", "")) for entry in (found.get("metadata") or {}).get("managedFields") or ()
    )


def _is_an_agents(annotation: str) -> bool:
    return annotation in _DAEMONS or annotation.replace(_OPENSHIFT, nodes.PREFIX, 1) in _DAEMONS


def _annotations(entry: Mapping[str, Any]) -> Iterator[str]:
    """The annotations that an entry of managedFields (FieldsV1) names."""
    metadata = (entry.get("fieldsV1") or {}).get("f:metadata") or {}
    for key in metadata.get("f:annotations") or {}:
        yield key.removeprefix("f:")
