"""What a scan costs grows with the number of files, and no faster."""

from __future__ import annotations

import cProfile
import pstats
from pathlib import Path

from tests.unit.certs.authority import issue
from tests.unit.certs.scratch import Scratch


def _calls(root: Path, number: int) -> int:
    """Calls of functions for one more scan of so many certificates, of which nothing has changed."""
    root.mkdir()
    node, pair = Scratch(root, extra=("/srv/*.crt",)), issue("one").pem
    for index in range(number):
        node.write(f"/srv/{index}.crt", pair, 0o644)
    node.inventory()
    profile = cProfile.Profile()
    profile.enable()
    found = node.inventory()
    profile.disable()
    node.tree.close()
    assert len(found.entries) == number
    calls: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined] # missing in its stub
    return calls


def test_eight_times_as_many_certificates_take_eight_times_the_work(tmp_path: Path) -> None:
    few, many = _calls(tmp_path / "few", 50), _calls(tmp_path / "many", 400)
    assert many < 9 * few
