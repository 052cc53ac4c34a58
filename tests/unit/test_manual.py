"""The manual pages: all that the parser knows, in roff that its own tool finds nothing wrong with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nodeagent.cli.main import parser
from tests.capabilities import require

_PAGES = Path(__file__).parents[2] / "packaging/man/pages.py"


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("man")
    environment = {"SOURCE_DATE_EPOCH": "1790000000", "PYTHONPATH": str(_PAGES.parents[2])}
    subprocess.run([sys.executable, _PAGES, directory], env=environment, check=True, timeout=60)
    return directory


def test_every_command_has_a_page_and_an_entry(manual: Path) -> None:
    usage = parser().format_help().partition("COMMAND")[2]
    overview = (manual / "nodeagent.8").read_text()
    pages = {path.name.removeprefix("nodeagent-").removesuffix(".8") for path in manual.glob("nodeagent-*.8")}
    assert {"run", "apply", "verify", "rollback", "completion"} <= pages
    for command in pages:
        assert command in usage
        assert "\n.B {}\n".format(command.replace("-", r"\-")) in overview
    assert "@" not in overview.replace("user@host", "")


def test_flags_and_settings_of_a_command_are_in_its_page(manual: Path) -> None:
    page = (manual / "nodeagent-apply.8").read_text()
    assert r"\-\-plan FINGERPRINT" in page
    assert r"\-\-reboot\-allow" in page
    assert "2026-09-21" in page


def test_the_formatter_finds_nothing_wrong(manual: Path) -> None:
    require("groff")
    for path in manual.iterdir():
        said = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", "-z", path], capture_output=True, text=True, check=True, timeout=60
        )
        assert said.stderr == "", path.name
