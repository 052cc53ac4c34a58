"""`make demo`: the main job on a scratch root directory. No cluster, no systemd, no root needed; ends by itself.

Real MachineConfigs are applied by the real daemon; a file is tampered with; the drift shows with a diff (and with who
did it, when run as root); remediation and rollback are shown. `--keep` leaves the daemon running.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

_EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "machineconfigs")
_AGENT = [sys.executable, "-m", "nodeagent"]
_PATIENCE = 30.0  # seconds
_VENDOR_CHRONY = "# The distribution's own file: rollback gives it back.\npool pool.example.org iburst\n"


class Demo:
    """One scratch node, with its daemon."""

    def __init__(self, base: str) -> None:
        self.root = os.path.join(base, "root")
        self.source = os.path.join(base, "machineconfigs.d")
        self.run_dir = os.path.join(base, "run")
        self._log = os.path.join(base, "daemon.log")
        self.daemon: subprocess.Popen[bytes] | None = None

    def build(self) -> None:
        """A root directory with the few files that a node has in any case."""
        account = pwd.getpwuid(os.geteuid())
        for directory in ("etc/systemd/system", "home/boot", "var/lib", "usr/lib/systemd/system", "run"):
            os.makedirs(os.path.join(self.root, directory))
        self.write(
            "/etc/passwd", f"root:x:0:0::/root:/bin/sh\nboot:x:{account.pw_uid}:{account.pw_gid}::/home/boot:/bin/sh\n"
        )
        self.write("/etc/group", "root:x:0:\n")
        self.write("/etc/chrony.conf", _VENDOR_CHRONY)
        self.write("/usr/lib/systemd/system/kubelet.service", "[Service]\nExecStart=/usr/bin/kubelet\n")
        shutil.copytree(_EXAMPLES, self.source)

    def path(self, path: str) -> str:
        return self.root + path

    def write(self, path: str, text: str) -> None:
        with open(self.path(path), "w") as file:
            file.write(text)

    def read(self, path: str) -> str:
        with open(self.path(path)) as file:
            return file.read()

    def agent(self, command: str, *arguments: str, show: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one command of the agent on the scratch node, as an administrator would."""
        words = [*_AGENT, command, *arguments, "--root", self.root]
        if show:
            print(f"\n$ nodeagent {' '.join((command, *arguments))} --root …", flush=True)
        ended = subprocess.run(words, text=True, capture_output=not show, check=False, timeout=_PATIENCE)
        if ended.returncode not in (0, 3):
            sys.exit(f"demo: nodeagent {command} ended with {ended.returncode}\n{ended.stderr or ''}")
        return ended

    def start(self, policy: str = "") -> None:
        """Start the daemon; `policy` is its drift policy."""
        words = [*_AGENT, "run", "--root", self.root, "--source", self.source, "--run-dir", self.run_dir]
        words += ["--health-address", "", "--metrics-address", "", "--drift-policy", policy, "--log-format", "json"]
        with open(self._log, "ab") as log:
            self.daemon = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self) -> None:
        if self.daemon is not None:
            self.daemon.send_signal(signal.SIGTERM)
            self.daemon.wait(_PATIENCE)
            self.daemon = None

    def status(self) -> dict[str, Any]:
        """What the daemon reports of machine configuration; {} while there is no report."""
        try:
            with open(os.path.join(self.run_dir, "status.json")) as file:
                document: dict[str, Any] = json.load(file)["jobs"].get("machineconfig", {})
        except FileNotFoundError:
            return {}
        return document

    def until(self, what: str, holds: Callable[[], bool]) -> float:
        """Wait until something holds; returns how long that took, in seconds."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > _PATIENCE or (self.daemon and self.daemon.poll() is not None):
                with open(self._log) as log:
                    sys.exit(f"demo: waited in vain until {what}\n{log.read()}")
            time.sleep(0.01)
        return time.monotonic() - began

    def drifts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.status().get("drift", [])
        return found


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def _tamper(demo: Demo) -> None:
    """Somebody edits a managed file, with a program of their own."""
    script = "import sys; open(sys.argv[1], 'a').write('server 203.0.113.66 iburst\\n')"
    subprocess.run([sys.executable, "-c", script, demo.path("/etc/chrony.conf")], check=True, timeout=_PATIENCE)


def _show_drift(demo: Demo) -> None:
    demo.agent("verify")


def show(demo: Demo, *, keep: bool) -> None:
    """The whole story."""
    summary = []
    say("What would be done? `plan` shows it and changes nothing")
    demo.agent("plan", demo.source)

    say("The daemon applies it")
    demo.start()
    took = demo.until(
        "the config is applied", lambda: demo.status().get("state") == "Done" and bool(demo.status()["config"])
    )
    summary.append(f"applied {demo.status()['paths']} paths {took:.1f} s after the daemon was started")
    demo.agent("history", "--changes")

    say("Somebody edits a managed file: the daemon notices, and the node is Degraded until it is resolved")
    _tamper(demo)
    took = demo.until("the drift shows", lambda: bool(demo.drifts()))
    writers = demo.drifts()[0]["writers"]
    who = (
        f"{writers[-1]['command']} (pid {writers[-1]['pid']})" if writers else f"unknown: {demo.drifts()[0]['unknown']}"
    )
    summary.append(f"drift of /etc/chrony.conf reported after {took * 1000:.0f} ms; changed by {who}")
    _show_drift(demo)

    say("An administrator resolves it")
    demo.agent("apply", demo.source)
    demo.until("the drift is gone", lambda: not demo.drifts() and demo.status()["state"] == "Done")
    demo.stop()

    say("With the policy `remediate` for that path the daemon puts it right by itself")
    demo.start("/etc/chrony.conf=remediate")
    demo.until("the daemon is ready", lambda: demo.status().get("state") == "Done")
    declared = demo.read("/etc/chrony.conf")
    _tamper(demo)
    took = demo.until("the file is as declared", lambda: demo.read("/etc/chrony.conf") == declared)
    summary.append(f"the same edit put right after {took * 1000:.0f} ms")

    say("Rollback to generation 0 gives back everything that stood there before the agent came")
    demo.agent("rollback", "0")
    given_back = demo.read("/etc/chrony.conf") == _VENDOR_CHRONY
    gone = not os.path.exists(demo.path("/etc/systemd/system/node-firewall.service"))
    if not (given_back and gone):
        sys.exit("demo: rollback did not give the node back as it was")
    summary.append("rolled back: the distribution's chrony.conf is back, the firewall unit is gone")
    demo.agent("status", "--run-dir", demo.run_dir)

    say("Summary")
    print("\n".join(f"  - {line}" for line in summary))
    if keep:
        assert demo.daemon is not None
        print(f"\nThe daemon runs on with root {demo.root} and sources {demo.source}; end it with Ctrl-C.", flush=True)
        demo.daemon.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the daemon running")
    keep = parser.parse_args().keep
    base = tempfile.mkdtemp(prefix="nodeagent-demo-")
    demo = Demo(base)
    try:
        demo.build()
        show(demo, keep=keep)
    except KeyboardInterrupt:
        print()
    finally:
        demo.stop()
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
