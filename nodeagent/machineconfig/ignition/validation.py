"""Whether a config is valid: Ignition 3.4.0 as its reference implementation sees it, and the stricter rules beside it.

All problems are found at once. A config without problems is safe to render; whether a node can have it is another
question.
"""

from __future__ import annotations

from collections.abc import Container

from nodeagent.errors import Problem
from nodeagent.machineconfig.ignition import devices, head, passwd, repeats, storage, systemd
from nodeagent.machineconfig.ignition.findings import Findings
from nodeagent.machineconfig.ignition.model import Config, Resource


def validate(
    config: Config,
    *,
    object: str,  # noqa: A002 - Problem's own word for what to open
    at: str,
) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Problems and warnings of a config that stands at JSON path `at` of `object`."""
    return findings(config).split(object, at)


def findings(config: Config, told: Container[Resource] = ()) -> Findings:
    """Everything that is wrong with a config or worth knowing about it.

    `told` are contents of files that were looked at before, in the configs that this one was merged from.
    """
    found = Findings()
    head.validate(config.ignition, found)
    head.validate_arguments(config.kernel_arguments, found)
    passwd.validate(config.passwd, found)
    storage.validate(config, found, told)
    devices.validate(config.storage, found)
    systemd.validate(config.systemd, found)
    repeats.validate(config, found.at(""))
    return found
