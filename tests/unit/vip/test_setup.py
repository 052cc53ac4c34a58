"""keepalived.conf and the drop-in, as they are rendered."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.vip.adoption import lacking
from nodeagent.vip.configuration import Fifo, Vip
from nodeagent.vip.setup import GUARD, Setup, dropin, unreachable
from tests.unit.vip.files import configured

SETUP = Setup(
    node="cp-1",
    vips=("10.0.0.100/24",),
    interface="eth0",
    vrid=51,
    priority=150,
    advert_interval=0.3,
    preempt=True,
    source="10.0.0.1",
    peers=("10.0.0.2", "10.0.0.3"),
    run_dir="/run/nodeagent",
    track_file="/run/nodeagent/vip-health",
    livez="https://127.0.0.1:6443/livez?exclude=etcd",
)

_FIFO = "/run/nodeagent/vrrp.fifo"
_addresses = st.ip_addresses(v=4).map(str)


@given(
    st.lists(_addresses.map(lambda each: f"{each}/24"), min_size=1, max_size=4, unique=True),
    st.lists(_addresses, min_size=1, max_size=4, unique=True),
    st.integers(1, 255),
    st.integers(1, 254),
    st.integers(1, 4000),
    st.booleans(),
)
def test_what_is_rendered_reads_as_it_was_meant(
    vips: list[str], peers: list[str], vrid: int, priority: int, hundredths: int, preempt: bool
) -> None:
    advert = hundredths / 100
    setup = replace(SETUP, vips=tuple(vips), peers=tuple(peers), vrid=vrid, priority=priority)
    found = configured(replace(setup, advert_interval=advert, preempt=preempt).config())
    assert found.problems == ()
    (instance,) = found.instances
    assert [f"{vip.address}/{vip.prefix}" for vip in instance.vips] == vips
    assert set(instance.peers) == set(peers)
    assert (instance.vrid, instance.priority, instance.advert_interval) == (vrid, priority, advert)
    assert (instance.nopreempt, instance.version, instance.source) == (not preempt, 3, "10.0.0.1")
    assert found.fifos == (Fifo("vrrp_notify_fifo", _FIFO),)


def test_what_is_rendered_lacks_nothing() -> None:
    assert lacking(configured(SETUP.config()), SETUP.track_file, GUARD, _FIFO) == ()


def test_addresses_of_the_other_family_go_along() -> None:
    text = replace(SETUP, vips=("10.0.0.100/24", "fd00::100/64")).config()
    assert "virtual_ipaddress_excluded" in text
    assert [vip.address for vip in configured(text).instances[0].vips] == ["10.0.0.100", "fd00::100"]


def test_a_sixth_family_setup_has_peers_of_it() -> None:
    setup = replace(SETUP, vips=("fd00::100/64",), source="fd00::1", peers=("fd00::2",))
    assert list(setup.problems()) == []
    assert configured(setup.config()).instances[0].peers == ("fd00::2",)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"interface": ""}, "vip.interface"),
        ({"peers": ()}, "vip.peers"),
        ({"peers": ("10.0.0.1",)}, "vip.peers"),
        ({"peers": ("fd00::2",)}, "vip.peers"),
        ({"source": "fd00::1"}, "vip.source"),
        ({"vips": ("10.0.0.2/24",)}, "vip.addresses"),
        ({"vips": ("10.0.0.1/24",)}, "vip.addresses"),
        ({"advert_interval": 0.001}, "vip.advert_interval"),
        ({"run_dir": "/var/nodeagent"}, "run_dir"),
    ],
)
def test_a_setup_that_cannot_work_is_told_by_its_setting(change: dict[str, object], key: str) -> None:
    assert {problem.path for problem in replace(SETUP, **change).problems()} == {key}  # type: ignore[arg-type] # as given


def test_all_problems_are_told_at_once() -> None:
    setup = replace(SETUP, interface="", peers=(), run_dir="/tmp")
    assert {problem.path for problem in setup.problems()} == {"vip.interface", "vip.peers", "run_dir"}
    assert len(list(unreachable("/tmp"))) == 1


def test_the_drop_in_takes_away_what_a_killed_keepalived_leaves() -> None:
    text = dropin([Vip("10.0.0.100", 24, "eth0"), Vip("fd00::100", 64, "eth1")], "/run/nodeagent")
    assert "ExecStopPost=-/sbin/ip address del 10.0.0.100/24 dev eth0" in text
    assert "ExecStopPost=-/sbin/ip address del fd00::100/64 dev eth1" in text
    assert "RuntimeDirectory=nodeagent keepalived" in text


_FOREIGN = """
vrrp_script check { script "/etc/keepalived/check.sh" interval 3 weight -2 fall 10 }
vrrp_instance VI_1 {
  interface eth0
  virtual_router_id 51
  virtual_ipaddress { 10.0.0.100/24 }
  track_script { check }
}
"""


@pytest.mark.parametrize(
    ("theirs", "advice"),
    [
        ("", f"add vrrp_notify_fifo {_FIFO} to global_defs"),
        ("vrrp_notify_fifo /run/a", f"add notify_fifo {_FIFO} to global_defs, beside vrrp_notify_fifo /run/a"),
        ("notify_fifo /run/b", f"add vrrp_notify_fifo {_FIFO} to global_defs, beside notify_fifo /run/b"),
        ("vrrp_notify_fifo /run/a\nnotify_fifo /run/b", "there is no third"),
    ],
)
def test_a_fifo_of_somebody_else_is_left_to_them(theirs: str, advice: str) -> None:
    text = SETUP.config().replace(f"vrrp_notify_fifo {_FIFO}", theirs)
    (problem,) = lacking(configured(text), SETUP.track_file, GUARD, _FIFO)
    assert advice in problem.advice


@pytest.mark.parametrize("keyword", ["vrrp_notify_fifo", "notify_fifo"])
def test_ours_may_be_either_of_the_two(keyword: str) -> None:
    text = SETUP.config().replace("vrrp_notify_fifo", keyword)
    assert lacking(configured(text), SETUP.track_file, GUARD, _FIFO) == ()


def test_what_a_configuration_of_kubeadms_guide_lacks_is_told_with_its_line() -> None:
    found = lacking(configured(_FOREIGN), SETUP.track_file, GUARD, _FIFO)
    told = " ".join(map(str, found))
    for words in (
        "sends to everybody",
        "VRRP version 2",
        "does not tell of transitions at /run/nodeagent/vrrp.fifo",
        "does not track",
    ):
        assert words in told
    assert any(problem.path == "line 3" for problem in found)
