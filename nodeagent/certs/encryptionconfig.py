"""EncryptionConfiguration (apiserver.config.k8s.io/v1): what a kube-apiserver reads, made from a ring, and checked.

Invariant: the same ring gives the same bytes, so that their digest tells which ring an API server has taken up. No
message quotes a secret.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from nodeagent.certs.keyring import IDENTITY, Ring
from nodeagent.errors import Problem

API_VERSION: Final = "apiserver.config.k8s.io/v1"
KIND: Final = "EncryptionConfiguration"
_SIZES: Final = {"aesgcm": (16, 24, 32), "aescbc": (32,), "secretbox": (32,)}
_KEYLESS: Final = ("identity", "kms")
_NOTHING: Final = {"secrets": (IDENTITY,)}  # a configuration has to name something


def document(ring: Ring) -> bytes:
    """The configuration, as JSON, which is YAML."""
    keys = {key.name: key.secret for key in ring.keys}
    resources = [
        {"resources": [resource], "providers": [_provider(name, keys) for name in names]}
        for resource, names in sorted((ring.providers() or _NOTHING).items())
    ]
    found = {"apiVersion": API_VERSION, "kind": KIND, "resources": resources}
    return json.dumps(found, indent=1).encode() + b"\n"


def _provider(name: str, keys: Mapping[str, str]) -> dict[str, Any]:
    return {"identity": {}} if name == IDENTITY else {"aesgcm": {"keys": [{"name": name, "secret": keys[name]}]}}


def digest(data: bytes) -> str:
    """By which the kube-apiserver names a configuration that it has read: SHA-256, in hex (k8s.io/apiserver)."""
    return hashlib.sha256(data).hexdigest()


def keys(configuration: Any) -> dict[str, str]:
    """The secrets of all keys by name, in a configuration that has no problems."""
    return {key["name"]: key["secret"] for _, _, key in _keys(configuration)}


def problems(configuration: Any, where: str) -> Iterator[Problem]:
    """Everything for which a kube-apiserver would refuse the configuration read from `where`, or lose data by it."""
    if not isinstance(configuration, Mapping) or configuration.get("kind") != KIND:
        yield Problem(where, "$.kind", f"is no {KIND}")
        return
    if configuration.get("apiVersion") != API_VERSION:
        yield Problem(where, "$.apiVersion", f"is {configuration.get('apiVersion')!r}", f"write {API_VERSION}")
    if not _list(configuration.get("resources")):
        yield Problem(where, "$.resources", "names nothing")
    for number, entry in enumerate(_list(configuration.get("resources"))):
        yield from _of_entry(entry, where, f"$.resources[{number}]")
    yield from _of_keys(configuration, where)


def _of_entry(entry: Any, where: str, at: str) -> Iterator[Problem]:
    if not isinstance(entry, Mapping):
        yield Problem(where, at, "is no object")
        return
    names = _list(entry.get("resources"))
    if not names or not all(isinstance(name, str) and name for name in names):
        yield Problem(where, f"{at}.resources", "names no resource", "write names such as secrets")
    if not _list(entry.get("providers")):
        yield Problem(where, f"{at}.providers", "has none", "give at least identity")
    for number, provider in enumerate(_list(entry.get("providers"))):
        yield from _of_provider(provider, where, f"{at}.providers[{number}]")


def _of_provider(provider: Any, where: str, at: str) -> Iterator[Problem]:
    if not isinstance(provider, Mapping) or len(provider) != 1:
        yield Problem(where, at, "is not one provider", f"give one of {', '.join((*_SIZES, *_KEYLESS))}")
        return
    (name,) = provider
    if name not in (*_SIZES, *_KEYLESS):
        yield Problem(where, at, f"{name!r} is no provider", f"give one of {', '.join((*_SIZES, *_KEYLESS))}")
    elif name in _SIZES and not _list((provider[name] or {}).get("keys")):
        yield Problem(where, f"{at}.{name}.keys", "has none")


def _of_keys(configuration: Any, where: str) -> Iterator[Problem]:
    secrets: dict[str, str] = {}
    for at, provider, key in _keys(configuration):
        name, secret = key.get("name"), key.get("secret")
        if not isinstance(name, str) or not name:
            yield Problem(where, f"{at}.name", "is no name")
            continue
        if _size(secret) not in _SIZES[provider]:
            sizes = " or ".join(map(str, _SIZES[provider]))
            yield Problem(where, f"{at}.secret", f"key {name} is not base64 of {sizes} bytes, as {provider} takes")
        elif secrets.setdefault(name, str(secret)) != secret:
            yield Problem(where, f"{at}.name", f"key {name} stands there twice, with another secret", "name it anew")


def _keys(configuration: Any) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Path, provider and key, for every key that is an object."""
    for first, entry in enumerate(_list(configuration.get("resources"))):
        for second, provider in enumerate(_list(entry.get("providers")) if isinstance(entry, Mapping) else ()):
            for name in _SIZES.keys() & provider.keys() if isinstance(provider, Mapping) else ():
                keys = _list(provider[name].get("keys")) if isinstance(provider[name], Mapping) else []
                for third, key in enumerate(keys):
                    at = f"$.resources[{first}].providers[{second}].{name}.keys[{third}]"
                    yield at, name, key if isinstance(key, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _size(secret: Any) -> int:
    """Bytes of a secret; -1 if it is none."""
    try:
        return len(base64.b64decode(secret, validate=True)) if isinstance(secret, str) else -1
    except ValueError:
        return -1
