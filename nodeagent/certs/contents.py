"""From bytes to certificates and keys.

Invariant: total on arbitrary bytes; whatever is no certificate or key is a problem in words. Nothing is imported for
bytes that hold neither.
"""

from __future__ import annotations

from nodeagent.certs.encoding import DER_LABEL, Block, take_apart
from nodeagent.certs.facts import Certificate, Contents, Key


def contents(data: bytes) -> Contents:
    """The certificates and keys in `data`, PEM or DER."""
    if not data.strip():
        return Contents(empty=True)
    parts = take_apart(data)
    certificates, keys, problems = list[Certificate](), list[Key](), list(parts.problems)
    for number, block in enumerate(parts.blocks, 1):
        try:
            found = _read(block)
        except ValueError as error:
            problems.append(f"object {number} {error}")
            continue
        if isinstance(found, Certificate):
            certificates.append(found)
        elif found is not None:
            keys.append(found)
    labels = tuple(block.label for block in parts.blocks if not _known(block))
    return Contents(tuple(certificates), tuple(keys), labels, tuple(problems))


def _known(block: Block) -> bool:
    return block.is_certificate or block.is_key or block.label == DER_LABEL


def _read(block: Block) -> Certificate | Key | None:
    if block.encrypted:
        return Key(encrypted=True)
    if not _known(block):
        return None
    from nodeagent.certs import x509  # noqa: PLC0415 - cryptography, by need

    if block.is_certificate:
        return x509.certificate(block.der)
    return x509.key(block.der) if block.is_key else _plain(block.der)


def _plain(der: bytes) -> Certificate | Key:
    """A file of plain DER says nothing of what it is."""
    from nodeagent.certs import x509  # noqa: PLC0415 - as above

    for read in (x509.certificate, x509.key):
        try:
            return read(der)
        except ValueError:
            continue
    raise ValueError("is neither PEM nor a certificate or key in DER")
