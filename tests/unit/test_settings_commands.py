"""Settings as flags, as `nodeagent config` shows them, and as the reference documents them."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from nodeagent.cli import config
from nodeagent.errors import Rejected
from nodeagent.settings import FIELDS, load
from nodeagent.settings.flags import add_flags, given
from nodeagent.settings.reference import markdown

REFERENCE = Path(__file__).parents[2] / "docs" / "settings.md"


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    config.register(parser.add_subparsers(required=True))
    parsed = parser.parse_args(["config", *arguments])
    code: int = parsed.run(parsed)
    return code


@pytest.fixture
def empty_file(tmp_path: Path) -> str:
    path = tmp_path / "empty.toml"
    path.touch()
    return str(path)


def test_only_flags_that_were_given_are_settings() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source", nargs="*")
    add_flags(parser, "source", "drift.policy", "reboot.allow")
    assert given(parser.parse_args(["a", "b"])) == {}
    arguments = parser.parse_args(["a", "--source", "/x", "--no-reboot", "--drift-policy", "/etc/*=ignore"])
    assert arguments.source == ["a"]
    assert given(arguments) == {"source": "/x", "reboot.allow": "false", "drift.policy": "/etc/*=ignore"}


def test_a_command_has_only_the_flags_that_it_names(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser, "pool")
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["--user", "x"])
    assert "--user" in capsys.readouterr().err


def test_help_tells_the_default() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    text = " ".join(parser.format_help().split())
    for field in FIELDS.values():
        assert field.flag in text
    assert "(default: 1h)" in text
    assert "(default: the host name)" in text


def test_show_prints_each_setting_with_its_origin(empty_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "--config", empty_file, "--pool", "master", "--metrics-address", "") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [line[0] for line in lines] == list(FIELDS)
    assert ["pool", "master", "(flag", "--pool)"] in lines
    assert ["metrics.address", '""', "(flag", "--metrics-address)"] in lines
    assert ["drift.content_interval", "1h", "(default)"] in lines


def test_show_as_json_can_be_set_again(empty_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "--config", empty_file, "-o", "json", "--drift-policy", "/etc/*=ignore") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["drift.policy"] == {
        "value": [{"path": "/etc/*", "action": "ignore"}],
        "from": "flag --drift-policy",
    }
    settings = load(empty_file, {}, {"drift.policy": "/etc/*=ignore"})
    for key, field in FIELDS.items():
        assert field.kind.native(document[key]["value"]) == field.of(settings)


def test_show_reports_every_problem(empty_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODEAGENT_DRIFT_DEBOUNCE", "soon")
    with pytest.raises(Rejected) as rejected:
        run("show", "--config", empty_file, "--generations-keep", "none")
    assert len(rejected.value.problems) == 2


def test_the_reference_in_docs_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("docs") == 0
    assert REFERENCE.read_text() == capsys.readouterr().out, "run: nodeagent config docs > docs/settings.md"


def test_the_example_in_the_reference_is_valid(tmp_path: Path) -> None:
    example = markdown().partition("```toml\n")[2].partition("```")[0]
    path = tmp_path / "example.toml"
    path.write_text(example)
    assert load(str(path), {}, {}).drift.policy


def test_defaults_cost_no_imports_that_only_some_need() -> None:
    program = (
        "import sys; from nodeagent.settings import load, sources; sources.DEFAULT_FILE = '/nonexistent';"
        "load(None, {}, {}); print(*sorted({'tomllib', 'difflib', 'argparse', 'socket'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.split() == []
