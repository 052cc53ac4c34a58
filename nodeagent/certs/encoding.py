"""Takes files apart into DER: PEM (RFC 7468, as lax as OpenSSL and Go) or plain DER, whatever stands around it.

Invariant: total on arbitrary bytes, in time linear in their number. Text before, between and after the blocks, line
ends of any kind and a byte order mark mean nothing. A block that cannot be decoded is told of, never quoted.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

CERTIFICATE_LABEL: Final = "CERTIFICATE"  # the only one that Kubernetes reads
KEY_LABELS: Final = frozenset({"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY"})
ENCRYPTED_LABEL: Final = "ENCRYPTED PRIVATE KEY"
DER_LABEL: Final = ""

_BOUNDARY: Final = re.compile(rb"-----(BEGIN|END) ([A-Z0-9 .+-]{1,64}?)-----")
_HEADER: Final = re.compile(rb"[A-Za-z0-9-]+:")
_SEQUENCE: Final = 0x30  # every certificate and every key begins as a SEQUENCE (X.690, 8.9)


@dataclass(frozen=True)
class Block:
    """One encoded object; `label` is PEM's (DER_LABEL in a file of plain DER). Its bytes may be a key: never shown.

    `encrypted` is PEM's own encryption (RFC 1421, Proc-Type: 4,ENCRYPTED) or PKCS#8's.
    """

    label: str
    der: bytes = field(repr=False)
    encrypted: bool = False

    @property
    def is_certificate(self) -> bool:
        return self.label == CERTIFICATE_LABEL

    @property
    def is_key(self) -> bool:
        return self.label in KEY_LABELS or self.label == ENCRYPTED_LABEL


@dataclass(frozen=True)
class Blocks:
    """What a file holds, in its order, and what is wrong with the rest."""

    blocks: tuple[Block, ...] = ()
    problems: tuple[str, ...] = ()


def take_apart(data: bytes) -> Blocks:
    """The blocks of a file; a file of plain DER is one block."""
    if data[:1] == bytes([_SEQUENCE]) and b"-----BEGIN " not in data:
        return Blocks((Block(DER_LABEL, data),))
    blocks, problems = list[Block](), list[str]()
    for each in _pem_blocks(data):
        (blocks if isinstance(each, Block) else problems).append(each)  # type: ignore[arg-type]
    return Blocks(tuple(blocks), tuple(problems))


def _pem_blocks(data: bytes) -> Iterator[Block | str]:
    """Each block, or a sentence on one that is none. An END that nothing began means nothing."""
    began: re.Match[bytes] | None = None
    number = 0
    for boundary in _BOUNDARY.finditer(data):
        if boundary[1] == b"BEGIN":
            if began is not None:
                yield _unended(number, began)
            began, number = boundary, number + 1
        elif began is not None:
            yield _block(number, data, began, boundary)
            began = None
    if began is not None:
        yield _unended(number, began)


def _unended(number: int, began: re.Match[bytes]) -> str:
    return f"block {number} ({_label(began)}) has no end; the file may have been cut off"


def _block(number: int, data: bytes, began: re.Match[bytes], ended: re.Match[bytes]) -> Block | str:
    label = _label(began)
    where = f"block {number} ({label})"
    if label != _label(ended):
        return f"{where} ends as {_label(ended)}"
    headers, text = _headers(data[began.end() : ended.start()])
    try:
        der = base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        return f"{where} is no base64"
    return Block(label, der, label == ENCRYPTED_LABEL or b"ENCRYPTED" in headers) if der else f"{where} is empty"


def _headers(body: bytes) -> tuple[bytes, bytes]:
    """Headers (RFC 1421, section 4.6) and base64 text of a block's body."""
    lines = body.strip().splitlines()
    if not lines or not _HEADER.match(lines[0]):
        return b"", body
    end = next((number for number, line in enumerate(lines) if not line.strip()), len(lines))
    return b"\n".join(lines[:end]), b"\n".join(lines[end:])


def _label(boundary: re.Match[bytes]) -> str:
    return boundary[2].decode("ascii")
