"""MachineConfig documents for tests."""

from __future__ import annotations

import json
from typing import Any

from nodeagent.machineconfig.api import ROLE, VERSION, MachineConfig
from nodeagent.machineconfig.ignition.codec import decode
from nodeagent.machineconfig.ignition.model import Config


def ignition(**sections: Any) -> dict[str, Any]:
    """An Ignition document with the given sections, by their JSON names."""
    return {"ignition": {"version": "3.4.0"}, **sections}


def machine_config(
    name: str, config: dict[str, Any] | None = None, role: str = "worker", **spec: Any
) -> dict[str, Any]:
    """A MachineConfig document."""
    document = {"apiVersion": VERSION, "kind": "MachineConfig", "metadata": {"name": name, "labels": {ROLE: role}}}
    return {**document, "spec": ({} if config is None else {"config": config}) | spec}


def source(*objects: dict[str, Any]) -> list[tuple[str, bytes]]:
    """Sources with one object each, named after it."""
    return [(f"{one['metadata']['name']}.json", json.dumps(one).encode()) for one in objects]


def config(document: dict[str, Any]) -> Config:
    """The decoded form of an Ignition document in which nothing is of a wrong type."""
    decoded = decode(document, object="test", at="$")
    assert decoded.config is not None
    assert decoded.problems == ()
    return decoded.config


def declared(name: str, role: str = "worker", kernel_arguments: tuple[str, ...] = (), **sections: Any) -> MachineConfig:
    """A MachineConfig with the given Ignition sections."""
    return MachineConfig(name, role, f"{name}.yaml", config(ignition(**sections)), kernel_arguments)


def files(*entries: dict[str, Any]) -> dict[str, Any]:
    """A storage section with files, as a keyword argument of the above."""
    return {"storage": {"files": list(entries)}}
