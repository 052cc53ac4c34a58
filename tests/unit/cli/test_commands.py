"""The command line end to end on a scratch root: what it says, what it leaves, and how it ends."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.unit.cli.conftest import HEAD, Node, Result, machine_config

CHRONY = ("/etc/chrony.conf", "server%20192.0.2.10%0A")


def test_plan_shows_everything_and_changes_nothing(node: Node) -> None:
    node.declare("50-chrony", machine_config("50-chrony", CHRONY))
    planned = node("plan", node.source)
    assert planned.code == 3
    assert "create file /etc/chrony.conf" in planned.out
    assert "+server 192.0.2.10" in planned.out
    assert "[50-chrony]" in planned.out
    assert list(node.root.rglob("*")) == [node.root / "etc"]


def test_apply_then_nothing_to_do(node: Node) -> None:
    node.declare("50-chrony", machine_config("50-chrony", CHRONY))
    assert node.apply().code == 0
    file = node.root / "etc/chrony.conf"
    assert file.read_text() == "server 192.0.2.10\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    again = node.apply()
    assert (again.code, "nothing to do" in again.out) == (0, True)
    assert node("plan", node.source).code == 0
    assert node("verify").code == 0


def test_a_plan_can_be_agreed_to_by_its_fingerprint(node: Node) -> None:
    node.declare("50-chrony", machine_config("50-chrony", CHRONY))
    fingerprint = node("plan", node.source, "-o", "json").json["fingerprint"]
    node.declare("60-more", machine_config("60-more", ("/etc/more", "x")))
    refused = node("apply", node.source, "--plan", fingerprint)
    assert refused.code == 1
    assert "the plan has changed" in refused.err
    assert not node.tree()
    (node.source / "60-more.yaml").unlink()
    assert node("apply", node.source, "--plan", fingerprint).code == 0


def test_the_plan_as_json_names_sources_old_new_and_actions(node: Node) -> None:
    (node.root / "etc/chrony.conf").write_text("pool example\n")
    node.declare("50-chrony", machine_config("50-chrony", CHRONY))
    document = node("plan", node.source, "-o", "json").json
    change = next(each for each in document["changes"] if each["change"] == "WriteFile")
    assert change["sources"] == ["50-chrony"]
    assert (change["before"]["size"], change["after"]["size"]) == (13, 18)
    assert change["before"]["digest"] != change["after"]["digest"]
    assert change["actions"] == [{"type": "None"}]


def test_contents_of_private_files_are_never_shown(node: Node) -> None:
    node.declare("50-secret", machine_config("50-secret", ("/etc/secret", "hunter2"), mode="0600"))
    for command in ("plan", "apply"):
        said = node(command, node.source)
        assert "hunter2" not in said.out + said.err
    (node.root / "etc/secret").write_text("hunter3")
    for said in (node("verify"), node("plan", node.source), node("verify", "-o", "json")):
        assert said.code == 3
        assert "hunter" not in said.out + said.err


def test_removing_a_machineconfig_gives_back_what_was_there(node: Node) -> None:
    (node.root / "etc/chrony.conf").write_text("the distribution's\n")
    (node.root / "etc/chrony.conf").chmod(0o640)
    before = node.tree()
    node.declare("50-chrony", machine_config("50-chrony", CHRONY, ("/etc/deep/down/here", "x")))
    assert node.apply().code == 0
    assert node.tree() != before
    (node.source / "50-chrony.yaml").unlink()
    node.declare("00-empty", HEAD.format(name="00-empty"))
    assert node.apply().code == 0
    assert node.tree() == before
    assert not (node.root / "etc/deep").exists()


def test_rollback_and_history(node: Node) -> None:
    for text in ("one", "two", "three"):
        node.declare("50-x", machine_config("50-x", ("/etc/x", text)))
        assert node.apply().code == 0
    listed = node("history", "-o", "json").json
    assert [each["generation"] for each in listed["generations"]] == [1, 2, 3]
    assert listed["current"] == 3
    assert node("rollback").code == 0
    assert (node.root / "etc/x").read_text() == "two"
    assert node("rollback", "1").code == 0
    assert (node.root / "etc/x").read_text() == "one"
    assert node("rollback", "0").code == 0
    assert not node.tree()
    assert "rollback to generation 0" in node("history").out


def test_rollback_to_an_unknown_generation_names_those_that_are_kept(node: Node) -> None:
    node.declare("50-x", machine_config("50-x", ("/etc/x", "one")))
    node.apply()
    refused = node("rollback", "7")
    assert refused.code == 1
    assert "no generation 7; kept are: 0, 1" in refused.err


def test_a_rollback_can_be_looked_at_first(node: Node) -> None:
    node.declare("50-x", machine_config("50-x", ("/etc/x", "one")))
    node.apply()
    shown = node("rollback", "0", "--dry-run")
    assert shown.code == 3
    assert "remove file /etc/x" in shown.out
    assert (node.root / "etc/x").exists()
    assert node("rollback", "0", "--dry-run", "-o", "json").json["changes"][0]["path"] == "/etc/x"


@pytest.mark.parametrize(
    ("tamper", "kind"),
    [
        (lambda file: file.write_text("other"), "content"),
        (lambda file: file.chmod(0o666), "mode"),
        (lambda file: file.unlink(), "missing"),
        (lambda file: (file.unlink(), file.mkdir()), "type"),
        (lambda file: (file.unlink(), file.symlink_to("/etc/other")), "type"),
    ],
)
def test_verify_finds_drift(node: Node, tamper: Callable[[Path], object], kind: str) -> None:
    node.declare("50-chrony", machine_config("50-chrony", CHRONY))
    node.apply()
    tamper(node.root / "etc/chrony.conf")
    found = node("verify", "-o", "json")
    assert found.code == 3
    assert [(each["finding"]["path"], each["finding"]["kind"]) for each in found.json["drift"]] == [
        ("/etc/chrony.conf", kind)
    ]


def test_verify_finds_a_change_that_hides_behind_the_same_size_and_time(node: Node) -> None:
    node.declare("50-chrony", machine_config("50-chrony", CHRONY))
    node.apply()
    file = node.root / "etc/chrony.conf"
    seen = file.stat()
    file.write_text("server 192.0.2.11\n")
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert node("verify").code == 3


def test_verify_finds_a_stale_file_that_came_back(node: Node) -> None:
    node.declare("50-x", machine_config("50-x", ("/etc/x", "one"), ("/etc/y", "two")))
    node.apply()
    node.declare("50-x", machine_config("50-x", ("/etc/x", "one")))
    node.apply()
    (node.root / "etc/y").write_text("resurrected")
    assert [each["finding"]["kind"] for each in node("verify", "-o", "json").json["drift"]] == ["resurrected"]
    assert node.apply().code == 0
    assert not (node.root / "etc/y").exists()


def test_verify_before_anything_was_applied_is_an_error_that_says_what_to_do(node: Node) -> None:
    refused = node("verify")
    assert refused.code == 1
    assert "run `nodeagent apply` first" in refused.err


def test_every_problem_of_every_source_is_named_at_once_and_nothing_is_changed(node: Node) -> None:
    node.declare("10-mode", machine_config("10-mode", ("/etc/a", "x"), mode="99999"))
    node.declare("20-path", machine_config("20-path", ("relative", "x")))
    node.declare("30-broken", "kind: [")
    refused = node.apply()
    assert refused.code == 1
    for named in ("10-mode", "20-path", "30-broken.yaml", "3 problems; nothing was changed"):
        assert named in refused.err
    assert not node.tree()


def test_what_a_node_cannot_have_is_rejected_before_anything_is_touched(node: Node) -> None:
    (node.root / "etc/dir").mkdir()
    node.declare("50-ok", machine_config("50-ok", ("/etc/fine", "x")))
    node.declare("60-bad", machine_config("60-bad", ("/etc/dir", "x"), ("/run/gone", "x")))
    refused = node.apply()
    assert refused.code == 1
    assert "/run/gone" in refused.err
    assert not node.tree()


def test_a_fifo_at_a_target_is_named_and_does_not_block(node: Node) -> None:
    os.mkfifo(node.root / "etc/chrony.conf")
    node.declare("50-chrony", machine_config("50-chrony", CHRONY))
    refused = node.apply()
    assert refused.code == 1
    assert "/etc/chrony.conf" in refused.err


def test_a_read_only_node_is_a_clear_error(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.declare("50-chrony", machine_config("50-chrony", CHRONY))
    (node.root / "etc").chmod(0o500)
    if os.geteuid() == 0:  # root writes anyway: nothing to see here
        assert node.apply().code == 0
    else:
        assert "not writable" in node.apply().err
    (node.root / "etc").chmod(0o700)


def test_documents_from_standard_input(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    text = machine_config("50-chrony", CHRONY).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert node("apply", "-").code == 0
    assert (node.root / "etc/chrony.conf").exists()


def test_render_prints_the_merge_as_yaml_and_json(node: Node) -> None:
    node.declare("50-chrony", machine_config("50-chrony", CHRONY))
    node.declare(
        "60-mode",
        HEAD.format(name="60-mode") + "    storage:\n      files:\n        - {path: /etc/chrony.conf, mode: 0600}\n",
    )
    as_yaml, as_json = node.run("render", node.source), node.run("render", node.source, "-o", "json")
    assert (as_yaml.code, as_json.code) == (0, 0)
    assert yaml.safe_load(as_yaml.out) == as_json.json
    assert as_json.json["metadata"]["name"].startswith("render-worker-")
    assert as_json.json["spec"]["config"]["storage"]["files"][0]["mode"] == 0o600


def test_render_tells_which_machineconfig_each_part_comes_from(node: Node) -> None:
    node.declare("50-chrony", machine_config("50-chrony", CHRONY))
    node.declare("60-chrony", machine_config("60-chrony", CHRONY, ("/etc/other", "x")))
    printed = node.run("render", node.source, "--provenance", "-o", "json")
    assert printed.json == {"file:/etc/chrony.conf": ["50-chrony", "60-chrony"], "file:/etc/other": ["60-chrony"]}


def test_the_same_sources_render_to_the_same_name_in_any_order(node: Node) -> None:
    node.declare("a", machine_config("50-a", ("/etc/a", "x")))
    node.declare("b", machine_config("60-b", ("/etc/b", "x")))
    paths = [node.source / "a.yaml", node.source / "b.yaml"]
    names = {node.run("render", *order, "-o", "json").json["metadata"]["name"] for order in (paths, paths[::-1])}
    assert len(names) == 1


def test_status_without_a_daemon_says_so_and_is_no_failure(node: Node) -> None:
    node.declare("50-chrony", machine_config("50-chrony", CHRONY))
    node.apply()
    shown = node("status", "--run-dir", str(node.root / "run"), "-o", "json")
    assert shown.code == 0
    assert (shown.json["daemon"], shown.json["generation"]) == ("not running", 1)


def test_status_without_a_daemon_does_not_claim_that_nothing_drifted(node: Node) -> None:
    shown = node("status", "--run-dir", str(node.root / "run"))
    assert "drift       none recorded" in shown.out.splitlines()


@pytest.mark.parametrize("arguments", [(), ("bogus",), ("plan", "--bogus"), ("render",), ("completion", "fish5")])
def test_wrong_usage_ends_with_2(run: Callable[..., Result], arguments: tuple[str, ...]) -> None:
    assert run(*arguments).code == 2


@pytest.mark.parametrize(
    ("arguments", "command"),
    [(("egress", "drain", "--nope"), "nodeagent egress drain"), (("status", "--nope"), "nodeagent status")],
)
def test_what_a_command_does_not_know_is_told_with_its_own_usage(
    run: Callable[..., Result], arguments: tuple[str, ...], command: str
) -> None:
    refused = run(*arguments)
    assert refused.code == 2
    assert refused.err.startswith(f"usage: {command} [-h]")
    assert refused.err.endswith(f"{command}: error: unrecognized arguments: --nope\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completions_know_the_commands(run: Callable[..., Result], shell: str) -> None:
    printed = run("completion", shell)
    assert printed.code == 0
    assert "rollback" in printed.out


def test_a_missing_source_is_one_clear_error(node: Node) -> None:
    refused = node("plan", "/nowhere/at/all")
    assert refused.code == 1
    assert "/nowhere/at/all: cannot be read: No such file or directory" in refused.err


def test_a_state_directory_that_others_can_enter_is_refused(node: Node) -> None:
    state = node.root / "var/lib/nodeagent"
    state.mkdir(parents=True)
    state.chmod(0o755)
    node.declare("50-chrony", machine_config("50-chrony", CHRONY))
    refused = node.apply()
    assert refused.code == 1
    assert "mode 0700" in refused.err


def test_the_state_is_private(node: Node) -> None:
    node.declare("50-chrony", machine_config("50-chrony", CHRONY))
    node.apply()
    state = node.root / "var/lib/nodeagent"
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (state, *state.rglob("*"))}
    assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in modes.items())


def test_history_is_bounded(node: Node) -> None:
    for number in range(14):
        node.declare("50-x", machine_config("50-x", ("/etc/x", str(number))))
        node.apply()
    kept = [each["generation"] for each in node("history", "-o", "json").json["generations"]]
    assert kept == list(range(5, 15))


def test_force_takes_away_what_others_added_to_a_managed_unit(node: Node) -> None:
    lines = ("    systemd:", "      units:", "        - name: x.service", "          contents: |")
    unit = "\n".join((*lines, "            [Service]", "            ExecStart=/bin/true", ""))
    node.declare("50-unit", HEAD.format(name="50-unit") + unit)
    assert node.apply().code == 0
    dropin = node.root / "etc/systemd/system/x.service.d/99-theirs.conf"
    dropin.parent.mkdir()
    dropin.write_text("[Service]\nUser=nobody\n")
    assert [each["finding"]["kind"] for each in node("verify", "-o", "json").json["drift"]] == ["dropin"]
    assert node("plan", node.source).code == 0
    assert node("apply", node.source, "--force").code == 0
    assert not dropin.exists()
    assert node("verify").code == 0
