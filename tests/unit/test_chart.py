"""What is written into the chart from other files is up to date."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from nodeagent import __version__

_TOP = Path(__file__).parents[2]
_CHART = _TOP / "deploy" / "chart"


def test_schema_and_readme_are_those_that_the_script_writes(tmp_path: Path) -> None:
    copy = tmp_path / "chart"
    copy.mkdir()
    for name in ("values.yaml", "values.schema.json", "README.md"):
        shutil.copy(_CHART / name, copy)
    environment = os.environ | {"PYTHONPATH": str(_TOP)}
    subprocess.run([sys.executable, _TOP / "scripts/chart", copy], check=True, timeout=60, env=environment)
    for name in ("values.schema.json", "README.md"):
        assert (copy / name).read_text() == (_CHART / name).read_text(), "run .venv/bin/python scripts/chart"


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((_CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__
