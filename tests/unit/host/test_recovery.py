"""The unit that recovers a node: the pod's and the package's order the boot alike, and no path can break out of it."""

from __future__ import annotations

from configparser import RawConfigParser
from pathlib import Path

import pytest

from nodeagent.errors import Broken
from nodeagent.host import recovery

_PACKAGED = Path(__file__).resolve().parents[3] / "packaging/systemd/nodeagent-recover.service"
_STATE = "/var/lib/nodeagent"
_COPY = f"{_STATE}/recover/0123"


class _Unit(RawConfigParser):
    """A unit file: the case of its keys counts."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def _parsed(text: str) -> RawConfigParser:
    parser = _Unit(delimiters=("=",), comment_prefixes=("#",))
    parser.read_string(text)
    return parser


# What the package's unit may be denied besides; the DaemonSet's runs from a root directory of its own.
_HARDENING = ("SystemCall", "Restrict", "NoNewPrivileges", "LockPersonality", "MemoryDenyWriteExecute")


def test_both_units_run_at_the_same_point_of_the_boot() -> None:
    ours, packaged = _parsed(recovery.unit(_COPY, _STATE)), _parsed(_PACKAGED.read_text())
    assert dict(ours["Unit"]) == dict(packaged["Unit"]) | {"RequiresMountsFor": _STATE}
    assert dict(ours["Install"]) == dict(packaged["Install"])
    hardened = {name for name in packaged["Service"] if name.startswith(_HARDENING)}
    assert set(packaged["Service"]) - hardened < set(ours["Service"])


def test_the_copy_is_its_root_and_the_node_lies_below() -> None:
    service = _parsed(recovery.unit(_COPY, _STATE))["Service"]
    assert service["RootDirectory"] == _COPY
    assert service["BindPaths"] == "/:/host"
    assert service["ExecStart"].endswith(f"-m nodeagent recover --root /host --state-dir {_STATE}")


@pytest.mark.parametrize("odd", ["/a b", "/%h", "/$HOME", '/"', "/[a-z]", "/*", "/back\\slash"])
def test_a_path_that_means_something_else_in_a_unit_is_refused_by_name(odd: str) -> None:
    with pytest.raises(Broken, match="cannot be written into") as refused:
        recovery.unit(f"{odd}/recover/0123", odd)
    assert repr(odd) in str(refused.value)
