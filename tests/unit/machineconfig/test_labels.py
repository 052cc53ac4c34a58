"""SELinux labels: what the node gave to a new file is what the file must have from then on."""

from __future__ import annotations

import os
from pathlib import Path

from tests.capabilities import require
from tests.fakes.daemon import daemon
from tests.unit.cli.conftest import machine_config

LABEL = "security.selinux"


def test_a_label_is_adopted_compared_and_put_back(tmp_path: Path) -> None:
    require("root")
    with daemon(tmp_path) as one:
        file = one.root / "etc/x"
        file.write_text("the distribution's")
        os.setxattr(file, LABEL, b"system_u:object_r:etc_t:s0")
        (one.source / "50-x.yaml").write_text(machine_config("50-x", ("/etc/x", "x"), ("/etc/new", "x")))
        one.place.node.labelled = True
        one.tick()
        assert os.getxattr(file, LABEL) == b"system_u:object_r:etc_t:s0"
        os.setxattr(one.root / "etc/new", LABEL, b"system_u:object_r:etc_t:s0")  # as the policy would have at once
        one.place.job._adopt_labels()
        one.touch("/etc/new")
        one.tick()
        assert one.drift() == []
        for name in ("etc/x", "etc/new"):
            os.setxattr(one.root / name, LABEL, b"system_u:object_r:tmp_t:s0")
        one.touch("/etc/x", "/etc/new")
        one.tick()
        assert one.drift() == [("/etc/new", "attributes"), ("/etc/x", "attributes")]
        with one.place.store.locked(5.0):
            one.place.job.apply(one.place.job.remedy({"/etc/x", "/etc/new"}), lambda _: None)
        assert os.getxattr(file, LABEL) == os.getxattr(one.root / "etc/new", LABEL) == b"system_u:object_r:etc_t:s0"
