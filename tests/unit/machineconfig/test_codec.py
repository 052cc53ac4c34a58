"""The codec takes no type for another, names what it does not know, and loses nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.machineconfig.ignition.codec import decode, encode
from nodeagent.machineconfig.ignition.model import (
    Config,
    Directory,
    Dropin,
    File,
    Ignition,
    Link,
    Node,
    Owner,
    Resource,
    Storage,
    Systemd,
    Unit,
)
from tests.unit.machineconfig.documents import files, ignition

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["ignition", "storage", "files", "path", "mode", "contents", "source", "systemd", "units"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def told(document: Any) -> list[str]:
    return [str(problem) for problem in decode(document, object="x", at="$.spec.config").problems]


def test_decodes_what_is_set_and_leaves_the_rest_unset() -> None:
    document = ignition(
        storage={"files": [{"path": "/a", "mode": 420, "user": {"name": "root"}, "contents": {"source": "data:,x"}}]},
        systemd={"units": [{"name": "a.service", "enabled": False, "dropins": [{"name": "b.conf", "contents": ""}]}]},
    )
    decoded = decode(document, object="x", at="$")
    file = File("/a", user=Owner(name="root"), mode=420, contents=Resource("data:,x"))
    unit = Unit("a.service", enabled=False, dropins=(Dropin("b.conf", ""),))
    wanted = Config(Ignition("3.4.0"), storage=Storage(files=(file,)), systemd=Systemd((unit,)))
    assert decoded.config == wanted
    assert encode(wanted) == document


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("0o644", "found a string; write 420 (octal 0644); YAML also takes 0o644 without quotes"),
        ("0644", "found a string; write 420 (octal 0644); YAML also takes 0o644 without quotes"),
        ("rw", "found a string; write it without quotes"),
        (True, "found a boolean"),
        (420.0, "found a fractional number"),
        ([420], "found a list"),
    ],
)
def test_no_type_passes_for_an_integer(mode: object, message: str) -> None:
    document = ignition(**files({"path": "/a", "mode": mode}))
    assert told(document) == [f"x: $.spec.config.storage.files[0].mode: expected an integer, {message}"]


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ({"name": 7}, "name: expected a string, found an integer; put it in quotes"),
        ({"name": "a\ud800"}, "name: holds half of a surrogate pair, which is no text; mend its \\u escapes"),
        ({"enabled": 1}, "enabled: expected a boolean, found an integer; write true or false, without quotes"),
        ({"dropins": {}}, "dropins: expected a list, found an object"),
        ({"dropins": ["x"]}, "dropins[0]: expected an object, found a string"),
    ],
)
def test_wrong_types_are_named(unit: dict[str, Any], message: str) -> None:
    document = ignition(systemd={"units": [{"name": "a.service", **unit}]})
    assert told(document) == [f"x: $.spec.config.systemd.units[0].{message}"]


def test_integers_have_64_bits() -> None:
    assert told(ignition(**files({"path": "/a", "mode": 2**63}))) == [
        "x: $.spec.config.storage.files[0].mode: is too large for a 64-bit integer"
    ]


def test_null_is_unset() -> None:
    decoded = decode(ignition(storage=None, systemd={"units": None}), object="x", at="$")
    assert decoded.config == Config(Ignition("3.4.0"))
    assert decoded.problems == ()


def test_unknown_keys_are_warnings_with_the_nearest_name() -> None:
    document = ignition(storage={"file": [], "files": [{"path": "/a", "Mode": 1, "zzz": 2, "a\x1bb": 3}]})
    decoded = decode(document, object="x", at="$")
    assert decoded.problems == ()
    assert [str(warning) for warning in decoded.warnings] == [
        "x: $.storage.file: unknown key 'file' is ignored; did you mean 'files'?",
        "x: $.storage.files[0].Mode: unknown key 'Mode' is ignored; did you mean 'mode'?",
        "x: $.storage.files[0].zzz: unknown key 'zzz' is ignored",
        "x: $.storage.files[0]['a\\x1bb']: unknown key 'a\\x1bb' is ignored",
    ]


def test_an_unknown_key_in_the_place_of_a_required_one_is_a_problem() -> None:
    document = ignition(passwd={"users": [{"user": "boot", "sshAuthorizedKeys": ["k"]}]})
    assert told(document) == [
        "x: $.spec.config.passwd.users[0].user: unknown key 'user', and 'name' is missing; did you mean 'name'?"
    ]


def test_a_wrong_entry_keeps_its_place() -> None:
    decoded = decode(ignition(**files({"path": "/a"}, 7, {"path": "/c"})), object="x", at="$")  # type: ignore[arg-type]
    assert decoded.config is not None
    assert [file.path for file in decoded.config.storage.files] == ["/a", "", "/c"]


def test_secrets_stay_out_of_reprs() -> None:
    document = ignition(
        storage={"files": [{"path": "/a", "contents": {"source": "data:,topsecret"}}]},
        systemd={"units": [{"name": "a.service", "contents": "topsecret"}]},
        passwd={"users": [{"name": "boot", "passwordHash": "topsecret"}]},
    )
    assert "topsecret" not in repr(decode(document, object="x", at="$").config)


@given(JSON)
def test_decoding_never_raises_and_encoding_is_its_inverse(document: object) -> None:
    decoded = decode(document, object="x", at="$")
    if decoded.config is None:
        assert decoded.problems
    else:
        again = decode(encode(decoded.config), object="x", at="$")
        assert again.config == decoded.config
        assert again.problems == again.warnings == ()


NODES = st.builds(Node, path=st.text(max_size=5)).map(lambda node: node.path)
CONFIGS = st.builds(
    Config,
    storage=st.builds(
        Storage,
        files=st.lists(st.builds(File, path=NODES, mode=st.none() | st.integers(0, 4095)), max_size=3).map(tuple),
        directories=st.lists(st.builds(Directory, path=NODES), max_size=2).map(tuple),
        links=st.lists(st.builds(Link, path=NODES, target=st.none() | st.text(max_size=3)), max_size=2).map(tuple),
    ),
)


@given(CONFIGS)
def test_every_config_survives_a_round_trip(config: Config) -> None:
    assert decode(encode(config), object="x", at="$").config == config
