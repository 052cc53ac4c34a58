"""Looks at the node for drift: everything that was applied, and everything that would undo it from elsewhere.

Reads only. A look can be narrow (some paths, after an event) or whole (units, accounts and boot entries included).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from nodeagent.changes.files import Actor
from nodeagent.changes.units import UNIT_DIRECTORY
from nodeagent.machineconfig import accounts
from nodeagent.machineconfig.applied import Applied
from nodeagent.machineconfig.bootconfig import boot_files, misconfigured
from nodeagent.machineconfig.drift import UNIT_PREFIX, Finding, Kind, compare
from nodeagent.machineconfig.links import enablement_links, link_directories, links_to
from nodeagent.machineconfig.node import TABLE_LIMIT, Node

_SHADOW = "/etc/shadow"
_RUNTIME_UNITS = "/run/systemd/system"
_GENERATED = "/run/systemd/generator"  # made anew whenever systemd reads its unit files: systemd.generator(7)


def paths(applied: Applied) -> tuple[str, ...]:
    """All paths that a fingerprint sweep must cover."""
    return tuple(sorted(dict.fromkeys((*applied.entries, *applied.removed))))  # the state file has them sorted already


def look_at_paths(node: Node, applied: Applied, wanted: Collection[str]) -> list[Finding]:
    """Findings of single managed paths."""
    return compare(applied, node.states(sorted(wanted)))


def look_at_rest(node: Node, applied: Applied) -> list[Finding]:
    """Findings that no single managed path shows: units, accounts, kernel arguments."""
    found = [*_dropins(node, applied), *_enablement(node, applied), *_masks(node, applied)]
    found += _account(node, applied)
    found += misconfigured(node, applied)
    return sorted(found)


def unwanted(node: Node, applied: Applied) -> tuple[str, ...]:
    """Paths that others have added and that undo what was applied: dropins, enablement links and masks."""
    found = (*_dropins(node, applied), *_enablement(node, applied), *_masks(node, applied))
    return tuple(sorted({finding.path for finding in found}))


def look_at_units(node: Node, applied: Applied) -> list[Finding]:
    """Managed units whose files systemd has not read since they changed; asks systemd, so it costs a process."""
    states = node.unit_states(sorted(applied.units))
    return [
        Finding(
            UNIT_PREFIX + name,
            Kind.DAEMON_RELOAD,
            "unit files as systemd knows them",
            "changed since systemd read them",
        )
        for name, state in sorted(states.items())
        if state.needs_daemon_reload
    ]


def rest_paths(node: Node, applied: Applied) -> tuple[str, ...]:
    """Paths whose change must wake a look at the rest."""
    watched = [_SHADOW] if applied.account.password_digest else []
    watched += [_GENERATED] if applied.units else []
    keys = _authorized_keys(node, applied.account.user)
    return (*watched, *([keys] if keys and applied.account.keys else ()), *boot_files(node, applied))


def rest_directories(node: Node, applied: Applied) -> tuple[str, ...]:
    """Directories in which any new name must wake a look at the rest: for dropins, masks and enablement links."""
    if not applied.units:
        return ()
    bases = (UNIT_DIRECTORY, _RUNTIME_UNITS)
    dropins = (f"{base}/{unit}.d" for unit in sorted(applied.units) for base in bases)
    return (*bases, *dropins, *link_directories(node))


def concerns_units(path: str) -> bool:
    """Whether a change of `path` may be one that systemd has to read, or has just read."""
    return path == _GENERATED or path.startswith((UNIT_PREFIX, f"{UNIT_DIRECTORY}/", f"{_RUNTIME_UNITS}/"))


def dropins(node: Node, units: Collection[str]) -> Iterator[tuple[str, str]]:
    """Unit and path of each dropin that stands on the node for one of `units`, in /etc and /run."""
    for unit in sorted(units):
        for base in (UNIT_DIRECTORY, _RUNTIME_UNITS):
            directory = f"{base}/{unit}.d"
            for name in node.entries(directory):
                if name.endswith(".conf") and not name.startswith("."):
                    yield unit, f"{directory}/{name}"


def _dropins(node: Node, applied: Applied) -> Iterator[Finding]:
    known = {*applied.entries, *applied.foreign_dropins}
    for unit, path in dropins(node, applied.units):
        if path not in known:
            yield Finding(path, Kind.DROPIN, "absent", f"a dropin of {unit} that no MachineConfig brings")


def _enablement(node: Node, applied: Applied) -> Iterator[Finding]:
    disabled = [name for name, unit in sorted(applied.units.items()) if unit.enabled is False]
    if not disabled:
        return
    links = enablement_links(node)
    for name in disabled:
        for path in links_to(name, links):
            if path not in applied.entries:
                yield Finding(path, Kind.ENABLEMENT, f"{name} disabled", f"link to {links[path]}")


def _masks(node: Node, applied: Applied) -> Iterator[Finding]:
    unmasked = [name for name, unit in sorted(applied.units.items()) if not unit.mask]
    candidates = [f"{base}/{name}" for name in unmasked for base in (UNIT_DIRECTORY, _RUNTIME_UNITS)]
    for path, state in sorted(node.states(candidates).items()):
        if state.target == "/dev/null" and path not in applied.entries:
            yield Finding(path, Kind.MASK, "not masked", "link to /dev/null")


def _account(node: Node, applied: Applied) -> Iterator[Finding]:
    account = applied.account
    if account.keys:
        yield from _keys(node, applied)
    if account.password_digest:
        shadow = node.read(_SHADOW, TABLE_LIMIT) or b""
        actual = accounts.digest(accounts.password_of(shadow, account.user) or "")
        if actual != account.password_digest:
            yield Finding(
                _SHADOW, Kind.PASSWORD, f"password hash of {account.user} as applied", "another password hash"
            )


def _authorized_keys(node: Node, user: str) -> str:
    """Path of the user's authorized_keys; "" if there is no such user."""
    found = accounts.find_user(node.read("/etc/passwd", TABLE_LIMIT) or b"", user)
    return f"{found.home.rstrip('/')}/.ssh/authorized_keys" if found else ""


def _keys(node: Node, applied: Applied) -> Iterator[Finding]:
    user, keys = applied.account.user, applied.account.keys
    found = accounts.find_user(node.read("/etc/passwd", TABLE_LIMIT) or b"", user)
    if found is None:
        yield Finding("/etc/passwd", Kind.MISSING, f"user {user}", "no such user")
        return
    path = f"{found.home.rstrip('/')}/.ssh/authorized_keys"
    try:
        existing = node.read(path, TABLE_LIMIT, Actor(found.uid, found.gid)) or b""
    except OSError as error:
        yield Finding(path, Kind.SSH_KEYS, f"{len(keys)} keys", f"cannot be read as {user}: {error.strerror}")
        return
    differing = [f"without {accounts.fingerprint(key)}" for key in accounts.missing_keys(existing, keys)]
    differing += [
        f"line {line.line_number}: {line.fingerprint} {line.comment}".rstrip()
        for line in accounts.foreign_lines(existing, keys)
    ]
    if differing:
        yield Finding(path, Kind.SSH_KEYS, "the declared keys and no others", "; ".join(differing))
