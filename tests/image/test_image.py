"""The container image as deploy/Containerfile has it built, on a base of Debian's packages, and run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent import __version__
from tests.capabilities import require
from tests.image import base
from tests.image.engine import Buildah

_CHECKOUT = Path(__file__).parents[2]
_IMAGE = "localhost/nodeagent"
_AGENT = "/opt/nodeagent/bin/nodeagent"
_MOST = 180 << 10  # KiB of what is added to the base
_BASES = {
    "base": "FROM scratch\nADD base.tar /\n",
    # A build needs Python's headers, which an image of Python has and Debian's package for running it has not.
    "build": "FROM localhost/base\nRUN apt-get update && apt-get install --yes --no-install-recommends python3-dev\n",
}


@pytest.fixture(scope="module")
def buildah() -> Iterator[Buildah]:
    """With the image in its store. Its folder is large, and goes at once."""
    require("root", "buildah", "debootstrap", "image-base")
    with tempfile.TemporaryDirectory(prefix="nodeagent-image-") as folder:
        engine, context = Buildah(Path(folder)), Path(folder) / "context"
        context.mkdir()
        shutil.copy(base.ensured(), context / "base.tar")
        for name, text in _BASES.items():
            (context / name).write_text(text)
            engine.build(f"localhost/{name}", context / name, context, {})
        bases = {"BASE": "localhost/base", "BUILD": "localhost/build"}
        engine.build(_IMAGE, _CHECKOUT / "deploy/Containerfile", _CHECKOUT, bases)
        yield engine


@pytest.fixture(scope="module")
def container(buildah: Buildah) -> Iterator[str]:
    with buildah.container(_IMAGE) as name:
        yield name


def test_it_runs_the_agent_and_nothing_else_by_default(buildah: Buildah) -> None:
    assert buildah.configuration(_IMAGE)["Entrypoint"] == [_AGENT]
    assert not buildah.configuration(_IMAGE).get("Cmd")


def test_the_agent_says_its_version(buildah: Buildah, container: str) -> None:
    assert buildah.run(container, _AGENT, "--version") == f"nodeagent {__version__}\n"


def test_its_user_is_the_coordinators_and_has_what_the_roles_need(buildah: Buildah, container: str) -> None:
    assert buildah.configuration(_IMAGE)["User"] == "65532:65532"
    assert buildah.run(container, "id", "-u").strip() == "65532"
    libraries = (
        "nodeagent.kube.connection, ovs.db.idl, cryptography.x509, pystemd.dbuslib, pyinotify, yaml, prometheus_client"
    )
    buildah.run(container, "/opt/nodeagent/bin/python", "-c", f"import {libraries}")
    assert "--role" in buildah.run(container, _AGENT, "coordinate", "--help")


def test_nothing_of_it_can_be_changed_by_its_user(buildah: Buildah, container: str) -> None:
    assert buildah.run(container, "find", "/opt/nodeagent", "-writable", "-not", "-type", "l").strip() == ""


def test_what_built_it_stays_behind(buildah: Buildah, container: str) -> None:
    search = "import shutil, importlib.util as u; print(shutil.which('gcc'), u.find_spec('pip'))"
    assert buildah.run(container, "/opt/nodeagent/bin/python", "-c", search).strip() == "None None"
    assert buildah.run(container, "find", "/", "-maxdepth", "1", "-name", "src").strip() == ""


def test_it_adds_little_to_its_base(buildah: Buildah, container: str) -> None:
    size, _ = buildah.run(container, "du", "-sk", "/opt/nodeagent").split()
    assert int(size) < _MOST
