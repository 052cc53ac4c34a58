"""What the agent relies on of a service manager, asked of the fake and of the real systemd alike."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from nodeagent.changes.units import DaemonReload, ReloadUnit, RestartUnit, StopUnit, UnitChange
from nodeagent.errors import Broken, Transient
from nodeagent.host.systemd import Systemd
from tests.fakes.units import Behaviour, FakeSystemd, Service
from tests.node.machine import Machine

_TEXTS = {
    Behaviour.RUNS: "ExecStart=/bin/sleep infinity",
    Behaviour.RELOADABLE: "ExecStart=/bin/sleep infinity\nExecReload=/bin/true",
    Behaviour.ONESHOT: "Type=oneshot\nExecStart=/bin/true",
    Behaviour.FAILS: "Type=exec\nExecStart=/bin/false",
    Behaviour.HANGS: "Type=notify\nExecStart=/bin/sleep infinity",
}


class Bench(Protocol):
    """A service manager under test, and the hands of an administrator on its node."""

    @property
    def systemd(self) -> Systemd | FakeSystemd: ...

    @property
    def hasty(self) -> Systemd | FakeSystemd:
        """The same, with a deadline of one second."""

    def install(self, behaviour: Behaviour) -> str:
        """Put a new service on the node and return its name."""

    def edit(self, name: str) -> None:
        """Change the unit file and tell nobody."""

    def mask(self, name: str) -> None: ...

    def process(self, name: str) -> int:
        """Main process of a service, 0 if it has none."""

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...


class FakeBench:
    def __init__(self) -> None:
        self.systemd = self.hasty = FakeSystemd()

    def install(self, behaviour: Behaviour) -> str:
        name = f"unit-{len(self.systemd.services)}.service"
        self.systemd.services[name] = Service(behaviour)
        return name

    def edit(self, name: str) -> None:
        self.systemd.services[name].needs_daemon_reload = True

    def mask(self, name: str) -> None:
        self.systemd.services[name].masked = True

    def process(self, name: str) -> int:
        return self.systemd.services[name].process

    def freeze(self) -> None:
        self.systemd.frozen = True

    def thaw(self) -> None:
        self.systemd.frozen = False


class RealBench:
    """A machine, its systemd reached from outside through the machine's /run."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._serial = itertools.count()
        self.systemd = Systemd(deadline=20.0, run=str(machine.root / "run"))
        self.hasty = Systemd(deadline=1.0, run=str(machine.root / "run"))

    def install(self, behaviour: Behaviour) -> str:
        name = f"unit-{next(self._serial)}.service"
        self._machine.write(f"/etc/systemd/system/{name}", f"[Service]\n{_TEXTS[behaviour]}\n")
        self._machine.run("systemctl", "daemon-reload")
        return name

    def edit(self, name: str) -> None:
        with self._machine.path(f"/etc/systemd/system/{name}").open("a") as file:
            file.write("TimeoutStopSec=7\n")

    def mask(self, name: str) -> None:
        path = self._machine.path(f"/etc/systemd/system/{name}")
        path.unlink()
        path.symlink_to("/dev/null")
        self._machine.run("systemctl", "daemon-reload")

    def process(self, name: str) -> int:
        return int(self._machine.run("systemctl", "show", "--value", "--property=MainPID", name).stdout)

    def freeze(self) -> None:
        self._machine.freeze()

    def thaw(self) -> None:
        self._machine.thaw()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBench]:
    scratch: Path = tmp_path_factory.mktemp("machine")
    with Machine(scratch) as machine:
        yield RealBench(machine)


@pytest.fixture(params=["fake", "real"])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "fake":
        return FakeBench()
    machine: RealBench = request.getfixturevalue("real")
    return machine


def _active(bench: Bench, name: str) -> tuple[str, str]:
    state = bench.systemd.states([name])[name]
    return state.active, state.sub


def test_a_node_with_systemd_says_so(bench: Bench) -> None:
    assert bench.systemd.running()


def test_no_names_have_no_states(bench: Bench) -> None:
    assert bench.systemd.states([]) == {}


def test_a_unit_that_nobody_installed_is_not_found(bench: Bench) -> None:
    state = bench.systemd.states(["nobody.service"])["nobody.service"]
    assert (state.load, state.active, state.sub, state.file) == ("not-found", "inactive", "dead", "")


def test_states_are_given_by_the_names_asked_for(bench: Bench) -> None:
    names = {bench.install(Behaviour.RUNS), bench.install(Behaviour.ONESHOT), "nobody.service"}
    states = bench.systemd.states(names)
    assert {name: state.name for name, state in states.items()} == {name: name for name in names}


def test_an_installed_service_is_loaded_and_down(bench: Bench) -> None:
    name = bench.install(Behaviour.RUNS)
    state = bench.systemd.states([name])[name]
    assert (state.load, state.active, state.sub, state.file) == ("loaded", "inactive", "dead", "static")
    assert (state.result, state.needs_daemon_reload) == ("success", False)


@pytest.mark.parametrize("verb", ["start", "restart"])
def test_a_service_comes_up(bench: Bench, verb: str) -> None:
    name = bench.install(Behaviour.RUNS)
    getattr(bench.systemd, verb)(name)
    assert _active(bench, name) == ("active", "running")
    assert bench.process(name)


def test_restart_replaces_the_process_and_start_does_not(bench: Bench) -> None:
    name = bench.install(Behaviour.RUNS)
    bench.systemd.start(name)
    first = bench.process(name)
    bench.systemd.start(name)
    assert bench.process(name) == first
    bench.systemd.restart(name)
    assert bench.process(name) not in {0, first}


def test_a_oneshot_is_done_when_restart_returns(bench: Bench) -> None:
    name = bench.install(Behaviour.ONESHOT)
    bench.systemd.restart(name)
    assert _active(bench, name) == ("inactive", "dead")
    assert bench.systemd.states([name])[name].result == "success"


@pytest.mark.parametrize("verb", ["start", "restart"])
def test_a_service_that_fails_is_named_with_its_exit_status(bench: Bench, verb: str) -> None:
    name = bench.install(Behaviour.FAILS)
    with pytest.raises(Broken, match=rf"{name} failed to {verb}: result exit-code, exited with status 1"):
        getattr(bench.systemd, verb)(name)
    assert _active(bench, name) == ("failed", "failed")
    assert bench.systemd.states([name])[name].result == "exit-code"


def test_a_service_that_never_gets_ready_is_named(bench: Bench) -> None:
    name = bench.install(Behaviour.HANGS)
    with pytest.raises(Broken, match=rf"{name} failed to restart: not done within \d+ s"):
        bench.hasty.restart(name)
    assert _active(bench, name) == ("activating", "start")


@pytest.mark.parametrize("verb", ["start", "restart"])
def test_what_does_not_exist_cannot_start(bench: Bench, verb: str) -> None:
    with pytest.raises(Broken, match=r"nobody\.service.*not found"):
        getattr(bench.systemd, verb)("nobody.service")


def test_what_is_masked_cannot_start(bench: Bench) -> None:
    name = bench.install(Behaviour.RUNS)
    bench.mask(name)
    state = bench.systemd.states([name])[name]
    assert (state.load, state.file) == ("masked", "masked")
    with pytest.raises(Broken, match=rf"{name}.*masked"):
        bench.systemd.restart(name)


def test_stop_brings_a_service_down_and_may_be_repeated(bench: Bench) -> None:
    name = bench.install(Behaviour.RUNS)
    bench.systemd.start(name)
    for _ in range(2):
        bench.systemd.stop(name)
        assert _active(bench, name) == ("inactive", "dead")


@pytest.mark.parametrize("verb", ["stop", "reload"])
def test_what_does_not_exist_need_not_be_stopped_or_reloaded(bench: Bench, verb: str) -> None:
    getattr(bench.systemd, verb)("nobody.service")


def test_reload_keeps_the_process(bench: Bench) -> None:
    name = bench.install(Behaviour.RELOADABLE)
    bench.systemd.start(name)
    process = bench.process(name)
    bench.systemd.reload(name)
    assert bench.process(name) == process


def test_reload_leaves_a_stopped_service_alone(bench: Bench) -> None:
    name = bench.install(Behaviour.RUNS)
    bench.systemd.reload(name)
    assert _active(bench, name) == ("inactive", "dead")


def test_a_service_without_reload_says_so(bench: Bench) -> None:
    name = bench.install(Behaviour.RUNS)
    bench.systemd.start(name)
    with pytest.raises(Broken, match=rf"reload {name}: it knows no reload"):
        bench.systemd.reload(name)


def test_an_edited_unit_needs_a_daemon_reload(bench: Bench) -> None:
    name = bench.install(Behaviour.RUNS)
    bench.systemd.start(name)
    bench.edit(name)
    assert bench.systemd.states([name])[name].needs_daemon_reload
    bench.systemd.daemon_reload()
    assert not bench.systemd.states([name])[name].needs_daemon_reload


def test_a_batch_ends_at_the_first_failure(bench: Bench) -> None:
    up, masked, late = (
        bench.install(Behaviour.RELOADABLE),
        bench.install(Behaviour.RUNS),
        bench.install(Behaviour.RUNS),
    )
    down = bench.install(Behaviour.RUNS)
    bench.mask(masked)
    bench.systemd.start(down)
    batch: list[UnitChange] = [
        DaemonReload(),
        StopUnit(down),
        RestartUnit(up),
        ReloadUnit(up),
        RestartUnit(masked),
        RestartUnit(late),
    ]
    with pytest.raises(Broken, match=masked):
        bench.systemd.carry_out(batch)
    assert [_active(bench, name)[0] for name in (up, down, late)] == ["active", "inactive", "inactive"]


@pytest.mark.parametrize("name", ["unit", "../etc.service", "a/b.service"])
def test_only_names_of_units_are_passed_on(bench: Bench, name: str) -> None:
    with pytest.raises(Broken, match="not names of systemd units"):
        bench.systemd.restart(name)


def test_a_service_manager_that_hangs_is_a_passing_trouble(bench: Bench) -> None:
    name = bench.install(Behaviour.RUNS)
    bench.freeze()
    try:
        with pytest.raises(Transient, match=r"systemd did not answer within \d+ s"):
            bench.hasty.states([name])
    finally:
        bench.thaw()
    assert _active(bench, name) == ("inactive", "dead")
