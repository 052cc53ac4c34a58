"""The chart as Helm renders and packages it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Release:
    """A release in a cluster, under the kubeconfig of an administrator."""

    kubeconfig: Path
    namespace: str = "nodeagent"

    def __call__(self, command: str, *arguments: str) -> str:
        """Helm's `command` on it."""
        return _helm(
            command, "nodeagent", *arguments, f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}"
        )


def _helm(*arguments: str) -> str:
    with tempfile.TemporaryDirectory() as own:  # nothing of the user's is read or written
        homes = {f"HELM_{kind}_HOME": own for kind in ("CACHE", "CONFIG", "DATA")}
        done = subprocess.run(
            [binary.ensured(), *arguments],
            env=os.environ | homes,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout
