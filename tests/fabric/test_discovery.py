"""What we read from a configuration is what a real keepalived makes of it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from nodeagent.host.keepalived import KeepalivedHost
from nodeagent.host.vrrpdump import dump
from nodeagent.observed.vrrp import Reported
from nodeagent.vip.configuration import Instance
from nodeagent.vip.inventory import Installation, installations
from tests.fabric.namespace import inside
from tests.fabric.network import NOBODY, Router, config, others, until

_SPELLINGS = """
! a comment, and # another
global_defs {
  vrrp_version 3   # for all
  router_id "with space"
}
$WHERE=eth0
$BLOCK= \\
vrrp_instance GEN_${NUM} { \\
  interface ${WHERE} \\
  virtual_router_id 6${NUM} \\
  virtual_ipaddress { \\
    10.77.6.${NUM}/32 \\
  } \\
}
include parts/*.conf
vrrp_instance "BRACE BELOW"
{
  interface eth0
  @k1 priority 123
  @other priority 45
  @^k1 virtual_router_id 9
  @^other virtual_router_id 52
  advert_int 2
  unicast_peer {
    10.77.0.9
  }
  nopreempt
  virtual_ipaddress {
    10.77.0.201/24 dev eth0 label eth0:1 # one
    10.77.0.202
  }
  virtual_ipaddress_excluded {
    10.77.0.204/24
  }
}
vrrp_instance ONE { interface eth0
  virtual_router_id 53
  virtual_ipaddress { 10.77.0.203/24 } }
$NUM=1
$BLOCK
$NUM=2
$BLOCK
"""
_PART = "vrrp_instance SIX {\n interface eth0\n virtual_router_id 54\n virtual_ipaddress {\n fd77::100/64\n }\n}\n"


def _found() -> tuple[Installation, tuple[Reported, ...] | None]:
    with KeepalivedHost() as host:
        (installation,) = installations(host)
    assert installation.daemon is not None
    return installation, dump(installation.daemon, 2.0)


def _ours(each: Instance) -> tuple[object, ...]:
    vips = sorted(vip.address for vip in each.vips)
    return each.name, each.interface, each.vrid, each.priority, each.version, each.nopreempt, each.advert_interval, vips


def _theirs(each: Reported) -> tuple[object, ...]:
    vips = sorted(each.vips)
    return (
        each.instance,
        each.interface,
        each.vrid,
        each.base_priority,
        each.version,
        each.nopreempt,
        each.advert_interval,
        vips,
    )


def test_a_configuration_means_to_us_what_it_means_to_keepalived(router: Router) -> None:
    router.write("/etc/keepalived/parts/six.conf", _PART)
    router.start(_SPELLINGS, "-i", "k1")
    installation, reported = inside(router, _found)
    assert reported is not None
    assert sorted(map(_ours, installation.configuration.instances)) == sorted(map(_theirs, reported))
    assert installation.configuration.problems == ()


def test_nopreempt_beside_state_master_means_nothing_to_either(router: Router) -> None:
    text = config(router, [NOBODY], priority=100, extra="nopreempt").replace("state BACKUP", "state MASTER")
    router.start(text)
    installation, reported = inside(router, _found)
    assert reported is not None
    assert [each.nopreempt for each in installation.configuration.instances] == [False]
    assert [each.nopreempt for each in reported] == [False]
    (problem,) = installation.configuration.problems
    assert "nopreempt does nothing" in problem.message


def test_a_daemon_is_found_only_in_its_own_network_namespace(pair: list[Router]) -> None:
    for router in pair:
        router.start(config(router, others(router, pair), priority=100))
    for router in pair:
        installation, _ = inside(router, _found)
        assert installation.configuration.router_id == router.name


@pytest.mark.parametrize("running", [True, False])
def test_status_tells_of_a_configuration_whether_it_runs_or_not(router: Router, running: bool) -> None:
    text = config(router, [NOBODY], priority=100)
    if running:
        router.start(text)
    router.write("/etc/keepalived/keepalived.conf", text)
    document = json.loads(router.run(sys.executable, "-m", "nodeagent", "vip", "status", "-o", "json"))
    (installation,) = document["installations"]
    assert (installation["daemon"] is not None) == running
    assert installation["instances"][0]["vrid"] == 51


@pytest.mark.parametrize("running", [True, False])
def test_the_doctor_tells_a_keepalived_that_runs_from_one_that_should(router: Router, running: bool) -> None:
    text = config(router, [NOBODY], priority=100)
    if running:
        router.start(text)
        until(router.holds, "it holds the VIP")
    router.write("/etc/keepalived/keepalived.conf", text)
    done = subprocess.run(
        router.inside(sys.executable, "-m", "nodeagent", "doctor", "-o", "json"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    checks = {each["name"]: each for each in json.loads(done.stdout)["checks"]}
    found = checks["keepalived"]
    assert found["verdict"] == ("ok" if running else "failed"), found
    assert ("it runs with" if running else "no keepalived runs with it") in found["explanation"]


@pytest.mark.parametrize("ours", [True, False])
def test_status_says_whose_the_fifo_is(router: Router, ours: bool) -> None:
    directory = "nodeagent" if ours else "keepalived"
    text = config(router, [NOBODY], priority=100).replace("/run/keepalived/vrrp", f"/run/{directory}/vrrp")
    router.start(text)
    status = [sys.executable, "-m", "nodeagent", "vip", "status", "--vip-probe-interval", "42s"]
    said = router.run(*status)
    assert f"fifo        /run/{directory}/vrrp.fifo" in said
    assert ("somebody else's, so not read" in said) is not ours
    assert ("seen within 42 s" in said) is not ours
    (installation,) = json.loads(router.run(*status, "-o", "json"))["installations"]
    assert installation["fifoRead"] is ours


def test_without_keepalived_the_job_is_off(router: Router) -> None:
    assert router.run(sys.executable, "-m", "nodeagent", "vip", "status").startswith("off: ")
