"""Where settings come from: precedence, and every problem named at once with its source."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from nodeagent.errors import Problem, Rejected
from nodeagent.settings import FIELDS, Address, DriftAction, DriftRule, Settings, load, sources


@pytest.fixture(autouse=True)
def no_default_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "DEFAULT_FILE", str(tmp_path / "default.toml"))


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "nodeagent.toml"
    path.write_text(text)
    return str(path)


def problems(
    file: str | None = None, environ: Mapping[str, str] | None = None, flags: Mapping[str, str] | None = None
) -> tuple[Problem, ...]:
    with pytest.raises(Rejected) as rejected:
        load(file, environ or {}, flags or {})
    return rejected.value.problems


def test_defaults_are_in_range_and_said_to_be_defaults() -> None:
    settings = load(None, {}, {})
    assert set(settings.origins) == set(FIELDS)
    assert set(settings.origins.values()) == {"default"}
    for field in FIELDS.values():
        value = field.of(settings)
        assert field.kind.parse(field.kind.show(value)) == value
        assert field.kind.native(field.kind.plain(value)) == value


def test_defaults_are_what_the_documentation_promises() -> None:
    settings = load(None, {}, {})
    assert settings.root == "/"
    assert settings.node_name == os.uname().nodename
    assert settings.drift.sweep_interval == 60.0
    assert settings.drift.debounce == 0.05
    assert settings.fetch.max_bytes == 64 * 1024 * 1024
    assert settings.metrics.address == Address("127.0.0.1", 9469)
    assert settings.reboot.allow is True


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = written(tmp_path, 'pool = "one"\nuser = "one"\n[drift]\nsweep_interval = "1s"\ncontent_interval = 1\n')
    environ = {"NODEAGENT_POOL": "two", "NODEAGENT_DRIFT_SWEEP_INTERVAL": "2s", "PATH": "/bin"}
    settings = load(file, environ, {"drift.sweep_interval": "3s"})
    assert (settings.user, settings.pool) == ("one", "two")
    assert (settings.drift.content_interval, settings.drift.sweep_interval) == (1.0, 3.0)
    assert settings.origins["user"] == file
    assert settings.origins["pool"] == "environment NODEAGENT_POOL"
    assert settings.origins["drift.sweep_interval"] == "flag --drift-sweep-interval"
    assert settings.origins["root"] == "default"


def test_values_of_every_kind_are_read_from_a_file(tmp_path: Path) -> None:
    text = """
        root = "/sysroot"
        [metrics]
        address = ""
        [health]
        address = "[::1]:80"
        [fetch]
        timeout = "1m30s"
        max_bytes = "2MiB"
        [reboot]
        allow = false
        [generations]
        keep = 3
        max_bytes = 1048576
        [[drift.policy]]
        path = "/etc/*"
        action = "remediate"
        [[drift.policy]]
        path = "/etc/motd"
        action = "ignore"
    """
    settings = load(written(tmp_path, text), {}, {})
    assert settings.root == "/sysroot"
    assert settings.metrics.address is None
    assert settings.health.address == Address("::1", 80)
    assert (settings.fetch.timeout, settings.fetch.max_bytes) == (90.0, 2 << 20)
    assert settings.reboot.allow is False
    assert (settings.generations.keep, settings.generations.max_bytes) == (3, 1 << 20)
    expected = DriftRule("/etc/*", DriftAction.REMEDIATE), DriftRule("/etc/motd", DriftAction.IGNORE)
    assert settings.drift.policy == expected


def test_all_problems_come_at_once_and_each_names_its_source(tmp_path: Path) -> None:
    file = written(tmp_path, 'pol = "x"\nlog = 3\n[drift]\ndebounce = true\n[health]\naddress = "10.0.0.1:1"\n')
    found = problems(file, {"NODEAGENT_FETCH_TIMEOUT": "soon"}, {"generations.keep": "0"})
    assert {(problem.object, problem.path) for problem in found} == {
        (file, "pol"),
        (file, "log"),
        (file, "drift.debounce"),
        (file, "health.address"),
        ("environment", "NODEAGENT_FETCH_TIMEOUT"),
        ("command line", "--generations-keep"),
    }
    assert all(problem.message and problem.advice for problem in found)


@pytest.mark.parametrize(
    ("text", "key", "meant"),
    [
        ("[drift]\nsweep_intervall = 1", "drift.sweep_intervall", "did you mean drift.sweep_interval?"),
        ("sweep_interval = 1", "sweep_interval", "did you mean drift.sweep_interval?"),
        ("[drfit]\ndebounce = 1", "drfit", "did you mean"),
        ('"drift.debounce" = 1', "drift.debounce", "did you mean drift.debounce?"),
        ('"a\\nb" = 1', "a\\nb", "`nodeagent config docs` lists all settings"),
        ("origins = 1", "origins", "`nodeagent config docs` lists all settings"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(tmp_path: Path, text: str, key: str, meant: str) -> None:
    (problem,) = problems(written(tmp_path, text))
    assert problem.path == key
    assert problem.message == "there is no such setting"
    assert problem.advice.startswith(meant) or meant == "did you mean"


def test_an_unknown_variable_is_answered_with_the_nearest() -> None:
    (problem,) = problems(environ={"NODEAGENT_DRIFT_SWEP_INTERVAL": "1s"})
    assert problem.advice == "did you mean NODEAGENT_DRIFT_SWEEP_INTERVAL?"


@pytest.mark.parametrize(
    "name",
    [
        "NODEAGENT_SERVICE_HOST",
        "NODEAGENT_SERVICE_PORT_METRICS",
        "NODEAGENT_PORT",
        "NODEAGENT_PORT_9469_TCP_ADDR",
        "NODEAGENT_METRICS_PORT_9469_TCP",
    ],
)
def test_what_kubernetes_puts_in_for_a_service_is_no_setting(name: str) -> None:
    assert load(None, {name: "tcp://10.0.0.1:9469"}, {}) == load(None, {}, {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"pool = \n", "not valid TOML"),
        (b'pool = "\xff"\n', "byte 8 is not UTF-8"),
        (b"x = " + b"[" * 100_000, "not valid TOML"),
        (b"#" * (1 << 20) + b"\n", "larger than 1 MiB"),
    ],
)
def test_a_file_that_is_not_toml_is_one_problem(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    (problem,) = problems(str(path))
    assert problem.object == str(path)
    assert message in problem.message


def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    (problem,) = problems(str(path))
    assert "not a regular file" in problem.message


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.toml")
    assert problems(missing) == problems(environ={"NODEAGENT_CONFIG": missing})
    assert load(None, {}, {}).pool == "worker"


def test_the_default_file_is_read_where_it_exists() -> None:
    Path(sources.DEFAULT_FILE).write_text('pool = "master"')
    assert load(None, {}, {}).pool == "master"


def test_relative_paths_are_taken_from_the_command_line_but_not_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(None, {}, {"root": "scratch/"}).root == f"{tmp_path}/scratch"
    assert [problem.path for problem in problems(written(tmp_path, 'root = "scratch"'))] == ["root"]
    assert [problem.path for problem in problems(flags={"root": ""})] == ["--root"]


def test_two_sites_cannot_share_an_address() -> None:
    (problem,) = problems(flags={"metrics.address": "127.0.0.1:9468"})
    assert problem.path == "metrics.address"
    assert "health.address (default)" in problem.message
    both = {"metrics.address": "127.0.0.1:0", "health.address": "127.0.0.1:0"}
    assert load(None, {}, both).metrics.address == Address("127.0.0.1", 0)


def test_a_switch_has_a_flag_for_each_side() -> None:
    off = load(None, {}, {"reboot.allow": "false"})
    assert off.reboot.allow is False
    assert off.origins["reboot.allow"] == "flag --no-reboot"
    on = load(None, {"NODEAGENT_REBOOT_ALLOW": "false"}, {"reboot.allow": "true"})
    assert on.reboot.allow is True
    assert on.origins["reboot.allow"] == "flag --reboot-allow"


def test_settings_are_equal_wherever_they_come_from() -> None:
    assert load(None, {"NODEAGENT_POOL": "master"}, {}) == load(None, {}, {"pool": "master"})
    assert load(None, {}, {"pool": "master"}) != Settings()


def test_names_are_derived_from_the_key_and_are_unique() -> None:
    field = FIELDS["drift.sweep_interval"]
    assert (field.variable, field.flag) == ("NODEAGENT_DRIFT_SWEEP_INTERVAL", "--drift-sweep-interval")
    assert len({field.variable for field in FIELDS.values()}) == len(FIELDS)
    assert len({field.flag for field in FIELDS.values()}) == len(FIELDS)
