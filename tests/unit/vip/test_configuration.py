"""What the statements of a keepalived.conf mean."""

from __future__ import annotations

import pytest

from nodeagent.vip.configuration import TrackFile, Vip
from tests.unit.vip.files import configured

_WHOLE = """
global_defs {
  router_id k1
  vrrp_version 3
  vrrp_notify_fifo /run/keepalived/vrrp.fifo
}
track_file health { file "/run/nodeagent/vip-health" }
vrrp_track_file old { file /run/old
  weight -2 }
vrrp_script check { script /bin/true }
vrrp_instance VI_1 {
  interface eth0
  virtual_router_id 51
  priority 150
  advert_int 0.3
  nopreempt
  unicast_src_ip 10.0.0.1
  unicast_peer {
    10.0.0.2 min_ttl 255
    10.0.0.3
  }
  track_file { health }
  track_script { check weight -2 }
  virtual_ipaddress { 10.0.0.100/24 dev eth1 label eth1:vip }
  virtual_ipaddress_excluded { 10.0.0.101 }
}
virtual_server 10.0.0.100 80 { }
"""


def test_all_that_bears_on_a_vip_is_read() -> None:
    found = configured(_WHOLE)
    (instance,) = found.instances
    assert found.router_id == "k1"
    assert [each.path for each in found.fifos] == ["/run/keepalived/vrrp.fifo"]
    assert found.virtual_servers == 1
    assert found.track_files == (TrackFile("health", "/run/nodeagent/vip-health"), TrackFile("old", "/run/old", -2))
    assert instance.vips == (Vip("10.0.0.100", 24, "eth1"), Vip("10.0.0.101", 32, "eth0"))
    assert instance.peers == ("10.0.0.2", "10.0.0.3")
    assert (instance.track_files, instance.track_scripts) == (("health",), ("check",))
    assert (instance.version, instance.nopreempt, instance.advert_interval) == (3, True, 0.3)
    assert found.problems == ()


def test_a_backup_takes_over_after_three_adverts_and_its_skew() -> None:
    (instance,) = configured(_WHOLE).instances
    assert instance.takeover == pytest.approx(0.9 + 106 / 256 * 0.3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("priority 256", "priority '256' is no number from 1 to 255"),
        ("priority high", "priority 'high' is no number"),
        ("virtual_router_id 0", "virtual_router_id '0'"),
        ("virtual_ipaddress { 10.0.0.300 }", "'10.0.0.300' in virtual_ipaddress is no IP address"),
    ],
)
def test_a_value_that_keepalived_does_not_take_is_told(line: str, message: str) -> None:
    found = configured(f"vrrp_instance VI {{\ninterface eth0\nvirtual_router_id 5\n{line}\n}}")
    (problem,) = found.problems
    assert problem.path == "line 4"
    assert message in problem.message
    assert found.instances[0].priority == 100


def test_what_an_instance_lacks_is_told_all_at_once() -> None:
    found = configured("vrrp_instance {\n}")
    assert len(found.problems) == 3


def test_ipv6_is_always_version_3() -> None:
    text = "vrrp_instance V { interface eth0\nvirtual_router_id 5\nversion 2\nvirtual_ipaddress { fd00::1 } }"
    (instance,) = configured(text).instances
    assert instance.version == 3
    assert instance.vips[0].prefix == 128
