"""Where the tests' Kubernetes comes from, without building it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.controlplane import binaries


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return tmp_path / "cache" / "nodeagent-tests"


def _assets(folder: Path, *components: str) -> None:
    folder.mkdir()
    for component in components:
        (folder / component).touch(mode=0o755)


def test_nothing_is_found_in_an_empty_cache() -> None:
    assert binaries.found() is None


def test_a_built_folder_is_found_and_used(cache: Path) -> None:
    folder = cache / binaries._name()
    folder.mkdir(parents=True)
    assert binaries.found() == binaries.ensured() == binaries.Binaries(folder)
    assert binaries.obtainable()


def test_given_assets_come_first_and_may_lack_the_controllers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _assets(tmp_path / "assets", "kube-apiserver", "etcd", "kubectl")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    given = binaries.ensured()
    assert given.path("etcd") == str(tmp_path / "assets/etcd")
    assert not given.has("kube-controller-manager")
    with pytest.raises(binaries.Unavailable, match="has no kube-controller-manager: unset KUBEBUILDER_ASSETS"):
        given.path("kube-controller-manager")


def test_assets_without_etcd_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _assets(tmp_path / "assets", "kube-apiserver")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    with pytest.raises(binaries.Unavailable, match="assets has no etcd"):
        binaries.found()
    assert not binaries.obtainable()


def test_another_source_is_another_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("go 1.24.0\nrequire (\n\tk8s.io/kubernetes v1.34.4\n)\n")
    (module / "etcd").mkdir()
    (module / "etcd/main.go").write_text("package main\n")
    monkeypatch.setattr(binaries, "_MODULE", module)
    before = binaries._name()
    (module / "etcd/main.go").write_text("package main // another\n")
    assert binaries._name() != before


def test_a_failed_build_leaves_nothing_that_looks_complete(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    go.write_text('#!/bin/sh\n[ "$1" = env ] && echo go1.99.0 && exit\necho "main.go:1: no such thing" >&2\nexit 1\n')
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(binaries.Unavailable, match=r"failed with exit code 1:\n.*no such thing"):
        binaries.ensured()
    assert [entry.name for entry in cache.iterdir()] == ["lock"]
    assert binaries.found() is None
