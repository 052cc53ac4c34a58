"""A scratch node and the command line as an administrator types it, in this process and without root."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nodeagent.cli.main import main

HEAD = """\
apiVersion: machineconfiguration.alauda.io/v1alpha1
kind: MachineConfig
metadata:
  name: {name}
spec:
  config:
    ignition:
      version: 3.4.0
"""


def machine_config(name: str, *files: tuple[str, str], mode: str = "0644") -> str:
    """A MachineConfig document that puts text files in place."""
    entries = "".join(
        f"        - path: {path}\n          mode: {mode}\n          contents:\n            source: data:,{text}\n"
        for path, text in files
    )
    return HEAD.format(name=name) + "    storage:\n      files:\n" + entries


@dataclass
class Result:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


@dataclass
class Node:
    """A root directory with a source directory beside it."""

    root: Path
    source: Path
    run: Callable[..., Result]

    def __call__(self, command: str, *arguments: str | Path) -> Result:
        return self.run(command, *arguments, "--root", self.root)

    def declare(self, name: str, text: str) -> None:
        (self.source / f"{name}.yaml").write_text(text)

    def apply(self) -> Result:
        return self("apply", self.source)

    def tree(self) -> dict[str, tuple[int, str]]:
        """Mode and text of every file below the root, without the agent's own state."""
        return {
            str(path.relative_to(self.root)): (path.lstat().st_mode, path.read_text())
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and "nodeagent" not in path.parts
        }


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    for variable in [name for name in os.environ if name.startswith("NODEAGENT_")]:
        monkeypatch.delenv(variable)

    def command(*arguments: str | Path) -> Result:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ended:  # argparse: wrong usage, --help, --version
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return command


@pytest.fixture
def node(tmp_path: Path, run: Callable[..., Result]) -> Node:
    root, source = tmp_path / "root", tmp_path / "machineconfigs.d"
    (root / "etc").mkdir(parents=True)
    source.mkdir()
    return Node(root, source, run)
