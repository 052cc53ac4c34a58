"""`doctor`: whether this node has what the agent needs, and what to do where it has not."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

from nodeagent.cli import show
from nodeagent.cli.codes import OK, PENDING
from nodeagent.cli.machineconfig import Commands, settings_of
from nodeagent.settings.egress import EgressSettings
from nodeagent.settings.flags import add_flags

if TYPE_CHECKING:  # what looks at a node is loaded by this command alone
    from nodeagent.doctor.check import Check

SETTINGS = (
    "root",
    "state_dir",
    "run_dir",
    "node_name",
    "cluster.enabled",
    "cluster.kubeconfig",
    "coordinator.namespace",
    "certs.report_namespace",
    *(f"egress.{field.name}" for field in fields(EgressSettings)),
)
_MARKS = {"ok": "", "warning": "~", "failed": "!"}  # of colours


def register(commands: Commands) -> None:
    """Add the command."""
    doctor = commands.add_parser(
        "doctor",
        help="check whether this node has what the agent needs: rights, mounts, kernel, systemd, API, OVN, clock, disk",
        description="Looks, and changes nothing but for probe files in the state directory, which it removes.",
    )
    doctor.add_argument("-o", "--output", choices=("human", "json"), default="human", help="form of the output")
    add_flags(doctor, *SETTINGS)
    doctor.set_defaults(run=doctor_command)


def doctor_command(arguments: argparse.Namespace) -> int:
    """Print every check; 3 if one is a warning or failed."""
    from nodeagent.agent.doctor import diagnosis  # noqa: PLC0415 - by need, as said above
    from nodeagent.doctor.check import document  # noqa: PLC0415

    settings = settings_of(arguments)
    checks = diagnosis(settings)
    if arguments.output == "json":
        show.emit(document(settings.node_name, checks))
    else:
        print("\n".join(_lines(checks)))
    return PENDING if any(each.verdict.bad for each in checks) else OK


def _lines(checks: Iterable[Check]) -> Iterator[str]:
    for each in checks:
        yield show.paint(f"{each.verdict:<14}  {each.name:<10}  {each.explanation}", _MARKS.get(each.verdict, ""))
        if each.advice:
            yield f"{'':<28}-> {each.advice}"
