"""buildah with a store of its own: what it builds and runs is gone with its folder.

Invariant: nothing but the folder is written: no daemon, no store of the machine's, commands below a plain chroot.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SECONDS = 1200
_CERTIFICATES = "/etc/ssl/certs"  # an index of packages may answer with a certificate of the machine's own authority


class Buildah:
    """Images by their names, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._store = ["--root", str(folder / "store"), "--runroot", str(folder / "run"), "--storage-driver", "vfs"]

    def build(self, name: str, containerfile: Path, context: Path, arguments: Mapping[str, str]) -> str:
        """Build the image `name`: what was said."""
        options = ["--isolation", "chroot", "--layers=false", "--file", str(containerfile), "--tag", name]
        if os.path.isdir(_CERTIFICATES):
            options += ["--volume", f"{_CERTIFICATES}:{_CERTIFICATES}:ro"]
        for key, value in arguments.items():
            options += ["--build-arg", f"{key}={value}"]
        return self._run("build", *options, str(context))

    @contextmanager
    def container(self, image: str) -> Iterator[str]:
        """The name of a container from `image`."""
        name = self._run("from", image).strip()
        try:
            yield name
        finally:
            self._run("rm", name)

    def run(self, container: str, *command: str) -> str:
        """What `command` prints in a container, as the user that the image names."""
        return self._run("run", "--isolation", "chroot", container, "--", *command)

    def configuration(self, image: str) -> dict[str, Any]:
        """The image's own, as OCI's image-spec has it (`config`)."""
        told = json.loads(self._run("inspect", "--type", "image", image))
        configuration: dict[str, Any] = told["OCIv1"]["config"]
        return configuration

    def _run(self, command: str, *arguments: str) -> str:
        done = subprocess.run(
            ["buildah", *self._store, command, *arguments],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == 0, f"buildah {command} -> {done.returncode}: {(done.stdout + done.stderr)[-4000:]}"
        return done.stdout
