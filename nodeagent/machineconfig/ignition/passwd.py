"""Validity of users, groups and SSH keys.

Stricter than Ignition where a value would break out of its line in /etc/passwd, /etc/shadow or authorized_keys.
"""

from __future__ import annotations

import re
from typing import Final

from nodeagent.machineconfig.ignition.findings import Findings, Place
from nodeagent.machineconfig.ignition.model import Group, Passwd, User

_LINE_BREAK: Final = re.compile(r"[\r\n\0]")
_FIELD_BREAK: Final = re.compile(r"[:\r\n\0]")


def validate(passwd: Passwd, findings: Findings) -> None:
    """Find what is wrong with each user and group."""
    for index, user in enumerate(passwd.users):
        _user(user, findings.at(f".passwd.users[{index}]", f"user:{user.name}"))
    for index, group in enumerate(passwd.groups):
        _group(group, findings.at(f".passwd.groups[{index}]", f"group:{group.name}"))


def _user(user: User, place: Place) -> None:
    if not user.name:
        place.problem(".name", "is missing", "name the user whose keys these are")
    for key, value in (("name", user.name), ("passwordHash", user.password_hash)):
        if _FIELD_BREAK.search(value or ""):
            place.problem(f".{key}", "holds a colon or a line break, which would end the field", "remove it")
    for index, key in enumerate(user.ssh_authorized_keys):
        if _LINE_BREAK.search(key):
            message = "holds a line break, which would make it two lines of authorized_keys"
            place.problem(f".sshAuthorizedKeys[{index}]", message, "write one entry a key, without the line break")


def _group(group: Group, place: Place) -> None:
    for key, value in (("name", group.name), ("passwordHash", group.password_hash)):
        if _FIELD_BREAK.search(value or ""):
            place.problem(f".{key}", "holds a colon or a line break, which would end the field", "remove it")
