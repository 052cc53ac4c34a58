"""Ignition 3.4.0 as values: each class is one object of the specification, each field one key of it.

A scalar that may be left out is None then; a list is a tuple, an object is an empty instance. Names, paths and
other scalars that Ignition requires are "" (or 0) when they are missing, for validation to find. What may hold a
secret stays out of reprs. Field metadata drives the decoder, the search for repeated entries and the merge, so that
a rule such as "files, directories and links share one space of paths" is stated once, here.

Source: Ignition configuration specification v3.4.0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

VERSION: Final = "3.4.0"


def entries(*, space: str = "", repeats: bool = False) -> Any:
    """A list, empty if left out. Its entries may repeat, or have keys unique in `space` (the list itself if "").

    A string is its own key, any other entry has a `key`. A merge concatenates lists that may repeat.
    """
    return field(default=(), metadata={"space": space, "repeats": repeats})


def secret() -> Any:
    """A scalar, None if left out, that is kept out of reprs."""
    return field(default=None, repr=False)


def named(key: str) -> Any:
    """A scalar, None if left out, whose JSON name is not its own in camel case."""
    return field(default=None, metadata={"key": key})


@dataclass(frozen=True, slots=True)
class HTTPHeader:
    """A header to fetch with; a `value` of None removes an inherited one."""

    name: str = ""
    value: str | None = secret()

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Verification:
    """`hash` is "sha256-<hex>" or "sha512-<hex>" of the contents after decompression."""

    hash: str | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    """Contents: a URL (data, http, https, tftp, s3, arn, gs) and how to read what it yields."""

    source: str | None = secret()
    compression: str | None = None
    http_headers: tuple[HTTPHeader, ...] = entries()
    verification: Verification = Verification()

    @property
    def key(self) -> str:
        return self.source or ""


@dataclass(frozen=True, slots=True)
class IgnitionConfig:
    """Further configs, to merge into this one or to use in its place."""

    merge: tuple[Resource, ...] = entries()
    replace: Resource = Resource()


@dataclass(frozen=True, slots=True)
class Proxy:
    http_proxy: str | None = secret()
    https_proxy: str | None = secret()
    no_proxy: tuple[str, ...] = entries()


@dataclass(frozen=True, slots=True)
class TLS:
    certificate_authorities: tuple[Resource, ...] = entries()


@dataclass(frozen=True, slots=True)
class Security:
    tls: TLS = TLS()


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds; 0 is no limit."""

    http_response_headers: int | None = None
    http_total: int | None = None


@dataclass(frozen=True, slots=True)
class Ignition:
    """The head of a config."""

    version: str = ""
    config: IgnitionConfig = IgnitionConfig()
    proxy: Proxy = Proxy()
    security: Security = Security()
    timeouts: Timeouts = Timeouts()


@dataclass(frozen=True, slots=True)
class KernelArguments:
    should_exist: tuple[str, ...] = entries(space="arguments")
    should_not_exist: tuple[str, ...] = entries(space="arguments")


@dataclass(frozen=True, slots=True)
class User:
    mistakes: ClassVar = {
        "user": "name",
        "username": "name",
        "sshKeys": "sshAuthorizedKeys",
        "password": "passwordHash",
    }

    name: str = ""
    ssh_authorized_keys: tuple[str, ...] = entries()
    password_hash: str | None = secret()
    gecos: str | None = None
    groups: tuple[str, ...] = entries()
    home_dir: str | None = None
    no_create_home: bool | None = None
    no_log_init: bool | None = None
    no_user_group: bool | None = None
    primary_group: str | None = None
    shell: str | None = None
    should_exist: bool | None = None
    system: bool | None = None
    uid: int | None = None

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Group:
    mistakes: ClassVar = {"group": "name", "groupname": "name"}

    name: str = ""
    gid: int | None = None
    password_hash: str | None = secret()
    should_exist: bool | None = None
    system: bool | None = None

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Passwd:
    users: tuple[User, ...] = entries()
    groups: tuple[Group, ...] = entries()


@dataclass(frozen=True, slots=True)
class Owner:
    """A user or group, by numeric id or by name."""

    id: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """What files, directories and links have in common."""

    mistakes: ClassVar = {"name": "path", "owner": "user", "permissions": "mode", "content": "contents"}

    path: str = ""
    user: Owner = Owner()
    group: Owner = Owner()
    overwrite: bool | None = None

    @property
    def key(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class File(Node):
    """`mode` holds permission and special bits (0 to 0o7777)."""

    mode: int | None = None
    contents: Resource = Resource()
    append: tuple[Resource, ...] = entries(repeats=True)


@dataclass(frozen=True, slots=True)
class Directory(Node):
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class Link(Node):
    hard: bool | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Partition:
    """`number` 0 is the next free one; sizes and offsets are in MiB, 0 is as much as there is."""

    number: int = 0
    label: str | None = None
    guid: str | None = None
    type_guid: str | None = None
    start_mib: int | None = named("startMiB")
    size_mib: int | None = named("sizeMiB")
    resize: bool | None = None
    should_exist: bool | None = None
    wipe_partition_entry: bool | None = None

    @property
    def key(self) -> str:
        if self.number:
            return f"number:{self.number}"
        return "" if self.label is None else f"label:{self.label}"


@dataclass(frozen=True, slots=True)
class Disk:
    device: str = ""
    partitions: tuple[Partition, ...] = entries()
    wipe_table: bool | None = None

    @property
    def key(self) -> str:
        return self.device


@dataclass(frozen=True, slots=True)
class Filesystem:
    device: str = ""
    format: str | None = None
    label: str | None = None
    mount_options: tuple[str, ...] = entries(repeats=True)
    options: tuple[str, ...] = entries(repeats=True)
    path: str | None = None
    uuid: str | None = None
    wipe_filesystem: bool | None = None

    @property
    def key(self) -> str:
        return self.device


@dataclass(frozen=True, slots=True)
class Tang:
    url: str = ""
    thumbprint: str | None = None
    advertisement: str | None = None

    @property
    def key(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class ClevisCustom:
    pin: str | None = None
    config: str | None = secret()
    needs_network: bool | None = None


@dataclass(frozen=True, slots=True)
class Clevis:
    custom: ClevisCustom = ClevisCustom()
    tang: tuple[Tang, ...] = entries()
    threshold: int | None = None
    tpm2: bool | None = None


@dataclass(frozen=True, slots=True)
class Luks:
    name: str = ""
    device: str | None = None
    label: str | None = None
    uuid: str | None = None
    key_file: Resource = Resource()
    clevis: Clevis = Clevis()
    options: tuple[str, ...] = entries(repeats=True)
    open_options: tuple[str, ...] = entries()
    discard: bool | None = None
    wipe_volume: bool | None = None

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Raid:
    name: str = ""
    level: str | None = None
    devices: tuple[str, ...] = entries()
    options: tuple[str, ...] = entries(repeats=True)
    spares: int | None = None

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Storage:
    directories: tuple[Directory, ...] = entries(space="paths")
    disks: tuple[Disk, ...] = entries()
    files: tuple[File, ...] = entries(space="paths")
    filesystems: tuple[Filesystem, ...] = entries()
    links: tuple[Link, ...] = entries(space="paths")
    luks: tuple[Luks, ...] = entries()
    raid: tuple[Raid, ...] = entries()


@dataclass(frozen=True, slots=True)
class Dropin:
    """`contents` None inherits, "" clears."""

    name: str = ""
    contents: str | None = secret()

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Unit:
    """`enabled` None leaves the unit to the node's presets; `contents` None inherits, "" clears."""

    name: str = ""
    enabled: bool | None = None
    mask: bool | None = None
    contents: str | None = secret()
    dropins: tuple[Dropin, ...] = entries()

    @property
    def key(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Systemd:
    units: tuple[Unit, ...] = entries()


@dataclass(frozen=True, slots=True)
class Config:
    """A whole Ignition config."""

    ignition: Ignition = Ignition()
    kernel_arguments: KernelArguments = KernelArguments()
    passwd: Passwd = Passwd()
    storage: Storage = Storage()
    systemd: Systemd = Systemd()


BLANK: Final = Config(ignition=Ignition(version=VERSION))
