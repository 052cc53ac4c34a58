"""Files, directories and links of the storage section."""

from __future__ import annotations

from nodeagent.machineconfig.applied import Subject
from nodeagent.machineconfig.contents import LIMIT
from nodeagent.machineconfig.desired import Directory, File, Link
from nodeagent.machineconfig.ignition import model
from nodeagent.machineconfig.resolve.context import Context
from nodeagent.observed.files import FileType

_FILE_MODE = 0o644


def resolve(context: Context) -> None:
    """Declare everything of the storage section that is a path on a mounted file system."""
    declared = context.rendered.config.storage
    for directory in declared.directories:
        _directory(context, directory)
    for file in declared.files:
        _file(context, file)
    for link in declared.links:
        _link(context, link)


def _directory(context: Context, directory: model.Directory) -> None:
    key = f"directory:{directory.path}"
    uid, gid = context.owner(key, directory.user, directory.group)
    context.declare(
        directory.path,
        Directory(subject=Subject.DIRECTORY, sources=context.sources(key), mode=directory.mode, uid=uid, gid=gid),
        key,
    )


def _file(context: Context, file: model.File) -> None:
    key = f"file:{file.path}"
    data = _data(context, key, file)
    default_uid, default_gid = context.node.owner
    uid, gid = context.owner(key, file.user, file.group)
    if data is not None:  # a file that we fill has a mode and an owner; one that we merely want to exist keeps its own
        uid, gid = default_uid if uid is None else uid, default_gid if gid is None else gid
    mode = _FILE_MODE if file.mode is None and data is not None else file.mode
    overwrite = file.overwrite is not False or bool(file.append)
    sources = context.sources(key)
    declared = File(subject=Subject.FILE, sources=sources, mode=mode, uid=uid, gid=gid, data=data, overwrite=overwrite)
    context.declare(file.path, declared, key)


def _data(context: Context, key: str, file: model.File) -> bytes | None:
    """The bytes that the file is to have; None if any will do."""
    if not file.contents.source and not file.append:
        return None
    base = context.contents(key, "contents", file.contents) if file.contents.source else _base(context, key, file.path)
    appended = (context.contents(key, f"append[{index}]", part) for index, part in enumerate(file.append))
    return base + b"".join(appended)


def _base(context: Context, key: str, path: str) -> bytes:
    """What to append to: the file as it was before the agent first appended to it."""
    entry = context.applied.entries.get(path)
    if entry is None:
        try:
            return context.node.read(path, LIMIT) or b""
        except OSError as error:
            context.problem(key, "append", f"cannot append to {path}: {error.strerror}")
            return b""
    if entry.original is None or entry.original.trace.type is not FileType.FILE:
        return b""
    return context.node.original(entry.original.trace.digest)


def _link(context: Context, link: model.Link) -> None:
    key = f"link:{link.path}"
    uid, gid = context.owner(key, link.user, link.group)
    declared = Link(
        subject=Subject.LINK,
        sources=context.sources(key),
        uid=uid,
        gid=gid,
        target=link.target or "",
        hard=bool(link.hard),
        overwrite=link.overwrite is not False,
    )
    if declared.hard and not _linkable(context, declared.target):
        context.problem(key, "target", f"{declared.target} is no regular file, and only those can have a hard link")
    context.declare(link.path, declared, key)


def _linkable(context: Context, target: str) -> bool:
    if isinstance(context.paths.get(target), File):
        return True
    return context.node.states([target])[target].type is FileType.FILE
