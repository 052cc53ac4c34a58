"""Settings as command-line flags: argparse knows names and help, all checking is left to `load`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from nodeagent.settings.model import FIELDS, Field

_PREFIX = "setting "  # a setting's destination never meets a positional argument's: `plan SOURCE` and --source


def add_flags(parser: argparse.ArgumentParser, *keys: str) -> None:
    """Add --config and the flags of the settings `keys` (all settings if none is named) to `parser`."""
    group = parser.add_argument_group("settings", "all of them: `nodeagent config docs`")
    group.add_argument("--config", metavar="FILE", help="settings file (default: /etc/nodeagent/nodeagent.toml)")
    for field in (FIELDS[key] for key in keys or FIELDS):
        _add(group, field)


def _add(group: argparse._ArgumentGroup, field: Field) -> None:
    destination = _PREFIX + field.key
    help_text = f"{field.help} (default: {field.default_text or 'none'})".replace("%", "%%")
    if field.negation:
        _add_constants(group, field, destination)
    else:
        group.add_argument(field.flag, dest=destination, metavar="VALUE", default=argparse.SUPPRESS, help=help_text)


def _add_constants(group: argparse._ArgumentGroup, field: Field, destination: str) -> None:
    for flag, text in ((field.flag, "true"), (field.negation, "false")):
        group.add_argument(
            flag,
            dest=destination,
            action="store_const",
            const=text,
            default=argparse.SUPPRESS,
            help=f"set {field.key} to {text}: {field.help}",
        )


def given(arguments: argparse.Namespace) -> dict[str, str]:
    """The settings that were given as flags, text by key, as `load` takes them."""
    found: Iterable[tuple[str, str]] = vars(arguments).items()
    return {name.removeprefix(_PREFIX): text for name, text in found if name.startswith(_PREFIX)}
