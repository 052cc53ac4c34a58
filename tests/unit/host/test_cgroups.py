"""Units and containers as the cgroup paths of known runtimes spell them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.host.cgroups import container_of, unit_of

_ID = "3f" * 32
_OTHER = "ab" * 32
_POD = "kubepods-burstable-pod1b2c_3d.slice"


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0::/system.slice/ssh.service\n", "ssh.service"),
        ("0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service"),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope"),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/vim.service\n",
            "user@1000.service",
        ),
        ("0::/system.slice/_cpu.foo.service\n", "cpu.foo.service"),  # escaped: looks like a controller's file
        ("0::/system.slice/dev-disk-by\\x2duuid.swap\n", "dev-disk-by\\x2duuid.swap"),
        ("0::/system.slice/ssh.service/leaf\n", "ssh.service"),
        ("0::/system.slice/old.service (deleted)\n", "old.service"),
        ("9:name=systemd:/system.slice/cron.service\n4:memory:/x\n0::/\n", "cron.service"),
        ("9:name=systemd:/\n0::/system.slice/cron.service\n", "cron.service"),
        ("4:memory:/system.slice/cron.service\n", ""),  # not systemd's hierarchy
        ("0::/init.scope\n", "init.scope"),
        ("0::/../../system.slice/ssh.service\n", "ssh.service"),  # seen from another cgroup namespace
        ("0::/kubepods/burstable/podx/" + _ID + "\n", ""),
        ("0::/\n", ""),
        ("", ""),
        ("no cgroup file\n", ""),
    ],
)
def test_unit(text: str, unit: str) -> None:
    assert unit_of(text) == unit


@pytest.mark.parametrize(
    ("text", "container"),
    [
        (f"0::/kubepods.slice/{_POD}/cri-containerd-{_ID}.scope\n", _ID),
        (f"0::/kubepods.slice/{_POD}/crio-{_ID}.scope\n", _ID),
        (f"0::/kubepods.slice/{_POD}/crio-conmon-{_ID}.scope\n", ""),
        (f"0::/system.slice/docker-{_ID}.scope\n", _ID),
        (f"0::/machine.slice/libpod-{_ID}.scope/container\n", _ID),
        (f"0::/system.slice/containerd.service/{_POD}:cri-containerd:{_ID}\n", _ID),
        (f"0::/kubepods/besteffort/pod1b2c-3d/{_ID}\n", _ID),
        (f"12:cpuset:/docker/{_ID}\n9:name=systemd:/docker/{_ID}\n", _ID),
        (f"0::/kubepods/pod1/{_ID}/docker/{_OTHER}\n", _ID),
        (f"0::/kubepods/pod1/{_ID[:-1]}\n", ""),
        (f"0::/kubepods/pod1/{_ID}0\n", ""),
        (f"0::/system.slice/{_ID}.service\n", ""),
        ("0::/system.slice/docker.service\n", ""),
    ],
)
def test_container(text: str, container: str) -> None:
    assert container_of(text) == container


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    assert unit_of(text) in text
    assert container_of(text) in text
