"""The looks at whether a node is fit to hold the VIP, as the settings want them."""

from __future__ import annotations

import datetime
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.agent.vipfitness import ServingCertificate, quick_looks, rules_of, slow_looks
from nodeagent.host.tree import Tree
from nodeagent.settings import Settings
from nodeagent.settings.addresses import Address
from nodeagent.settings.vip import VipSettings
from nodeagent.vip.health import Scope
from tests.unit.certs.authority import issue

_NOW = datetime.datetime.now(datetime.UTC)
_HOUR = datetime.timedelta(hours=1)


def _settings(root: Path, **changes: object) -> Settings:
    vip = replace(VipSettings(), **changes)  # type: ignore[arg-type] # as given
    return replace(Settings(), root=str(root), vip=vip)


def _names(settings: Settings) -> set[str]:
    with ExitStack() as stack:
        made = {*quick_looks(settings, stack), *slow_looks(settings, stack)}
    assert made == {rule.name for rule in rules_of(settings)}, "each check has its look, and no look is idle"
    return made


def test_by_default_the_balancer_alone_is_not_looked_at(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    assert _names(settings) == {"apiserver-live", "apiserver-ready", "etcd", "disk", "certificate"}
    assert [rule.name for rule in rules_of(settings) if rule.scope is Scope.OWN] == ["apiserver-live"]


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"endpoint": None}, {"apiserver-live", "apiserver-ready"}),
        ({"etcd": None}, {"etcd"}),
        ({"ready_weight": 0}, {"apiserver-ready"}),
        ({"disk_weight": 0, "certificate_weight": 0}, {"disk", "certificate"}),
    ],
)
def test_what_is_turned_off_is_not_looked_at(tmp_path: Path, changes: dict[str, object], gone: set[str]) -> None:
    assert _names(_settings(tmp_path)) - _names(_settings(tmp_path, **changes)) == gone


@pytest.mark.parametrize("probe", ["tcp", "https"])
def test_a_balancer_that_does_not_answer_is_told(tmp_path: Path, probe: str) -> None:
    settings = _settings(tmp_path, balancer=Address("127.0.0.1", 1), balancer_probe=probe)
    with ExitStack() as stack:
        look = slow_looks(settings, stack)["balancer"]()
    assert (look.well, look.detail) == (False, "Connection refused")


def test_a_serving_certificate_is_followed_over_its_renewal(tmp_path: Path) -> None:
    path = tmp_path / "apiserver.crt"
    with Tree(str(tmp_path)) as tree:
        looked = ServingCertificate(tree, "/apiserver.crt", 600.0)
        assert looked.complaint() == "", "the certificate job tells that it is missing"
        path.write_bytes(issue("apiserver", ends=_NOW + _HOUR / 12).pem)
        assert looked.complaint().startswith("/apiserver.crt ends at 20")
        renewed = tmp_path / "new"
        renewed.write_bytes(issue("apiserver", ends=_NOW + _HOUR).pem)
        renewed.rename(path)
        assert looked.complaint() == ""
