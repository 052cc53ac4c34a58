"""Renders pools for the coordinator: MachineConfigs of the API in, the object to publish out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nodeagent.errors import Problem, Rejected
from nodeagent.machineconfig import api, policydocument, provenance, source
from nodeagent.machineconfig.render import render
from nodeagent.pools.controller import Rendering
from nodeagent.pools.pool import Object

_LIMIT: Final = 1_400_000  # bytes; etcd takes a request of 1.5 MiB, and managedFields come on top
_LARGEST: Final = 5  # sources that are named
_NOTHING: Final = [{"type": "None"}]


def rendering(pool: str, configs: Sequence[Object]) -> Rendering:
    """What `configs` render to for `pool`. Rejected with every problem, the size that the API allows included."""
    texts = {config["metadata"]["name"]: json.dumps(_whole(config)) for config in configs}
    found = source.load([(f"machineconfigs/{name}.json", text.encode()) for name, text in sorted(texts.items())])
    rendered = render(found.machine_configs, pool, frozenset(one.role for one in found.machine_configs))
    document = rendered.document()
    document["metadata"]["annotations"] |= provenance.publishable(rendered.provenance)
    size = len(json.dumps(document, separators=(",", ":")).encode())
    if size > _LIMIT:
        raise Rejected([_too_large(pool, size, {name: len(text.encode()) for name, text in texts.items()})])
    return Rendering(rendered.name, document)


def policy(configuration: Object) -> dict[str, Any] | None:
    """The clusterPolicies of a MachineConfiguration's status; None where its spec cannot be used."""
    try:
        policydocument.from_document(configuration)
    except Rejected:
        return None  # the API server refuses such objects; one that was there before keeps the policy it had
    spec = (configuration.get("spec") or {}).get("nodeDisruptionPolicy") or {}
    return {
        "files": spec.get("files") or [],
        "units": spec.get("units") or [],
        "sshkey": spec.get("sshkey") or {"actions": _NOTHING},
    }


def _whole(config: Object) -> dict[str, Any]:
    """The object as a person would write it: without what the API server has added."""
    metadata = config["metadata"]
    kept = {key: metadata[key] for key in ("name", "labels") if key in metadata}
    head = {"apiVersion": api.VERSION, "kind": api.MACHINE_CONFIG}
    return {**head, "metadata": kept, "spec": config.get("spec") or {}}


def _too_large(pool: str, size: int, sizes: Mapping[str, int]) -> Problem:
    largest = sorted(sizes.items(), key=lambda each: (-each[1], each[0]))[:_LARGEST]
    named = ", ".join(f"{name} {length} bytes" for name, length in largest)
    advice = f"compress contents (gzip) or serve them over https; the largest sources: {named}"
    return Problem(f"pool {pool}", "", f"renders to {size} bytes, and the API takes {_LIMIT}", advice)
