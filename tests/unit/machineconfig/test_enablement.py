"""Enablement worked out from texts agrees with `systemctl` on a root directory, links and refusals alike."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.machineconfig.enablement import (
    UNIT_DIRECTORY,
    Install,
    Preset,
    install,
    parse_presets,
    template_of,
)
from tests.capabilities import require

_VENDOR = "/usr/lib/systemd/system"


def _unit(install_section: str) -> str:
    return f"[Unit]\nDescription=x\n[Service]\nExecStart=/bin/true\n[Install]\n{install_section}\n"


def _links(installed: Install) -> dict[str, str]:
    return {link.path.removeprefix(f"{UNIT_DIRECTORY}/"): link.target for link in installed.links}


def _write(root: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def _systemctl(root: Path, *arguments: str) -> int:
    return subprocess.run(["systemctl", f"--root={root}", *arguments], capture_output=True, check=False).returncode


def _links_below(root: Path) -> dict[str, str]:
    top = root / UNIT_DIRECTORY.lstrip("/")
    return {str(path.relative_to(top)): str(path.readlink()) for path in top.rglob("*") if path.is_symlink()}


# Each row was taken from systemctl 252: unit, its [Install] section, the links below /etc/systemd/system.
CASES = {
    "wanted and required": (
        "v.service",
        "WantedBy=multi-user.target graphical.target\nRequiredBy=foo.service",
        {
            "multi-user.target.wants/v.service",
            "graphical.target.wants/v.service",
            "foo.service.requires/v.service",
        },
    ),
    "empty value resets": (
        "v.service",
        "WantedBy=a.target\nWantedBy=\nWantedBy=b.target",
        {"b.target.wants/v.service"},
    ),
    "aliases": ("v.service", "Alias=vv.service al.service", {"vv.service", "al.service"}),
    "own name as alias": ("v.service", "Alias=v.service", set()),
    "default instance": (
        "t@.service",
        "WantedBy=m.target\nDefaultInstance=one",
        {"m.target.wants/t@one.service"},
    ),
    "instance": ("t@two.service", "WantedBy=m.target\nDefaultInstance=one", {"m.target.wants/t@two.service"}),
    "instance of an alias": ("t@i.service", "Alias=bl@.service", {"bl@i.service"}),
    "template needed by a template": ("t@.service", "WantedBy=tgt@.target", {"tgt@.target.wants/t@.service"}),
    "specifiers": (
        "ts-x@a-b.service",
        "WantedBy=x-%i.target y-%p.target z-%N.target %n.target %j.service 100%%.target",
        {
            "x-a-b.target.wants/ts-x@a-b.service",
            "y-ts-x.target.wants/ts-x@a-b.service",
            "z-ts-x@a-b.target.wants/ts-x@a-b.service",
            "ts-x@a-b.service.target.wants/ts-x@a-b.service",
            "x.service.wants/ts-x@a-b.service",
        },
    ),
    "no install section": ("v.service", "", set()),
}


@pytest.mark.parametrize(("name", "section", "paths"), CASES.values(), ids=CASES)
def test_links(name: str, section: str, paths: set[str]) -> None:
    path = f"{_VENDOR}/{template_of(name) or name}"
    assert _links(install(name, _unit(section), path)) == dict.fromkeys(paths, path)


@pytest.mark.parametrize(
    ("name", "section", "problem"),
    [
        ("t@.service", "WantedBy=multi-user.target", "enable an instance of it"),
        ("v.service", "Alias=v.socket", 'cannot have the alias "v.socket"'),
        ("v.service", "Alias=v@.service", 'cannot have the alias "v@.service"'),
        ("v.service", "Alias=x.service.d/y", 'cannot have the alias "x.service.d/y"'),
        ("data.mount", "Alias=other.mount", 'cannot have the alias "other.mount"'),
        ("v.service", "WantedBy=multi-user", '"multi-user" is not the name of a unit'),
        ("v.service", "WantedBy=../x.target", '"../x.target" is not the name of a unit'),
        ("v.service", "WantedBy=%H.target", "%H, which cannot be known"),
        ("v", "", '"v" is not the name of a unit'),
    ],
)
def test_what_systemd_would_refuse_is_told_and_makes_no_link(name: str, section: str, problem: str) -> None:
    installed = install(name, _unit(section), f"{_VENDOR}/{name}")
    assert installed.links == ()
    assert len(installed.problems) == 1
    assert problem in installed.problems[0]


def test_units_to_enable_with_it_are_named() -> None:
    installed = install("v.service", _unit("Also=w.socket %p-x.timer\nAlso=y.path"), f"{_VENDOR}/v.service")
    assert installed.also == ("w.socket", "v-x.timer", "y.path")


def test_dropins_add_to_the_install_section_and_reset_it() -> None:
    texts = ["[Install]\nWantedBy=\nWantedBy=b.target\n", "[Install]\nWantedBy=c.target\n"]
    installed = install("v.service", _unit("WantedBy=a.target"), "/etc/systemd/system/v.service", texts)
    assert set(_links(installed)) == {"b.target.wants/v.service", "c.target.wants/v.service"}


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("x@a.service", "x@.service"),
        ("x@a@b.socket", "x@.socket"),
        ("x@.service", None),
        ("x.service", None),
        ("x", None),
    ],
)
def test_template_of(name: str, template: str | None) -> None:
    assert template_of(name) == template


_UNITS = [
    "v.service",
    "a-b.service",
    "t@.service",
    "t@one.service",
    "t@a-b.service",
    "a-b@x.service",
    "s.socket",
]
_NEEDERS = [
    "m.target",
    "g-%i.target",
    "%p.target",
    "%j.service",
    "%N.target",
    "%n.target",
    "tgt@.target",
    "tgt@%i.target",
    "tgt@q.target",
    '"quoted.target"',
    "bad",
    "no/path.target",
    "x@y",
]
_ALIASES = [
    "al.service",
    "al@.service",
    "al@%i.service",
    "al@one.service",
    "al.socket",
    "%p-x.service",
    "v.service",
    "bad",
]
_OPTIONS = st.one_of(
    st.tuples(st.sampled_from(["WantedBy", "RequiredBy"]), st.lists(st.sampled_from(_NEEDERS), max_size=3)),
    st.tuples(st.just("Alias"), st.lists(st.sampled_from(_ALIASES), max_size=2)),
    st.tuples(st.just("DefaultInstance"), st.sampled_from([["one"], ["a-b"]])),
)
_SECTIONS = st.lists(_OPTIONS, max_size=4).map(lambda lines: "\n".join(f"{k}={' '.join(v)}" for k, v in lines))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(_UNITS),
    _SECTIONS,
    st.lists(_SECTIONS, max_size=2),
    st.sampled_from([_VENDOR, UNIT_DIRECTORY]),
)
def test_systemctl_enable_agrees(name: str, section: str, dropins: list[str], directory: str) -> None:
    require("systemctl")
    file = template_of(name) or name
    texts = [f"[Install]\n{dropin}\n" for dropin in dropins]
    with tempfile.TemporaryDirectory() as directory_name:
        root = Path(directory_name)
        _write(root, {f"{directory}/{file}": _unit(section), f"{UNIT_DIRECTORY}/none": ""})
        _write(root, {f"{UNIT_DIRECTORY}/{file}.d/{number}.conf": text for number, text in enumerate(texts)})
        refused = _systemctl(root, "enable", name) != 0
        installed = install(name, _unit(section), f"{directory}/{file}", texts)
        assert _links(installed) == _links_below(root)
        assert installed.problems or not refused
        # systemctl forgets about a refused link where it has made another one; we tell of both.
        assert refused or installed.links or not installed.problems


# -- presets ------------------------------------------------------------------------------------------


def _verdict(text: str, unit: str) -> Preset:
    return parse_presets([("/etc/systemd/system-preset/50-x.preset", text)]).verdict(unit)


@pytest.mark.parametrize(
    ("text", "unit", "verdict"),
    [
        ("", "a.service", Preset.ENABLE),
        ("disable *", "a.service", Preset.DISABLE),
        ("enable a.*\ndisable *", "a.service", Preset.ENABLE),
        ("disable *\nenable a.service", "a.service", Preset.DISABLE),
        ("ignore a.service\ndisable *", "a.service", Preset.IGNORE),
        ("# enable a.service\n; enable a.service\ndisable *", "a.service", Preset.DISABLE),
        ("  enable   a.service  \ndisable *", "a.service", Preset.ENABLE),
        ("enable\nnonsense a.service\ndisable *", "a.service", Preset.DISABLE),
        ("enable t@.service one two\ndisable *", "t@one.service", Preset.ENABLE),
        ("enable t@.service one two\ndisable *", "t@three.service", Preset.DISABLE),
        ("enable [ab].service\ndisable *", "b.service", Preset.ENABLE),
        ("enable [^ab].service\ndisable *", "b.service", Preset.DISABLE),
        ("enable a?.service\ndisable *", "a.service", Preset.DISABLE),
    ],
)
def test_verdict(text: str, unit: str, verdict: Preset) -> None:
    assert _verdict(text, unit) is verdict


def test_files_are_tried_by_name_and_the_strongest_directory_hides_the_others() -> None:
    presets = parse_presets(
        [
            ("/etc/systemd/system-preset/90-default.preset", "disable *"),
            ("/run/systemd/system-preset/10-masked.preset", ""),
            ("/usr/lib/systemd/system-preset/10-masked.preset", "enable masked.service"),
            ("/usr/lib/systemd/system-preset/20-vendor.preset", "enable vendor.service"),
            ("/usr/lib/systemd/system-preset/00-not-a-preset.conf", "enable *"),
        ]
    )
    assert presets.verdict("vendor.service") is Preset.ENABLE
    assert presets.verdict("masked.service") is Preset.DISABLE


def test_a_template_is_enabled_by_the_instances_that_its_rule_names() -> None:
    presets = parse_presets([("/etc/systemd/system-preset/1.preset", "enable t@.service one two\nenable u@.service")])
    assert presets.instances("t@.service") == ("t@one.service", "t@two.service")
    assert presets.instances("u@.service") == presets.instances("t@one.service") == presets.instances("v.service") == ()


_PATTERNS = [
    "*",
    "a.service",
    "a*",
    "?.service",
    "[ab].service",
    "[!a].service",
    "[^a].service",
    "*.socket",
    "t@.service",
    "t@*",
]
_RULES = st.one_of(
    # "ignore" is left to the table above: systemd 252 does not know it yet.
    st.builds("{} {}".format, st.sampled_from(["enable", "disable"]), st.sampled_from(_PATTERNS)),
    st.sampled_from(
        [
            "enable t@.service one",
            "enable t@.service two one",
            "# disable *",
            "bogus *",
            "",
            "\tdisable\ta*",
        ]
    ),
)
_PRESET_FILES = st.dictionaries(
    st.tuples(
        st.sampled_from(["/etc", "/run", "/usr/local/lib", "/usr/lib"]),
        st.sampled_from(["10-a.preset", "9-a.preset", "B.preset", "a.preset", "x.conf"]),
    ),
    st.lists(_RULES, max_size=3).map("\n".join),
    max_size=4,
)
_STRENGTH = ["/etc", "/run", "/usr/local/lib", "/usr/lib"]


@settings(max_examples=60, deadline=None)
@given(_PRESET_FILES, st.sampled_from(["a.service", "b.service", "ab.service", "t@one.service"]))
def test_systemctl_preset_agrees(files: dict[tuple[str, str], str], unit: str) -> None:
    require("systemctl")
    ordered = sorted(files.items(), key=lambda item: _STRENGTH.index(item[0][0]))
    texts = {f"{base}/systemd/system-preset/{name}": text for (base, name), text in ordered}
    link = f"m.target.wants/{unit}"
    with tempfile.TemporaryDirectory() as directory_name:
        root = Path(directory_name)
        _write(
            root,
            {
                f"{_VENDOR}/{template_of(unit) or unit}": _unit("WantedBy=m.target"),
                f"{UNIT_DIRECTORY}/none": "",
            },
        )
        _write(root, texts)
        assert _systemctl(root, "preset", unit) == 0
        enabled = link in _links_below(root)
        assert _systemctl(root, "enable", unit) == 0
        assert _systemctl(root, "preset", unit) == 0
        disabled = link not in _links_below(root)
    expected = Preset.ENABLE if enabled else Preset.DISABLE if disabled else Preset.IGNORE
    assert parse_presets(texts.items()).verdict(unit) is expected
