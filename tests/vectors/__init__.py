"""The project's own vectors: what the reference implementations make of documents, as JSON files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def load(kind: str) -> list[dict[str, Any]]:
    """All vectors of a kind."""
    vectors: list[dict[str, Any]] = json.loads((Path(__file__).parent / f"{kind}.json").read_text())
    return vectors


def parametrize(kind: str) -> pytest.MarkDecorator:
    """Run a test with each vector of a kind as its argument `vector`."""
    return pytest.mark.parametrize("vector", load(kind), ids=lambda vector: str(vector["name"]))
