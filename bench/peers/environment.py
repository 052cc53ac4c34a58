"""Virtual environments of peers that come from PyPI, made at the first run, below .cache/."""

from __future__ import annotations

import os
import subprocess
import sys

from bench.peers import Missing

_PATIENCE = 300.0  # seconds for the installation


def environment(package: str, version: str) -> str:
    """The directory of an environment with that package. Missing if it cannot be had."""
    home = os.path.abspath(f".cache/{package}-{version}")
    if os.path.exists(f"{home}/installed"):
        return home
    print(f"bench: installing {package} {version} into {home}", flush=True)
    try:
        _do([sys.executable, "-m", "venv", home])
        _do([f"{home}/bin/pip", "install", "--quiet", f"{package}=={version}"])
    except (OSError, subprocess.SubprocessError) as error:
        raise Missing(
            f"{package} {version} cannot be installed ({error}); "
            f"with access to PyPI: python -m venv {home} && {home}/bin/pip install {package}=={version}"
        ) from error
    with open(f"{home}/installed", "w", encoding="ascii"):
        return home


def _do(words: list[str]) -> None:
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE)
