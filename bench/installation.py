"""The agent as its users run it: installed from this checkout into a virtual environment of its own, below .cache/.

The environment holds what the agent needs at run time and nothing else: development tools leave hooks in theirs that
every start of the interpreter pays for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile

_HOME = os.path.abspath(".cache/agent")
_REQUIREMENTS = "requirements/runtime.txt"
_SOURCES = ("pyproject.toml", "README.md", "LICENSE")
_PATIENCE = 300.0  # seconds

AGENT = f"{_HOME}/bin/nodeagent"


def install() -> None:
    """Install the agent as it stands in the checkout; the benchmark ends, with the reason, if that fails."""
    shutil.rmtree(_HOME, ignore_errors=True)
    _do(sys.executable, "-m", "venv", "--without-pip", _HOME)
    _pip("--require-hashes", "--requirement", _REQUIREMENTS)
    with tempfile.TemporaryDirectory() as copy:  # a build leaves files beside its sources, and finds those of the last
        for name in _SOURCES:
            shutil.copy(name, copy)
        shutil.copytree("nodeagent", f"{copy}/nodeagent", ignore=shutil.ignore_patterns("__pycache__"))
        _pip("--no-deps", copy)


def _pip(*what: str) -> None:
    python = f"{_HOME}/bin/python"
    _do(sys.executable, "-m", "pip", "--python", python, "--quiet", "--disable-pip-version-check", "install", *what)


def _do(*words: str) -> None:
    ended = subprocess.run(
        words, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE
    )
    if ended.returncode != 0:
        sys.exit(f"bench: the agent cannot be installed: {' '.join(words)}\n{ended.stderr}")
