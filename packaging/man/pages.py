"""Manual pages from the parser of the command line: one for `nodeagent`, and one for each of its commands.

Invariant: whatever the parser knows is in the pages, so they cannot fall behind it; the same version gives the same
bytes. Usage: python packaging/man/pages.py DIRECTORY
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from nodeagent import __version__
from nodeagent.cli.main import parser

_TEMPLATE = Path(__file__).with_name("nodeagent.8.in")
_WIDTH = 10_000  # columns that a usage may take: groff breaks the lines


def pages(date: datetime.date) -> dict[str, str]:
    """The text of each page (man(7)) by file name."""
    root = parser()
    commands = dict(_commands(root))
    overview = {
        "@TITLE@": _title("nodeagent", date),
        "@SYNOPSIS@": "\n.br\n".join(_usage(command) for command in commands.values()),
        "@COMMANDS@": "\n".join(_entry(name, summary) for name, summary in _summaries(root)),
    }
    text = _TEMPLATE.read_text()
    for mark, value in overview.items():
        text = text.replace(mark, value)
    own = {f"nodeagent-{name}.8": _page(name, command, date) for name, command in commands.items()}
    return {"nodeagent.8": text, **own}


def _subparsers(command: argparse.ArgumentParser) -> Iterator[argparse._SubParsersAction[argparse.ArgumentParser]]:
    for action in command._actions:  # noqa: SLF001 - argparse shows its parts in no other way, as shtab finds too
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            yield action


def _commands(command: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for subparsers in _subparsers(command):
        yield from subparsers.choices.items()


def _summaries(command: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for subparsers in _subparsers(command):
        for choice in subparsers._choices_actions:  # noqa: SLF001 - where argparse keeps the help of each command
            yield choice.dest, choice.help or ""


def _page(name: str, command: argparse.ArgumentParser, date: datetime.date) -> str:
    root = parser()
    summary = dict(_summaries(root))[name]
    inner = dict(_commands(command))
    lines = [_title(f"nodeagent-{name}", date), ".SH NAME", rf"nodeagent\-{_plain(name)} \- {_plain(summary)}"]
    lines += [".SH SYNOPSIS", "\n.br\n".join(_usage(each) for each in inner.values() or [command])]
    lines += [".SH DESCRIPTION", _plain(_sentence(command.description or summary))]
    if inner:
        lines += [".SH COMMANDS", *(_entry(*each) for each in _summaries(command))]
    for about, part in inner.items() or [("", command)]:
        lines += _options(f"OPTIONS OF {about.upper()}" if about else "OPTIONS", part)
    lines += [".SH EXIT STATUS", "As of every command: see", ".BR nodeagent (8).", ".SH SEE ALSO", ".BR nodeagent (8)"]
    return "\n".join((*lines, ""))


def _title(name: str, date: datetime.date) -> str:
    return f'.TH {_plain(name.upper())} 8 {date} "nodeagent {__version__}" "System Administration"'


def _usage(command: argparse.ArgumentParser) -> str:
    """The command with its positional arguments and own options; its settings are listed below."""
    formatter = argparse.HelpFormatter(command.prog, width=_WIDTH)
    shown = [action for action in command._actions if not action.dest.startswith("setting ")]  # noqa: SLF001
    formatter.add_usage(None, shown, (), prefix="")
    return f".B {_plain(' '.join(formatter.format_help().split()))}"


def _options(heading: str, command: argparse.ArgumentParser) -> Iterator[str]:
    yield f'.SH "{heading}"'
    formatter = argparse.HelpFormatter(command.prog, width=_WIDTH)
    for action in command._actions:  # noqa: SLF001
        if action.help != argparse.SUPPRESS and not isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            invocation = formatter._format_action_invocation(action)  # noqa: SLF001
            yield _entry(invocation, formatter._expand_help(action) if action.help else "")  # noqa: SLF001


def _entry(tag: str, text: str) -> str:
    return f".TP\n.B {_plain(tag)}\n{_plain(_sentence(text))}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""


def _plain(text: str) -> str:
    r"""Text that means itself in roff: `\` and `-` escaped, no line that looks like a request."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return "\n".join(rf"\&{line}" if line[:1] in (".", "'") else line for line in escaped.splitlines())


def main(directory: str) -> None:
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0")) or datetime.datetime.now(datetime.UTC).timestamp()
    date = datetime.datetime.fromtimestamp(epoch, datetime.UTC).date()
    for name, text in pages(date).items():
        (Path(directory) / name).write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
