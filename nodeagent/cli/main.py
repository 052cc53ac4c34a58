"""The command line: one parser, one exit-code rule, no traceback for bad input.

Exit codes: 0 done, nothing to do or healthy; 1 error; 2 wrong usage; 3 pending changes, drift or findings.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from nodeagent import __version__
from nodeagent.cli.codes import ERROR, OK
from nodeagent.errors import NodeAgentError, Rejected

_EPILOG = """exit codes: 0 done, nothing to do or healthy; 1 error; 2 wrong usage;
3 pending changes, drift or findings (plan, verify, status)"""


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `run`, a function from arguments to exit code."""
    from nodeagent.cli import (  # noqa: PLC0415 - see `entry`
        certs,
        config,
        coordinate,
        daemon,
        doctor,
        egress,
        encryption,
        history,
        machineconfig,
        recover,
        status,
        supportbundle,
        uninstall,
        vip,
    )

    root = argparse.ArgumentParser(
        prog="nodeagent",
        description="Keeps this node what its administrators declared, and tells them the truth about it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    root.add_argument("--version", action="version", version=f"nodeagent {__version__}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    daemon.register(commands)
    coordinate.register(commands)
    machineconfig.register(commands)
    status.register(commands)
    history.register(commands)
    recover.register(commands)
    certs.register(commands)
    vip.register(commands)
    egress.register(commands)
    encryption.register(commands)
    doctor.register(commands)
    supportbundle.register(commands)
    uninstall.register(commands)
    config.register(commands)
    completion = commands.add_parser("completion", help="print a completion script for a shell")
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    completion.set_defaults(run=_completion)
    return root


def _completion(arguments: argparse.Namespace) -> int:
    import shtab  # noqa: PLC0415 - only this command needs it

    print(shtab.complete(parser(), arguments.shell))
    return OK


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    parsed = _parsed(arguments)
    try:
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except Rejected as error:
        _complain(error)
        return ERROR
    except NodeAgentError as error:
        print(f"nodeagent: {error}", file=sys.stderr)
        return ERROR
    except BrokenPipeError:  # the reader has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        print(f"nodeagent: {named}{error.strerror or error}", file=sys.stderr)
        return ERROR
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return code


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; what nobody knows is told with the usage of the command that it was given to."""
    root = parser()
    parsed, unknown = root.parse_known_args(arguments)
    if unknown:
        _asked(root, parsed).error(f"unrecognized arguments: {' '.join(unknown)}")
    return parsed


def _asked(command: argparse.ArgumentParser, parsed: argparse.Namespace) -> argparse.ArgumentParser:
    """The parser of the command that was given, `command` or one of its own."""
    for action in command._actions:  # noqa: SLF001 - argparse shows its parts in no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return _asked(action.choices[getattr(parsed, action.dest)], parsed)
    return command


def _complain(error: Rejected) -> None:
    for problem in error.problems:
        print(f"error: {problem}", file=sys.stderr)
    count = len(error.problems)
    print(f"nodeagent: {count} problem{'s' if count != 1 else ''}; nothing was changed", file=sys.stderr)


def entry() -> NoReturn:
    """The `nodeagent` command.

    A command ends before reference cycles could fill memory, and looking for them takes a tenth of its time, most of it
    while modules are imported: the collector is off. The daemon turns it on again.
    """
    gc.disable()
    sys.exit(main())
