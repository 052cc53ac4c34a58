"""What an EtcdEncryptionConfig (cluster.alauda.io/v1alpha1) asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from nodeagent.certs.keyring import Demand
from nodeagent.errors import Problem, Rejected

_TYPE: Final = "aesgcm"
_RESOURCE: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|m|s)")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0}
_SHORTEST: Final = 60.0  # seconds: a kube-apiserver looks at its configuration once a minute


def demand_of(config: Mapping[str, Any], keep: int) -> Demand:
    """The demand, with `keep` keys; Rejected with everything that is wrong."""
    spec = config.get("spec") or {}
    if problems := tuple(_problems(spec, f"EtcdEncryptionConfig {config['metadata']['name']}")):
        raise Rejected(problems)
    return Demand(tuple(sorted(set(spec["resources"]))), _seconds(spec["rotationInterval"]), keep)


def _problems(spec: Mapping[str, Any], where: str) -> Iterator[Problem]:
    if spec.get("type") != _TYPE:
        yield Problem(where, "$.spec.type", f"is {spec.get('type')!r}", f"write {_TYPE}")
    resources = spec.get("resources")
    for number, name in enumerate(resources if isinstance(resources, list) else [None]):
        if not isinstance(name, str) or not _RESOURCE.fullmatch(name):
            advice = "write secrets, configmaps, or PLURAL.GROUP; wildcards would name what cannot be migrated"
            yield Problem(where, f"$.spec.resources[{number}]", f"{name!r} names no resource", advice)
    if _seconds(spec.get("rotationInterval")) < _SHORTEST:
        message = f"{spec.get('rotationInterval')!r} is no duration of {_SHORTEST:g} s or more"
        yield Problem(where, "$.spec.rotationInterval", message, "write one such as 168h")


def _seconds(text: Any) -> float:
    """A duration as Go writes it ("168h", "1h30m"); 0 if it is none."""
    if not isinstance(text, str) or not re.fullmatch(f"({_DURATION.pattern})+", text):
        return 0.0
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))
