"""Gives the site a page with the help of each command, from the parser of the command line (a hook of mkdocs)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_PAGE = "flags.md"
_WIDTH = "100"  # columns


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    os.environ["COLUMNS"] = _WIDTH
    from nodeagent.cli.main import parser  # noqa: PLC0415 - argparse asks for the width as it makes a formatter

    files.append(File.generated(config, _PAGE, content="\n".join(_page(parser()))))
    return files


def _page(root: argparse.ArgumentParser) -> Iterator[str]:
    yield "# Every flag\n"
    yield "What `--help` says, command by command. Settings among the flags are in [settings.md](settings.md).\n"
    for command in _commands(root):
        yield f"## {command.prog}\n\n```text\n{command.format_help()}```\n"


def _commands(command: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    groups = [each for each in command._actions if isinstance(each, argparse._SubParsersAction)]  # noqa: SLF001
    if not groups:
        yield command
    for group in groups:
        for inner in group.choices.values():
            yield from _commands(inner)
