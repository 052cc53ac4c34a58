"""What a keepalived.conf that somebody else wrote lacks to work with the agent. It is told and left to them."""

from __future__ import annotations

from collections.abc import Iterator

from nodeagent.errors import Problem
from nodeagent.vip.configuration import FIFO_KEYWORDS, Configuration, Instance

_SLOW = 1.0  # seconds between adverts from which on a fail-over takes several seconds


def lacking(found: Configuration, track_file: str, guard: str, fifo: str) -> tuple[Problem, ...]:
    """By file and line, with the lines to add; () for a configuration that has all of it."""
    return tuple(sorted({*_general(found, fifo), *(each for one in found.instances for each in _instance(one))})) + (
        _tracking(found, track_file, guard)
    )


def _general(found: Configuration, fifo: str) -> Iterator[Problem]:
    if not found.instances:
        yield Problem(found.path, "", "has no vrrp_instance", "there is no VIP to look after")
    if not found.tells(fifo):
        yield Problem(found.path, "", f"does not tell of transitions at {fifo}", _fifo_advice(found, fifo))


def _fifo_advice(found: Configuration, fifo: str) -> str:
    """The line to add. Two programs would take each other's lines out of one FIFO, so nobody else's is proposed."""
    taken = {each.keyword for each in found.fifos}
    free = [keyword for keyword in FIFO_KEYWORDS if keyword not in taken]
    theirs = " and ".join(map(str, found.fifos))
    if not free:
        return f"{theirs} are others', and there is no third: leave it, addresses and keepalived's JSON tell as well"
    return f"add {free[0]} {fifo} to global_defs" + (f", beside {theirs}, which is another's" if theirs else "")


def _instance(each: Instance) -> Iterator[Problem]:
    path, line = each.where.path, f"line {each.where.line}"
    if not each.peers:
        advice = "add unicast_peer: others on the link may use the same VRID"
        yield Problem(path, line, f"{each.name} sends to everybody on its link", advice)
    if each.version < 3 and each.advert_interval >= _SLOW:
        advice = f"vrrp_version 3 and advert_int 0.3 take less than a second, not {each.takeover:.1f} s"
        yield Problem(path, line, f"{each.name} speaks VRRP version {each.version}", advice)


def _tracking(found: Configuration, track_file: str, guard: str) -> tuple[Problem, ...]:
    names = {each.name for each in found.track_files if each.path == track_file}
    blind = [each for each in found.instances if not names & set(each.track_files)]
    if not blind:
        return ()
    lines = (
        f'track_file nodeagent {{ file "{track_file}" }}; vrrp_script nodeagent_guard {{ script "{guard}" interval 2 '
        "weight -1 user root }; in the instance track_file { nodeagent } track_script { nodeagent_guard }"
    )
    named = ", ".join(each.name for each in blind)
    return (Problem(found.path, "", f"{named} does not track {track_file}, so health moves nothing", f"add {lines}"),)
