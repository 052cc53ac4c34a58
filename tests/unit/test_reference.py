"""The reference says what the code does: annotations, conditions and commands, none too few and none too many."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.cli.main import parser
from nodeagent.observed import nodes

_DOCS = Path(__file__).parents[2] / "docs"
_OURS = "nodeagent.io/"
_PROVENANCE = "provenance"  # of a rendered MachineConfig, told beside a Node's annotations


def _section(file: str, heading: str) -> str:
    text = (_DOCS / file).read_text()
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def _first_cells(text: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)


def _subcommands(of: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    nested = [action.choices for action in of._actions if isinstance(action, argparse._SubParsersAction)]
    return {name: command for choices in nested for name, command in choices.items()}


def _leaves(of: argparse.ArgumentParser, *names: str) -> Iterator[tuple[str, ...]]:
    """Each command that can be run, as its words."""
    commands = _subcommands(of)
    if not commands:
        yield names
    for name, command in commands.items():
        yield from _leaves(command, *names, name)


def _listed() -> set[tuple[str, ...]]:
    """The words of each command in the table of docs/cli.md; "`certs list`, `check`" are two of `certs`."""
    table = (_DOCS / "cli.md").read_text().partition("\n## ")[0].replace("\\|", "/")
    found = set()
    for cell in re.findall(r"^\| (`[^|]*)\|", table, re.MULTILINE):
        group: tuple[str, ...] = ()
        for spelled in re.findall(r"`([^`]+)`", cell):
            words = tuple(re.findall(r"(?<!\S)[a-z][a-z-]*(?!\S)", spelled.partition("--")[0]))
            found.add(group + words)
            group = group or words[:-1]
    return found


@pytest.mark.parametrize("prefix", [nodes.PREFIX, _OURS])
def test_each_annotation_is_explained_and_each_that_is_explained_exists(prefix: str) -> None:
    names = {value for name, value in vars(nodes).items() if name.isupper() and isinstance(value, str)}
    known = {name.removeprefix(prefix) for name in names if name.startswith(prefix) and name != prefix}
    tables = _section("cluster.md", "Annotations of a Node").split("Prefix ")
    (table,) = [each for each in tables if each.startswith(f"`{prefix}`")]
    assert set(_first_cells(table)) - {_PROVENANCE} == known


def test_each_condition_is_explained() -> None:
    table = _section("cluster.md", "Conditions of a Node").partition("| reason of")[0]
    assert sorted(name for name in _first_cells(table)) == sorted(nodes.CONDITIONS)


def test_each_command_is_listed_and_each_that_is_listed_exists() -> None:
    assert _listed() == set(_leaves(parser()))
