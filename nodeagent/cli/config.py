"""`nodeagent config`: shows every setting with where it came from, and prints the reference of settings."""

from __future__ import annotations

import argparse
import json
import os

from nodeagent.settings import FIELDS, Settings, load
from nodeagent.settings.flags import add_flags, given
from nodeagent.settings.reference import document, markdown


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command group; each command sets `run`, which takes the arguments and returns the exit code."""
    group = subparsers.add_parser("config", help="show settings and where they came from", allow_abbrev=False)
    commands = group.add_subparsers(dest="config_command", metavar="COMMAND", required=True)
    show_parser = commands.add_parser("show", help="print each setting with its value and where it came from")
    show_parser.add_argument("-o", "--output", choices=("human", "json"), default="human", help="form of the output")
    add_flags(show_parser)
    show_parser.set_defaults(run=show)
    commands.add_parser("docs", help="print the reference of all settings as Markdown").set_defaults(run=docs)


def show(arguments: argparse.Namespace) -> int:
    """Print all settings; Rejected (the caller's to print) if any is wrong."""
    settings = load(arguments.config, os.environ, given(arguments))
    print(json.dumps(document(settings), indent=2) if arguments.output == "json" else _table(settings))
    return 0


def docs(_: argparse.Namespace) -> int:
    """Print the reference that docs/settings.md holds."""
    print(markdown(), end="")
    return 0


def _table(settings: Settings) -> str:
    rows = [(key, field.kind.show(field.of(settings)) or '""') for key, field in FIELDS.items()]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (f"{key:<{wide[0]}}  {value:<{wide[1]}}  ({settings.origins[key]})" for key, value in rows)
    return "\n".join(("# key, value, where it came from", *lines))
