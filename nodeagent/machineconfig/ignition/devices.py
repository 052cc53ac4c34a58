"""Validity of disks, partitions, RAID arrays, LUKS volumes and file systems.

The agent changes none of them on a running node; they are checked so that a config which is valid Ignition stays so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from nodeagent.machineconfig.ignition import resource, url
from nodeagent.machineconfig.ignition.findings import Findings, Place
from nodeagent.machineconfig.ignition.model import (
    Clevis,
    ClevisCustom,
    Disk,
    Filesystem,
    Luks,
    Partition,
    Raid,
    Storage,
    Tang,
)
from nodeagent.machineconfig.ignition.storage import path

_GUID: Final = re.compile(r"(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})?")
_PARTITION_LABEL: Final = 36  # bytes
_LUKS_LABEL: Final = 47  # bytes
_FILESYSTEM_LABEL: Final = {"ext4": 16, "btrfs": 256, "xfs": 12, "swap": 15, "vfat": 11, "none": None}  # bytes
_STRIPED: Final = ("linear", "raid0", "0", "stripe")
_REDUNDANT: Final = ("raid1", "1", "mirror", "raid4", "4", "raid5", "5", "raid6", "6", "raid10", "10")
_PINS: Final = ("tpm2", "tang", "sss")


def validate(storage: Storage, findings: Findings) -> None:
    """Find what is wrong with each device."""
    for index, disk in enumerate(storage.disks):
        _disk(disk, findings.at(f".storage.disks[{index}]", f"disk:{disk.key}"))
    for index, array in enumerate(storage.raid):
        _raid(array, findings.at(f".storage.raid[{index}]", f"raid:{array.key}"))
    for index, volume in enumerate(storage.luks):
        _luks(volume, findings.at(f".storage.luks[{index}]", f"luks:{volume.key}"))
    disks = {disk.device: disk for disk in storage.disks}
    for index, filesystem in enumerate(storage.filesystems):
        place = findings.at(f".storage.filesystems[{index}]", f"filesystem:{filesystem.key}")
        _filesystem(filesystem, place)
        _overwritten(filesystem, disks.get(filesystem.device), place)


def _disk(disk: Disk, place: Place) -> None:
    path(disk.device, place.at(".device"))
    for index, partition in enumerate(disk.partitions):
        _partition(partition, place.at(f".partitions[{index}]"))
    _labels(disk.partitions, place)
    _overlaps(disk.partitions, place)
    kept = any(partition.should_exist is False for partition in disk.partitions)
    if kept and any(partition.number == 0 for partition in disk.partitions):
        message = "one partition must not exist and another takes the next free number"
        place.problem(".partitions", message, "give every partition its number")


def _partition(partition: Partition, place: Place) -> None:
    described = (partition.label, partition.start_mib, partition.size_mib)
    identified = partition.type_guid or partition.guid
    if partition.should_exist is False and (identified or any(part is not None for part in described)):
        place.problem("", "must not exist and is described all the same", "leave only its number")
    if partition.number == 0 and partition.label is None:
        place.problem("", "has neither a number nor a label", "give one of them")
    _partition_label(partition.label or "", place)
    for key, guid in (("guid", partition.guid), ("typeGuid", partition.type_guid)):
        if not _GUID.fullmatch(guid or ""):
            place.problem(f".{key}", "is no GUID", "write it as 01234567-89AB-CDEF-EDCB-A98765432101")


def _partition_label(label: str, place: Place) -> None:
    if len(label.encode()) > _PARTITION_LABEL:
        place.problem(".label", f"is longer than {_PARTITION_LABEL} bytes", "shorten it")
    if ":" in label:
        place.problem(".label", "holds a colon, where sgdisk would cut it off", "choose another label")


def _labels(partitions: Sequence[Partition], place: Place) -> None:
    seen = set[str]()
    for index, partition in enumerate(partitions):
        if partition.label is not None and partition.label in seen:
            place.problem(f".partitions[{index}].label", "is given twice", "choose another")
        if partition.label is not None:
            seen.add(partition.label)


def _overlaps(partitions: Sequence[Partition], place: Place) -> None:
    placed = sorted(
        (partition.start_mib, _end(partition.start_mib, partition.size_mib), index)
        for index, partition in enumerate(partitions)
        if partition.start_mib and partition.size_mib is not None
    )
    for (_, end, _), (start, _, index) in pairwise(placed):
        if start <= end:
            place.problem(f".partitions[{index}]", "overlaps another partition", "move or shrink one of them")


def _end(start: int, size: int) -> int:
    """The last MiB of a partition; of one that takes what is free only the first is certain."""
    return start + size - 1 if size else start


def _raid(array: Raid, place: Place) -> None:
    if not array.level:
        place.problem(".level", "is missing", "write raid1, for example")
    elif array.level not in (*_STRIPED, *_REDUNDANT):
        place.problem(".level", "is no RAID level", "write linear, raid0, raid1, raid4, raid5, raid6 or raid10")
    elif array.level in _STRIPED and array.spares:
        place.problem(".spares", f"an array of level {array.level} has no use for spares", "leave them out")
    if not array.devices:
        place.problem(".devices", "is empty", "name the devices of the array")
    for index, device in enumerate(array.devices):
        path(device, place.at(f".devices[{index}]"))


def _luks(volume: Luks, place: Place) -> None:
    if "/" in volume.name:
        place.problem(".name", "holds a slash", "choose another name")
    if len((volume.label or "").encode()) > _LUKS_LABEL:
        place.problem(".label", f"is longer than {_LUKS_LABEL} bytes", "shorten it")
    path(volume.device or "", place.at(".device"))
    resource.validate(volume.key_file, place.at(".keyFile"))
    _clevis(volume.clevis, place.at(".clevis"))


def _clevis(clevis: Clevis, place: Place) -> None:
    if clevis.custom.pin and (clevis.tang or clevis.tpm2 or clevis.threshold):
        place.problem("", "has a custom pin beside tang, tpm2 or threshold", "keep either")
    _custom(clevis.custom, place.at(".custom"))
    for index, server in enumerate(clevis.tang):
        _tang(server, place.at(f".tang[{index}]"))


def _custom(custom: ClevisCustom, place: Place) -> None:
    if not (custom.pin or custom.config or custom.needs_network):
        return
    if not custom.pin:
        place.problem(".pin", "is missing", "write tpm2, tang or sss")
    elif custom.pin not in _PINS:
        place.problem(".pin", "is unknown", "write tpm2, tang or sss")
    if not custom.config:
        place.problem(".config", "is missing", "give the pin its configuration")


def _tang(server: Tang, place: Place) -> None:
    try:
        if url.parse(server.url).scheme not in ("http", "https"):
            place.problem(".url", "is no http or https URL", "write https://…")
    except ValueError as error:
        place.problem(".url", str(error), "write https://…")
    if not server.thumbprint:
        place.problem(".thumbprint", "is missing", "give the server's thumbprint")
    if server.advertisement and not _is_json(server.advertisement):
        place.problem(".advertisement", "is no JSON", "paste what the server advertises")


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _filesystem(filesystem: Filesystem, place: Place) -> None:
    path(filesystem.device, place.at(".device"))
    if filesystem.path:
        path(filesystem.path, place.at(".path"))
    if filesystem.format:
        _format(filesystem.format, filesystem.label or "", place)
    elif _is_described(filesystem):
        place.problem(".format", "is missing", "write ext4, btrfs, xfs, swap, vfat or none")


def _is_described(filesystem: Filesystem) -> bool:
    texts = filesystem.path or filesystem.label or filesystem.uuid
    return bool(texts or filesystem.wipe_filesystem or filesystem.mount_options or filesystem.options)


def _format(name: str, label: str, place: Place) -> None:
    if name not in _FILESYSTEM_LABEL:
        place.problem(".format", "is unknown", "write ext4, btrfs, xfs, swap, vfat or none")
        return
    limit = _FILESYSTEM_LABEL[name]
    if limit is not None and len(label.encode()) > limit:
        place.problem(".label", f"is longer than the {limit} bytes that {name} has room for", "shorten it")


def _overwritten(filesystem: Filesystem, disk: Disk | None, place: Place) -> None:
    if disk is None:
        return
    if disk.partitions:
        place.warn(".device", "is also partitioned by this config; the partitions will be overwritten")
    elif disk.wipe_table and not filesystem.wipe_filesystem:
        place.warn(".device", "has its partition table wiped, which wipes the file system as well")
