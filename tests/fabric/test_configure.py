"""`nodeagent vip configure` sets real routers up, keeps what is there, and gives it back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fabric.network import NOBODY, VIP, Router, config, others, until

_CONFIG = "/etc/keepalived/keepalived.conf"
_DROPIN = "/etc/systemd/system/keepalived.service.d/nodeagent.conf"
_ENABLED = "/etc/systemd/system/multi-user.target.wants/keepalived.service"
_STATE = "/run/nodeagent-state"


def _configure(router: Router, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nodeagent", "vip", "configure", "--state-dir", _STATE, *arguments]
    return subprocess.run(router.inside(*command), check=False, capture_output=True, text=True, timeout=60)


def _settings(router: Router, peers: list[str], priority: int = 100) -> list[str]:
    given = {"addresses": f"{VIP}/24", "interface": "eth0", "priority": str(priority), "peers": ",".join(peers)}
    given |= {"source": router.address, "endpoint": "", "rise": "1"}
    return [word for key, value in given.items() for word in (f"--vip-{key}", value)]


@pytest.fixture
def fresh(pair: list[Router]) -> list[Router]:
    """Routers with directories of units of their own."""
    for router in pair:
        router.run("mount", "-t", "tmpfs", "none", "/etc/systemd/system")
    return pair


def _text(router: Router, path: str = _CONFIG) -> str:
    return Path(router.path(path)).read_text()


def test_a_pair_that_is_set_up_from_settings_shares_the_vip(fresh: list[Router]) -> None:
    first, second = fresh
    for router, priority in ((first, 150), (second, 100)):
        done = _configure(router, *_settings(router, others(router, fresh), priority))
        assert done.returncode == 0, done.stderr
        router.start(_text(router))
    until(lambda: first.holds() and not second.holds(), "the VIP is where the priority is higher")
    assert f"address del {VIP}/24 dev eth0" in _text(first, _DROPIN)
    assert Path(first.path(_ENABLED)).is_symlink()
    again = _configure(first, *_settings(first, others(first, fresh), 150), "--dry-run")
    assert (again.returncode, again.stdout) == (0, "vip: nothing to do\n")


def test_a_dry_run_changes_nothing_and_its_fingerprint_is_what_is_agreed_to(fresh: list[Router]) -> None:
    router = fresh[0]
    wanted = _settings(router, [NOBODY])
    planned = _configure(router, *wanted, "--dry-run", "-o", "json")
    assert planned.returncode == 3
    assert not Path(router.path(_CONFIG)).exists()
    refused = _configure(router, *wanted, "--plan", "0" * 32)
    assert refused.returncode == 1
    assert "the plan has changed" in refused.stderr
    done = _configure(router, *wanted, "--plan", json.loads(planned.stdout)["fingerprint"], "-o", "json")
    assert json.loads(done.stdout)["result"] == "applied"


def test_somebody_elses_file_stays_unless_it_is_to_be_replaced_and_is_given_back(fresh: list[Router]) -> None:
    router = fresh[0]
    theirs = config(router, [NOBODY], priority=42)
    router.write(_CONFIG, theirs)
    refused = _configure(router, *_settings(router, [NOBODY]))
    assert refused.returncode == 1
    assert "was not written by nodeagent" in refused.stderr
    assert _text(router) == theirs
    assert _configure(router, *_settings(router, [NOBODY]), "--replace").returncode == 0
    assert "VI_51" in _text(router)
    assert _configure(router, "--remove").returncode == 0
    assert _text(router) == theirs
    assert not Path(router.path(_DROPIN)).exists()


def test_adopting_reads_the_file_and_adds_what_stands_beside_it(fresh: list[Router]) -> None:
    router = fresh[0]
    theirs = config(router, [NOBODY], priority=42).replace("track_file { health }", "")
    router.write(_CONFIG, theirs)
    done = _configure(router, "--adopt")
    assert done.returncode == 0, done.stderr
    assert "does not track /run/nodeagent/vip-health" in done.stderr
    assert _text(router) == theirs
    assert f"address del {VIP}/24 dev eth0" in _text(router, _DROPIN)


def test_what_keepalived_refuses_is_never_put_in_place(fresh: list[Router]) -> None:
    router = fresh[0]
    wanted = _settings(router, [NOBODY])
    wanted[wanted.index("eth0")] = "nosuch0"
    refused = _configure(router, *wanted)
    assert refused.returncode == 1
    assert "nosuch0" in refused.stderr
    assert not Path(router.path(_CONFIG)).exists()


def test_every_setting_that_is_missing_is_named(fresh: list[Router]) -> None:
    refused = _configure(fresh[0], "--vip-addresses", f"{VIP}/24")
    assert refused.returncode == 1
    assert "vip.interface" in refused.stderr
    assert "vip.peers" in refused.stderr


_CLAIM = """
apiVersion: machineconfiguration.alauda.io/v1alpha1
kind: MachineConfig
metadata:
  name: 50-keepalived
  labels: {machineconfiguration.alauda.io/role: worker}
spec:
  config:
    ignition: {version: 3.4.0}
    storage:
      files:
        - path: /etc/keepalived/keepalived.conf
          overwrite: true
          contents: {source: "data:,theirs"}
"""


@pytest.mark.parametrize("first", ["vip", "config"])
def test_a_path_has_one_owner_whoever_came_first(fresh: list[Router], first: str) -> None:
    router = fresh[0]
    router.write("/run/claim.yaml", _CLAIM)
    apply = [sys.executable, "-m", "nodeagent", "apply", "/run/claim.yaml", "--state-dir", _STATE, "--no-reboot"]

    def applied() -> subprocess.CompletedProcess[str]:
        return subprocess.run(router.inside(*apply), check=False, capture_output=True, text=True, timeout=60)

    def configured() -> subprocess.CompletedProcess[str]:
        return _configure(router, *_settings(router, [NOBODY]), "--replace")

    order = [configured, applied] if first == "vip" else [applied, configured]
    done, refused = [step() for step in order]
    assert done.returncode == 0, done.stderr
    assert refused.returncode == 1
    assert "50-keepalived" in refused.stderr
    assert "nodeagent vip configure" in refused.stderr
