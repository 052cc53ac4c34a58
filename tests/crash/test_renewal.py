"""A renewal dies, or the disk fails, at each step of the swap: then all pairs are the old ones, or all are new."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nodeagent.certs.contents import contents
from nodeagent.certs.kubeconfig import kubeconfig
from nodeagent.host.files import ASIDE
from tests.crash import renewal
from tests.crash.trace import Call, inject, occurrences, record, run
from tests.unit.certs.scratch import read_yaml

_WORKERS = 2
_FAILING = 12  # of the steps, at which the disk fails; the process dies at each of them


class _Nodes:
    """Nodes that are all alike, and the steps of a renewal of one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        (directory / "made").mkdir()
        renewal.build(directory / "made")
        self._before = _files(directory / "made")
        first = self.another("recorded")
        calls = record(first, "renew", "fsync", directory / "recorded.log")
        self.steps = [each for group in occurrences(calls).values() for each in group]
        assert self.told(first) == "new"

    def another(self, name: str) -> Path:
        return Path(shutil.copytree(self._directory / "made", self._directory / name))

    def told(self, root: Path) -> str:
        """Whether all is old or all is new; AssertionError for anything between."""
        left = [str(path) for path in root.rglob("*") if ASIDE in path.name or path.name.startswith("journal.")]
        assert not left, f"left behind: {left}"
        now = _files(root)
        if now == self._before:
            return "old"
        assert not [path for path in now if now[path] == self._before[path]], "some are old and some are new"
        for name in renewal.PAIRS:
            certificate, key = now[f"{renewal.PKI}/{name}.crt"], now[f"{renewal.PKI}/{name}.key"]
            assert contents(certificate).certificates[0].public_key == contents(key).keys[0].public_key
        (user,) = kubeconfig(renewal.KUBECONFIG, now[renewal.KUBECONFIG], read_yaml).users
        assert user.certificate.contents is not None
        assert user.key.contents is not None
        assert user.certificate.contents.certificates[0].public_key == user.key.contents.keys[0].public_key
        return "new"

    def checked(self, step: Call, fault: str) -> str:
        """What is wrong once the fault has come to pass at the step, and the next start has recovered."""
        name = f"{step.name}-{step.ordinal}-{fault[-4:]}"
        root = self.another(name)
        try:
            ended = inject(root, "renew", "fsync", step, fault, self._directory / f"{name}.log")
            assert ended.injected, "the fault did not come to pass"
            assert ended.status != 0, "it counts as done"
            assert "Traceback" not in ended.error, ended.error
            recovered = run(root, "resume", "fsync")
            assert recovered.returncode == 0, recovered.stderr
            self.told(root)
        except AssertionError as error:
            return f"{fault} at {step}\n{error}"
        shutil.rmtree(root)
        return ""

    def check(self, cases: Sequence[tuple[Call, str]]) -> None:
        with ThreadPoolExecutor(_WORKERS) as pool:
            wrong = [message for message in pool.map(lambda case: self.checked(*case), cases) if message]
        assert not wrong, "\n\n".join(wrong)


def _files(root: Path) -> dict[str, bytes]:
    """What a renewal replaces."""
    paths = [f"{renewal.PKI}/{name}.{end}" for name in renewal.PAIRS for end in ("crt", "key")]
    return {path: (root / path[1:]).read_bytes() for path in (*paths, renewal.KUBECONFIG)}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> _Nodes:
    return _Nodes(tmp_path_factory.mktemp("renewal"))


def test_the_process_dies_at_each_step(nodes: _Nodes) -> None:
    assert len(nodes.steps) > 20
    nodes.check([(step, "signal=KILL") for step in nodes.steps])


@pytest.mark.parametrize("fault", ["error=ENOSPC", "error=EIO", "error=EROFS"])
def test_the_disk_fails(fault: str, nodes: _Nodes) -> None:
    writing = [step for step in nodes.steps if step.name not in ("fchmod", "fchown")]
    nodes.check([(step, fault) for step in random.Random(fault).sample(writing, _FAILING)])
