"""Units below a root that no systemd runs on: everything is links and files, presets included."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.cli.conftest import HEAD, Node

INSTALL = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
WANTS = "etc/systemd/system/multi-user.target.wants"


def units(*declared: str) -> str:
    return HEAD.format(name="50-units") + "    systemd:\n      units:\n" + "".join(declared)


def unit(name: str, *, contents: str = "", dropin: str = "", **flags: bool) -> str:
    """One unit of a MachineConfig, in YAML."""
    lines = [f"        - name: {name}"]
    lines += [f"          {flag}: {str(value).lower()}" for flag, value in flags.items()]
    if contents:
        lines += ["          contents: |", *(f"            {line}" for line in contents.splitlines())]
    if dropin:
        lines += ["          dropins:", "            - name: 10-x.conf", "              contents: |"]
        lines += [f"                {line}" for line in dropin.splitlines()]
    return "\n".join(lines) + "\n"


def put(node: Node, path: str, text: str) -> Path:
    file = node.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def link(node: Node, path: str, target: str) -> Path:
    made = node.root / path
    made.parent.mkdir(parents=True, exist_ok=True)
    made.symlink_to(target)
    return made


def test_an_enabled_unit_is_linked_and_a_dropin_stands_beside_it(node: Node) -> None:
    node.declare("a", units(unit("x.service", contents=INSTALL, dropin="[Service]\nNice=5\n", enabled=True)))
    assert node.apply().code == 0
    assert os.readlink(node.root / WANTS / "x.service") == "/etc/systemd/system/x.service"
    assert (node.root / "etc/systemd/system/x.service.d/10-x.conf").read_text() == "[Service]\nNice=5\n"


def test_a_vendor_unit_is_enabled_where_its_file_stands(node: Node) -> None:
    put(node, "usr/lib/systemd/system/v.service", INSTALL)
    node.declare("a", units(unit("v.service", enabled=True)))
    assert node.apply().code == 0
    assert os.readlink(node.root / WANTS / "v.service").endswith("/lib/systemd/system/v.service")


def test_enabling_what_is_not_there_is_rejected_by_name(node: Node) -> None:
    node.declare("a", units(unit("ghost.service", enabled=True)))
    refused = node.apply()
    assert refused.code == 1
    assert "there is no unit file for ghost.service" in refused.err


def test_a_disabled_unit_loses_every_link_and_gets_them_back(node: Node) -> None:
    put(node, "usr/lib/systemd/system/v.service", INSTALL)
    links = [
        link(node, f"{WANTS}/v.service", "/usr/lib/systemd/system/v.service"),
        link(node, "etc/systemd/system/graphical.target.wants/v.service", "/usr/lib/systemd/system/v.service"),
        link(node, "etc/systemd/system/alias.service", "/usr/lib/systemd/system/v.service"),
    ]
    other = link(node, f"{WANTS}/w.service", "/usr/lib/systemd/system/w.service")
    node.declare("a", units(unit("v.service", enabled=False)))
    assert node.apply().code == 0
    assert [path.is_symlink() for path in links] == [False, False, False]
    assert other.is_symlink()
    assert node("rollback", "0").code == 0
    assert all(path.is_symlink() for path in links)


def test_a_mask_replaces_the_file_and_gives_it_back(node: Node) -> None:
    file = put(node, "etc/systemd/system/x.service", INSTALL)
    node.declare("a", units(unit("x.service", mask=True)))
    assert node.apply().code == 0
    assert os.readlink(file) == "/dev/null"
    node.declare("a", units(unit("x.service", mask=False)))
    assert node.apply().code == 0
    assert file.read_text() == INSTALL


def test_unmask_takes_a_foreign_mask_away(node: Node) -> None:
    mask = link(node, "etc/systemd/system/x.service", "/dev/null")
    node.declare("a", units(unit("x.service", mask=False)))
    assert node.apply().code == 0
    assert not mask.is_symlink()


@pytest.mark.parametrize(("rule", "enabled"), [("enable x.service", True), ("disable *", False), ("", True)])
def test_presets_decide_where_nothing_is_declared(node: Node, rule: str, enabled: bool) -> None:
    put(node, "usr/lib/systemd/system-preset/50-test.preset", f"{rule}\n")
    node.declare("a", units(unit("x.service", contents=INSTALL)))
    assert node.apply().code == 0
    assert (node.root / WANTS / "x.service").is_symlink() is enabled


def test_a_stronger_preset_file_hides_its_namesake(node: Node) -> None:
    put(node, "usr/lib/systemd/system-preset/50-test.preset", "enable x.service\n")
    link(node, "etc/systemd/system-preset/50-test.preset", "/dev/null")
    put(node, "usr/lib/systemd/system-preset/99-default.preset", "disable *\n")
    node.declare("a", units(unit("x.service", contents=INSTALL)))
    assert node.apply().code == 0
    assert not (node.root / WANTS / "x.service").is_symlink()


@pytest.mark.parametrize(
    ("tamper", "kind"),
    [
        (lambda root: (root / WANTS / "x.service").unlink(), "enablement"),
        (lambda root: (root / "etc/systemd/system/x.service.d/99-y.conf").write_text("[Service]\n"), "dropin"),
        (lambda root: (root / "etc/systemd/system/x.service").write_text("[Service]\n"), "content"),
    ],
)
def test_drift_of_units_is_told_apart(node: Node, tamper: object, kind: str) -> None:
    assert callable(tamper)
    node.declare("a", units(unit("x.service", contents=INSTALL, dropin="[Service]\nNice=5\n", enabled=True)))
    node.apply()
    tamper(node.root)
    assert [each["finding"]["kind"] for each in node("verify", "-o", "json").json["drift"]] == [kind]


def test_a_disabled_unit_that_is_enabled_elsewhere_is_drift(node: Node) -> None:
    put(node, "usr/lib/systemd/system/v.service", INSTALL)
    node.declare("a", units(unit("v.service", enabled=False)))
    node.apply()
    link(node, "etc/systemd/system/rescue.target.wants/v.service", "/usr/lib/systemd/system/v.service")
    assert [each["finding"]["kind"] for each in node("verify", "-o", "json").json["drift"]] == ["enablement"]


def test_a_runtime_mask_of_a_managed_unit_is_drift(node: Node) -> None:
    node.declare("a", units(unit("x.service", contents=INSTALL)))
    node.apply()
    link(node, "run/systemd/system/x.service", "/dev/null")
    assert [each["finding"]["kind"] for each in node("verify", "-o", "json").json["drift"]] == ["mask"]


def test_dropins_that_stood_there_first_are_no_drift(node: Node) -> None:
    put(node, "etc/systemd/system/kubelet.service.d/10-kubeadm.conf", "[Service]\n")
    node.declare("a", units(unit("kubelet.service", dropin="[Service]\nNice=5\n")))
    assert node.apply().code == 0
    assert node("verify").code == 0


def test_a_unit_that_asks_for_a_reboot_is_predicted_to(node: Node) -> None:
    node.declare("a", units(unit("x.service", contents=INSTALL)))
    planned = node("plan", node.source, "-o", "json").json
    assert planned["actions"] == [{"type": "Reboot"}]
