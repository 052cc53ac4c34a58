"""Egress gateways as a job of the daemon: those whose parts lie in a directory of this node."""

from __future__ import annotations

import os
import random
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from nodeagent.agent.certificates import read_yaml
from nodeagent.agent.jobs import Context, Loop
from nodeagent.egress.keeper import NAME, DataPlane, Keeper, Parts
from nodeagent.egress.part import PREFIX, GatewayPart
from nodeagent.egress.partfile import part_of
from nodeagent.engine.controller import Controller
from nodeagent.engine.report import Report, State
from nodeagent.errors import Problem, Rejected
from nodeagent.settings import Settings

_SUFFIXES: Final = (".yaml", ".yml", ".json")
_LIMIT: Final = 1 << 20  # bytes of a file
_ALLOWANCE: Final = 300.0  # seconds that a turn may take, its wait included: some thousand changes of milliseconds


@contextmanager
def gateways(context: Context) -> Iterator[Sequence[Loop]]:
    """The loop, where this node has a directory of parts."""
    settings = context.place.settings
    if not settings.gateways.parts:
        context.reporter.publish(Report(NAME, State.DONE, "", "NoGateways", {"enabled": False}, rest="off"))
        yield ()
        return
    directory, interval = settings.gateways.parts, settings.gateways.interval
    keeper = Keeper(lambda: parts(directory), *planes(settings), context.reporter, interval)
    loop = Controller(NAME, keeper.tick, context.watcher, random.Random())  # noqa: S311 - jitter, no secret
    yield [Loop(loop, interval + _ALLOWANCE)]


def planes(settings: Settings) -> tuple[DataPlane, DataPlane]:
    """The kernel and the switch of this node."""
    from nodeagent.host.gatewaykernel import GatewayKernel  # noqa: PLC0415 - netlink, where there are gateways
    from nodeagent.ovn.switch import Switch  # noqa: PLC0415 - OVSDB, likewise

    return GatewayKernel(PREFIX), Switch(settings.gateways.switch, settings.gateways.bridge)


def parts(directory: str) -> Parts:
    """What the files of the directory say, by name; what cannot be used is a problem, two files for one port too."""
    found: dict[str, GatewayPart] = {}
    problems: list[str] = []
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(_SUFFIXES))
    except OSError as error:
        return Parts((), (f"{directory}: {error.strerror}",))
    for name in names:
        try:
            part = _part(f"{directory}/{name}", found)
        except Rejected as error:
            problems.append(str(error))
        else:
            found[part.port] = part
    return Parts(tuple(found.values()), tuple(problems))


def _part(path: str, others: Container[str]) -> GatewayPart:
    """The part in a file, whose port is not among `others`."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LIMIT + 1)
        if len(data) > _LIMIT:
            raise _refused(path, "", f"is larger than {_LIMIT} bytes")
        part = part_of(read_yaml(data), path)
    except OSError as error:
        raise _refused(path, "", error.strerror or "cannot be read") from None
    except ValueError as error:
        raise _refused(path, "", str(error)) from None
    if part.port in others:
        raise _refused(path, "$.port", f"{part.port} is another gateway's too")
    return part


def _refused(path: str, field: str, message: str) -> Rejected:
    return Rejected([Problem(path, field, message)])
