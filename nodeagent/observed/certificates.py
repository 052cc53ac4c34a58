"""What certificates are made of as seen: files behind links, what listens on local ports, requests for signatures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Standing(StrEnum):
    """What stands at a path once its links are followed. UNREADABLE: it is there, and `problem` says what is wrong."""

    ABSENT = "absent"
    FILE = "file"
    DANGLING = "dangling"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class PkiFile:
    """A path that may hold a certificate, a key or a kubeconfig.

    `target` is where the path leads inside the root if it is a symbolic link, else "". `mode` holds the permission bits
    (07777) and `names` the number of hard links of the file itself. `identity` changes whenever the file or its bytes
    change: (device, inode, size, mtime ns, ctime ns, mode, uid, gid).
    """

    path: str
    standing: Standing
    target: str = ""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    names: int = 1
    identity: tuple[int, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Endpoint:
    """Where to ask for a certificate: a numeric local address, a TCP port, and the server name of the handshake.

    `server_name` "" asks without the extension (RFC 6066, section 3), for what the server serves by default.
    """

    address: str
    port: int
    server_name: str = ""

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


@dataclass(frozen=True)
class Served:
    """The leaf certificate (DER) that an endpoint served, or why there is none: `closed` if nothing listens there."""

    endpoint: Endpoint
    der: bytes = b""
    closed: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Asked:
    """What a request asks to have signed.

    `subject` are its parts (attribute, value), `sans` and `usages` as of a Certificate, `others` the object identifiers
    of extensions besides those. `genuine`: the request is signed with the key that it holds.
    """

    subject: tuple[tuple[str, str], ...]
    sans: tuple[str, ...]
    usages: tuple[str, ...]
    is_ca: bool
    others: tuple[str, ...]
    key_type: str
    genuine: bool
