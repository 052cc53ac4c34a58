"""`certs list`, `certs check`, `certs probe`: which certificates are here, how they are, and what is really served."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nodeagent.cli import certsrenew, show
from nodeagent.cli.codes import OK, PENDING
from nodeagent.cli.machineconfig import Commands, settings_of
from nodeagent.settings.flags import add_flags

if TYPE_CHECKING:  # cryptography and what looks at certificates are loaded by these commands alone
    from nodeagent.certs.findings import Finding
    from nodeagent.certs.inventory import Inventory
    from nodeagent.certs.served import Answer

_SETTINGS = ("root", "node_name", "certs.paths", "certs.role", "certs.node_ip")


def register(commands: Commands) -> None:
    """Add the command group."""
    group = commands.add_parser("certs", help="show this node's certificates, and what is wrong with them")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list every certificate: its end, its CA, who renews it and when")
    listing.set_defaults(run=list_command)
    check = actions.add_parser("check", help="tell what is wrong with them, most urgent first")
    check.set_defaults(run=check_command)
    probe = actions.add_parser("probe", help="ask the components on this node what they serve; compare with the files")
    probe.set_defaults(run=probe_command)
    certsrenew.register(actions)
    for each in (listing, check, probe):
        each.add_argument("-o", "--output", choices=("human", "json"), default="human", help="form of the output")
        each.add_argument("--now", type=_moment, metavar="RFC3339", help="judge as of this moment, not the clock's")
        add_flags(each, *_SETTINGS, *(("certs.probe_timeout",) if each is probe else ()))


def _moment(text: str) -> datetime.datetime:
    """A moment as RFC 3339 has it, with its offset."""
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is not None and "T" in text.upper():
            return moment.astimezone(datetime.UTC)
    except (ValueError, OverflowError):  # the latter where the moment in UTC is out of what can be told
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no RFC 3339 time, such as 2026-07-01T12:00:00Z")


def _now(arguments: argparse.Namespace) -> datetime.datetime:
    moment: datetime.datetime = arguments.now or datetime.datetime.now(datetime.UTC)
    return moment


def _inventory(arguments: argparse.Namespace, now: datetime.datetime) -> Inventory:
    from nodeagent.agent.certificates import inspected  # noqa: PLC0415 - by need, as said above

    with inspected(settings_of(arguments)) as inspector:
        return inspector.inventory(inspector.survey(), now)


def list_command(arguments: argparse.Namespace) -> int:
    """List the inventory; 3 if anything is wrong."""
    from nodeagent.cli import certstable  # noqa: PLC0415 - by need

    now = _now(arguments)
    found = _inventory(arguments, now)
    if arguments.output == "json":
        show.emit(_inventory_document(found))
    else:
        certstable.print_lines(certstable.inventory_lines(found, now))
    return _code(found.findings)


def _inventory_document(found: Inventory) -> dict[str, Any]:
    """`findings` are those of no certificate, such as a manifest's; the others stand with theirs."""
    told = {finding for entry in found.entries for finding in entry.findings}
    return {
        "certificates": [entry.facts() for entry in found.entries],
        "findings": [finding.facts() for finding in found.findings if finding not in told],
    }


def check_command(arguments: argparse.Namespace) -> int:
    """Tell all findings; 3 if any of them is more than information."""
    found = _inventory(arguments, _now(arguments))
    if arguments.output == "json":
        show.emit({"findings": [finding.facts() for finding in found.findings]})
    else:
        from nodeagent.cli import certstable  # noqa: PLC0415 - by need

        certstable.print_lines(certstable.finding_lines(found.findings))
        looked_at = show.counted(sum(entry.certificate is not None for entry in found.entries), "certificate")
        print(f"{looked_at}, {show.counted(len(found.findings), 'finding')}")
    return _code(found.findings)


def probe_command(arguments: argparse.Namespace) -> int:
    """Ask what is served; 3 if it is not what the files hold, ends soon, or cannot be had."""
    from nodeagent.agent.certificates import inspected  # noqa: PLC0415 - by need
    from nodeagent.cli import certstable  # noqa: PLC0415 - by need

    now = _now(arguments)
    with inspected(settings_of(arguments)) as inspector:
        answers = inspector.answers(inspector.survey(), now)
    if arguments.output == "json":
        show.emit({"probes": [answer.facts() for answer in answers]})
    else:
        certstable.print_lines(certstable.probe_lines(answers, now))
    return _code(_findings(answers))


def _findings(answers: Iterable[Answer]) -> list[Finding]:
    return [finding for answer in answers for finding in answer.findings]


def _code(findings: Iterable[Finding]) -> int:
    from nodeagent.certs.findings import alarming  # noqa: PLC0415 - by need

    return PENDING if alarming(findings) else OK
