"""What a DirectoryWatch tells of what it cannot watch: beyond limits of the kernel, behind hostile links."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from nodeagent.host.inotify import DirectoryWatch
from tests.capabilities import require

_WATCH = """
import sys
from nodeagent.errors import Transient
from nodeagent.host.inotify import DirectoryWatch

setting, limit, directory, *names = sys.argv[1:]
with open(f"/proc/sys/user/{setting}", "w") as file:
    file.write(limit)
try:
    watch = DirectoryWatch(lambda wake: None)
except Transient as error:
    sys.exit(f"transient: {error}")
watch.watch([f"{directory}/{name}/file" for name in names])
print(*watch.problems(), sep="\\n")
watch.watch([f"{directory}/file"])
print("later:", watch.problems())
watch.close()
"""


def _limited(setting: str, limit: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    require("root", "unshare")
    namespace = ["unshare", "--user", "--map-root-user", sys.executable, "-c", _WATCH]
    return subprocess.run(
        [*namespace, setting, str(limit), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_running_out_of_watches_is_told_with_the_remedy(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d", "e"]
    for name in names:
        (tmp_path / name).mkdir()
    ancestors = len(tmp_path.parts)
    done = _limited("max_inotify_watches", ancestors + 1, str(tmp_path), *names)
    assert done.stderr == ""
    first, later = done.stdout.splitlines()
    assert first == (
        f"changes are not noticed at once in {tmp_path}/b, {tmp_path}/c, {tmp_path}/d "
        "and 1 more directories: the limit of inotify watches is reached; "
        "raise fs.inotify.max_user_watches (sysctl)"
    )
    assert later == "later: ()"


def test_running_out_of_instances_is_an_error_to_try_again_after(tmp_path: Path) -> None:
    done = _limited("max_inotify_instances", 0, str(tmp_path), "a")
    assert done.returncode == 1
    assert done.stderr.startswith("transient: the kernel grants no inotify instance")
    assert "fs.inotify.max_user_instances" in done.stderr


def test_a_hostile_link_in_the_way_is_a_problem_and_not_followed(tmp_path: Path) -> None:
    require("root")
    (tmp_path / "secret").mkdir()
    (tmp_path / "home").symlink_to("secret")
    os.lchown(tmp_path / "home", 12345, 12345)
    watch = DirectoryWatch(lambda _wake: None)
    watch.watch([str(tmp_path / "home/.ssh/authorized_keys")])
    (problem,) = watch.problems()
    assert problem.startswith(f"changes are not noticed at once in {tmp_path}/home: ")
    assert "uid 12345" in problem
    os.unlink(tmp_path / "home")
    watch.watch([str(tmp_path / "home/.ssh/authorized_keys")])
    assert watch.problems() == ()
    watch.close()
