"""The configured user's SSH keys and password: parts of files that the agent shares with others.

The user is never created, and lines that the agent did not write stay: nobody is locked out. The keys' file is read and
written in the user's own name, so a link or a special file that the user puts there leads nowhere.
"""

from __future__ import annotations

from nodeagent.changes.files import Actor
from nodeagent.machineconfig import accounts
from nodeagent.machineconfig.applied import Account, Subject
from nodeagent.machineconfig.desired import Directory, File
from nodeagent.machineconfig.ignition.model import User
from nodeagent.machineconfig.node import TABLE_LIMIT
from nodeagent.machineconfig.resolve.context import Context
from nodeagent.observed.files import FileType

SHADOW = "/etc/shadow"


def resolve(context: Context, name: str, today: int) -> Account:
    """Declare the files that hold the user's keys and password; returns what the agent owns of them from then on."""
    declared = next((user for user in context.rendered.config.passwd.users if user.name == name), User(name=name))
    before = context.applied.account
    keys = declared.ssh_authorized_keys
    if not keys and not before.keys and declared.password_hash is None and not before.password_digest:
        return Account()
    found = accounts.find_user(context.table("/etc/passwd"), name)
    if found is None:
        if keys or declared.password_hash is not None:
            advice = "create the user first, or set `user` to one that exists"
            context.problem(
                f"user:{name}", "name", f"there is no user {name!r} on this node, and none is created", advice
            )
        return Account()
    first = _keys(context, found, keys) if keys or before.keys else ()
    password = _password(context, name, declared.password_hash, today)
    return Account(name, keys, first, *password)


def _keys(context: Context, found: accounts.Account, keys: tuple[str, ...]) -> tuple[str, ...]:
    """Declare the keys' file; returns those of `keys` that stood there before the agent came."""
    directory = f"{found.home.rstrip('/')}/.ssh"
    path, key = f"{directory}/authorized_keys", f"user:{found.name}"
    actor = Actor(found.uid, found.gid)
    try:
        existing = context.node.read(path, TABLE_LIMIT, actor)
    except OSError as error:
        message = f"{path} cannot be read as {found.name}: {error.strerror}"
        context.problem(key, "sshAuthorizedKeys", message, "put a regular file there that belongs to the user")
        return ()
    before = context.applied.account
    ours = tuple(each for each in before.keys if each not in before.found)
    missing = accounts.missing_keys(existing or b"", keys)
    first = tuple(each for each in keys if each not in ours and each not in missing)
    merged = accounts.merge_keys(existing or b"", ours, keys)
    if existing is None and not merged:
        return ()
    sources = context.sources(key)
    new = existing is None
    file = File(
        subject=Subject.SSH,
        sources=sources,
        data=merged,
        mode=0o600 if new else None,
        uid=found.uid if new else None,
        gid=found.gid if new else None,
        actor=actor,
        shared=True,
    )
    context.declare(path, file, key)
    made = directory in context.applied.entries
    if directory not in context.paths and (made or _missing(context, directory)):
        mine = (0o700, actor.uid, actor.gid)
        context.paths[directory] = _directory(*mine, actor, sources)
    return first


def _missing(context: Context, path: str) -> bool:
    return context.node.states([path])[path].type is FileType.ABSENT


def _directory(mode: int, uid: int, gid: int, actor: Actor, sources: tuple[str, ...]) -> Directory:
    """The user's .ssh, where it is made for the user; one that stands there is theirs to keep as it is."""
    return Directory(subject=Subject.PARENT, sources=sources, mode=mode, uid=uid, gid=gid, actor=actor)


def _password(context: Context, name: str, wanted: str | None, today: int) -> tuple[str, str]:
    """Declare the shadow file; returns the digest of the hash that is ours, and the field that stood there first."""
    before = context.applied.account
    if wanted is None and not before.password_digest:
        return "", ""
    shadow = context.node.read(SHADOW, TABLE_LIMIT)
    if shadow is None:
        context.problem(f"user:{name}", "passwordHash", f"there is no {SHADOW} on this node to set a password in")
        return "", ""
    first = before.password_before if before.password_digest else accounts.password_of(shadow, name) or ""
    field = first if wanted is None else (wanted or "*")
    edited = shadow if accounts.password_of(shadow, name) == field else _edited(context, shadow, name, field, today)
    sources = context.sources(f"user:{name}")
    context.declare(SHADOW, File(subject=Subject.PASSWORD, sources=sources, data=edited, shared=True), f"user:{name}")
    return ("", "") if wanted is None else (accounts.digest(field), first)


def _edited(context: Context, shadow: bytes, name: str, field: str, today: int) -> bytes:
    try:
        return accounts.edit_password(shadow, name, field, today)
    except ValueError as error:
        context.problem(f"user:{name}", "passwordHash", str(error))
        return shadow
