"""New certificates and annotations in documents that people wrote too: kubeconfigs, manifests of static pods. Pure.

Invariant: the new document says what the old one said, but for what was asked; this is checked by reading it again.
Where the text can be kept, comments and order stay; else the document is written anew as JSON, which is YAML.
"""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nodeagent.certs.node import ReadYaml

RESTARTED: Final = "nodeagent.io/restarted-for"  # annotation of a static pod: why the agent had it made anew
_METADATA: Final = re.compile(rb"^metadata:[ \t]*\r?\n((?:[ \t]+.*\r?\n|[ \t]*\r?\n)*)", re.MULTILINE)
_ANNOTATIONS: Final = re.compile(rb"^([ ]+)annotations:[ \t]*\r?\n([ ]+)", re.MULTILINE)


@dataclass(frozen=True)
class Credentials:
    """A client certificate with its key, and the CAs by which the server is checked (None: as they are); PEM."""

    certificate: bytes
    key: bytes = field(repr=False)
    authorities: bytes | None = None


def with_credentials(data: bytes, user: str, new: Credentials, read_yaml: ReadYaml) -> bytes:
    """The kubeconfig `data` with these embedded for `user`; ValueError if it has no such user.

    The CAs go to the clusters that a context of this user leads to, where they are embedded already.
    """
    document = read_yaml(data)
    wanted = copy.deepcopy(document)
    fields = _user(wanted, user)
    replaced: dict[str, str] = {}
    for name, pem in (("client-certificate-data", new.certificate), ("client-key-data", new.key)):
        replaced[str(fields.get(name, ""))] = fields[name] = _encoded(pem)
    for path in ("client-certificate", "client-key"):
        fields.pop(path, None)
    for cluster in _clusters(wanted, user) if new.authorities is not None else ():
        old = str(cluster["certificate-authority-data"])
        replaced[old] = cluster["certificate-authority-data"] = _encoded(new.authorities or b"")
    text = data
    for before, after in replaced.items():
        text = text.replace(before.encode(), after.encode()) if before else b""
    return text if _says(text, wanted, read_yaml) else _json(wanted)


def with_reference(data: bytes, user: str, path: str, read_yaml: ReadYaml) -> bytes:
    """The kubeconfig `data` with the pair of `user` in the file `path`; ValueError if it has no such user."""
    wanted = copy.deepcopy(read_yaml(data))
    fields, text = _user(wanted, user), data
    for name in ("client-certificate", "client-key"):
        embedded = str(fields.pop(f"{name}-data", ""))
        fields[name] = path
        line = re.compile(rf"{name}-data:[ ]*{re.escape(embedded)}".encode())
        text = line.sub(f"{name}: {path}".encode(), text) if embedded else b""
    return text if _says(text, wanted, read_yaml) else _json(wanted)


def _clusters(document: Mapping[str, Any], user: str) -> Iterator[dict[str, Any]]:
    """The clusters with embedded CAs that the contexts of `user` name."""
    contexts = (entry.get("context") for entry in _entries(document, "contexts"))
    names = {each.get("cluster") for each in contexts if isinstance(each, dict) and each.get("user") == user}
    for entry in _entries(document, "clusters"):
        cluster = entry.get("cluster")
        if entry.get("name") in names and isinstance(cluster, dict) and cluster.get("certificate-authority-data"):
            yield cluster


def _entries(document: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    entries = document.get(name)
    yield from (each for each in (entries if isinstance(entries, list) else ()) if isinstance(each, dict))


def _user(document: Any, name: str) -> dict[str, Any]:
    for entry in _entries(document, "users") if isinstance(document, Mapping) else ():
        if entry.get("name") == name and isinstance(entry.get("user"), dict):
            found: dict[str, Any] = entry["user"]
            return found
    raise ValueError(f"has no user {name}")


def with_annotation(data: bytes, value: str, read_yaml: ReadYaml) -> bytes:
    """The manifest `data` with the annotation RESTARTED: another pod to the kubelet. ValueError if it is no object."""
    wanted = copy.deepcopy(read_yaml(data))
    if not isinstance(wanted, dict) or not isinstance(wanted.get("metadata"), dict):
        raise ValueError("has no metadata")  # noqa: TRY004 - it came from a file
    annotations = wanted["metadata"].get("annotations") or {}
    wanted["metadata"]["annotations"] = {**annotations, RESTARTED: value}
    text = _annotated(data, f"{RESTARTED}: {json.dumps(value)}".encode())
    return text if _says(text, wanted, read_yaml) else _json(wanted)


def _annotated(data: bytes, line: bytes) -> bytes:
    """The text with the line among the annotations; what comes of it is checked by whoever asks."""
    old = re.compile(rb"^([ ]*)" + re.escape(RESTARTED.encode()) + rb":.*$", re.MULTILINE)
    if old.search(data):
        return old.sub(rb"\1" + line, data, count=1)
    metadata = _METADATA.search(data)
    if metadata is None:
        return b""
    start = metadata.start(1)
    within = _ANNOTATIONS.search(metadata[1])
    if within is not None:
        at = start + within.start(2)
        return data[:at] + within[2] + line + b"\n" + data[at:]
    indent = re.match(rb"[ ]*", metadata[1])
    step = indent[0] if indent is not None and indent[0] else b"  "
    return data[:start] + step + b"annotations:\n" + step * 2 + line + b"\n" + data[start:]


def _says(text: bytes, wanted: Any, read_yaml: ReadYaml) -> bool:
    try:
        return bool(text) and bool(read_yaml(text) == wanted)
    except ValueError:
        return False


def _encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def _json(document: Any) -> bytes:
    return json.dumps(document, indent=2).encode() + b"\n"
