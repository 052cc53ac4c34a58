"""`certs plan`, `certs renew`: which certificates would be renewed, and doing it."""

from __future__ import annotations

import argparse
import datetime
import posixpath
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from nodeagent import agent
from nodeagent.cli import show
from nodeagent.cli.codes import ERROR, OK, PENDING, USAGE
from nodeagent.cli.machineconfig import Commands, settings_of
from nodeagent.cli.progress import watcher
from nodeagent.settings.flags import add_flags

if TYPE_CHECKING:  # cryptography and what looks at certificates are loaded by these commands alone
    from nodeagent.agent.rotation import Proposal, Rotation
    from nodeagent.certs.renewal import Wanted
    from nodeagent.engine.executor import Outcome
    from nodeagent.settings import Settings

_SETTINGS = ("root", "state_dir", "node_name", "certs.paths", "certs.role", "certs.node_ip", "certs.lifetime")
_LONGEST_DAYS = 36500


def register(actions: Commands) -> None:
    """Add the commands to the group `certs`."""
    plan = actions.add_parser("plan", help="show which certificates would be renewed: by name, all, or what is due")
    plan.set_defaults(run=plan_command)
    renew = actions.add_parser(
        "renew",
        help="renew certificates: by name, all, or what is due",
        description="Swaps all files as one journalled change and restarts what reads them only when it starts. "
        "Where a component does not come back healthy, everything is put back.",
    )
    renew.set_defaults(run=renew_command)
    renew.add_argument(
        "--csr-dir",
        metavar="PATH",
        default="",
        help="leave signing requests and their keys there, for the administrator of an external CA, and renew nothing",
    )
    for each in (plan, renew):
        each.add_argument("name", nargs="*", metavar="NAME", help="a name of `certs list`, or apiserver-loopback")
        each.add_argument("--all", action="store_true", help="everything that is this agent's task, due or not")
        each.add_argument("--days", type=_days, metavar="N", help="validity in days; its own without it")
        each.add_argument("--ca-cert", metavar="PATH", default="", help="CA to sign with, instead of the node's own")
        each.add_argument("--ca-key", metavar="PATH", default="", help="the private key of that CA")
        each.add_argument("-o", "--output", choices=("human", "json"), default="human", help="form of the output")
        add_flags(each, *_SETTINGS, *(("certs.restart_timeout", "apply.lock_timeout") if each is renew else ()))


def _days(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= _LONGEST_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days between 1 and {_LONGEST_DAYS}")
    return int(text)


def _wanted(arguments: argparse.Namespace, settings: Settings) -> Wanted:
    from nodeagent.certs.renewal import Wanted  # noqa: PLC0415 - by need, as said above

    if bool(arguments.ca_cert) != bool(arguments.ca_key):
        _misused("--ca-cert and --ca-key belong together: name both, or neither")
    if arguments.name and arguments.all:
        _misused("name certificates, or say --all")
    seconds = settings.certs.lifetime if arguments.days is None else arguments.days * 86400
    lifetime = datetime.timedelta(seconds=seconds) if seconds else None
    requests = bool(_directory(getattr(arguments, "csr_dir", "")))
    return Wanted(tuple(arguments.name), arguments.all, lifetime, arguments.ca_cert, arguments.ca_key, requests)


def plan_command(arguments: argparse.Namespace) -> int:
    """Show what would be renewed; 3 if there is something."""
    settings = settings_of(arguments)
    with agent.opened(settings) as place:
        proposal = _rotation(place, settings).propose(_wanted(arguments, settings), _now())
    if arguments.output == "json":
        show.emit(_document(proposal))
    else:
        _tell(proposal)
    return PENDING if proposal else OK


def renew_command(arguments: argparse.Namespace) -> int:
    """Renew, and say what happened."""
    settings = settings_of(arguments)
    with agent.opened(settings) as place, place.store.locked(settings.apply.lock_timeout):
        for recovered in place.job.recover():
            print(f"an interrupted change was {recovered.result}", file=sys.stderr)
        rotation = _rotation(place, settings)
        proposal = rotation.propose(_wanted(arguments, settings), _now())
        if arguments.csr_dir:
            return _requested(arguments, rotation, proposal)
        if arguments.output == "human":
            _tell(proposal)
        outcome = rotation.renew(proposal, watcher()) if proposal else None
    return _ended(arguments.output, proposal, outcome)


def _requested(arguments: argparse.Namespace, rotation: Rotation, proposal: Proposal) -> int:
    """Leave requests, and say where."""
    from nodeagent.certs.swap import request_files  # noqa: PLC0415 - by need

    directory = arguments.csr_dir
    if proposal.renewals:
        rotation.request(proposal, directory, watcher())
    asked = [(each, *request_files(directory, each.name)) for each in proposal.renewals]
    if arguments.output == "json":
        show.emit({"requests": [{"name": each.name, "request": csr, "key": key} for each, csr, key in asked]})
    else:
        for each, csr, key in asked:
            print(f"{each.name}: have {csr} signed; its certificate goes to {each.path}, {key} to {each.key_path}")
        if not asked:
            print("nothing of an external CA is due")
    return OK


def _directory(path: str) -> str:
    if path and (not path.startswith("/") or posixpath.normpath(path) != path or path == "/"):
        _misused(f"--csr-dir: {path!r} is no absolute path in its simplest form, such as /root/requests")
    return path


def _misused(message: str) -> NoReturn:
    """End as argparse does for what it cannot know."""
    print(f"nodeagent certs: error: {message}", file=sys.stderr)
    raise SystemExit(USAGE)


def _rotation(place: agent.Workplace, settings: Settings) -> Rotation:
    from nodeagent.agent.certificates import inspector_of  # noqa: PLC0415 - by need, as said above
    from nodeagent.agent.rotation import Rotation  # noqa: PLC0415
    from nodeagent.agent.viphandover import by_hand  # noqa: PLC0415
    from nodeagent.engine.handover import Handover  # noqa: PLC0415

    handover = Handover()
    handover.register(by_hand(settings))
    return Rotation(place, inspector_of(settings, place.tree), handover)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _document(proposal: Proposal) -> dict[str, Any]:
    from nodeagent.certs.repair import facts  # noqa: PLC0415 - by need

    return {
        "renewals": [each.facts() for each in proposal.renewals],
        "repairs": [facts(each) for each in proposal.repairs],
        "restarts": list(proposal.restarts),
    }


def _tell(proposal: Proposal) -> None:
    for each in proposal.renewals:
        print(each.describe())
        for pod in each.restart:
            print(f"  restart {pod}, which reads it only when it starts")
    for mend in proposal.repairs:
        print(mend.describe())
    for component in proposal.restarts:
        print(f"restart {component}, which makes its loopback certificate when it starts")
    if not proposal:
        print("nothing is due")


def _ended(output: str, proposal: Proposal, outcome: Outcome | None) -> int:
    from nodeagent.engine.executor import Result  # noqa: PLC0415 - by need

    result = outcome.result if outcome is not None else Result.UNCHANGED
    why = outcome.why if outcome is not None else ""
    if output == "json":
        show.emit(_document(proposal) | {"result": str(result), "why": why})
    elif result is Result.UNDONE:
        print(f"nodeagent: {why}; everything is as it was before", file=sys.stderr)
    else:
        if proposal.renewals:
            print(f"{show.counted(len(proposal.renewals), 'certificate')} renewed")
        if proposal.repairs:
            print(f"{show.counted(len(proposal.repairs), 'repair')} made")
        if proposal.restarts:
            print(f"{show.counted(len(proposal.restarts), 'component')} restarted")
    return ERROR if result is Result.UNDONE else OK
