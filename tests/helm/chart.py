"""The chart as Helm renders and packages it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.helm import binary

CHART = Path(__file__).parents[2] / "deploy" / "chart"
_SECONDS = 120


class Refused(Exception):
    """Helm's words."""


def rendered(
    values: Mapping[str, Any], *, scratch: Path, namespace: str = "nodeagent", chart: Path = CHART
) -> list[dict[str, Any]]:
    """The objects of a release with `values`; raises Refused."""
    file = scratch / "values.yaml"
    file.write_text(yaml.safe_dump(dict(values)))
    text = _helm("template", "nodeagent", str(chart), f"--namespace={namespace}", f"--values={file}")
    return [each for each in yaml.safe_load_all(text) if each]


def packaged(folder: Path) -> Path:
    """The archive that `helm package` makes."""
    _helm("package", str(CHART), "--destination", str(folder))
    (archive,) = folder.glob("*.tgz")
    return archive


def lint() -> str:
    return _helm("lint", "--strict", str(CHART))


def _helm(*arguments: str) -> str:
    done = subprocess.run(
        [binary.ensured(), *arguments],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout
