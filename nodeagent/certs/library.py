"""Reads each file once for each change of it.

Invariant: what is returned for a path is what its bytes say that have the returned stat fingerprint; a file whose
fingerprint has not changed is neither read nor parsed. What one scan does not ask for is forgotten at the end of the
next, so memory is bounded by what two scans see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from nodeagent.certs.contents import contents
from nodeagent.certs.facts import Certificate, Contents
from nodeagent.certs.kubeconfig import Kubeconfig, kubeconfig
from nodeagent.certs.kubeletconfig import KubeletConfig, kubelet_config
from nodeagent.certs.node import FILE_LIMIT, Files, ReadYaml
from nodeagent.certs.staticpods import Manifest, manifest
from nodeagent.observed.certificates import PkiFile, Standing

V = TypeVar("V")


@dataclass
class _Remembered(Generic[V]):
    """Answers of this scan, and those of the one before."""

    current: dict[str, V] = field(default_factory=dict)
    before: dict[str, V] = field(default_factory=dict)

    def begin(self) -> None:
        self.current, self.before = {}, self.current

    def get(self, key: str) -> V | None:
        return self.current.get(key, self.before.get(key))


class _Shelf(Generic[V]):
    """Files of one kind; `nothing` stands for one that cannot be read."""

    def __init__(self, files: Files, parse: Callable[[str, bytes], V], nothing: V) -> None:
        self._files = files
        self._parse = parse
        self._nothing = nothing
        self._known = _Remembered[tuple[PkiFile, V]]()
        self.parsed = 0

    def begin(self) -> None:
        self._known.begin()
        self.parsed = 0

    def get(self, path: str) -> tuple[PkiFile, V]:
        found, known = self._files.look(path), self._known.get(path)
        answer = known if known is not None and known[0] == found else self._read(path, found)
        self._known.current[path] = answer
        return answer

    def _read(self, path: str, found: PkiFile) -> tuple[PkiFile, V]:
        data = b""
        if found.standing is Standing.FILE:
            found, data = self._files.read(path, FILE_LIMIT)
        if found.standing is not Standing.FILE:
            return found, self._nothing
        self.parsed += 1
        return found, self._parse(path, data)


class Library:
    """Parsed files of one node. Not shared between threads."""

    def __init__(self, files: Files, read_yaml: ReadYaml) -> None:
        self._files = files
        self._contents = _Shelf(files, lambda _, data: contents(data), Contents())
        self._kubeconfigs = _Shelf(files, lambda path, data: kubeconfig(path, data, read_yaml), Kubeconfig())
        self._manifests = _Shelf(files, lambda _, data: manifest(data, read_yaml), Manifest())
        self._settings = _Shelf(files, lambda _, data: kubelet_config(data, read_yaml), KubeletConfig())
        self._signatures = _Remembered[bool]()

    def begin(self) -> None:
        """Begin a scan: directories are walked afresh."""
        self._files.refresh()
        for each in (self._contents, self._kubeconfigs, self._manifests, self._settings, self._signatures):
            each.begin()

    @property
    def parsed(self) -> int:
        """Files that were parsed since the scan began."""
        shelves = (self._contents, self._kubeconfigs, self._manifests, self._settings)
        return sum(shelf.parsed for shelf in shelves)

    def glob(self, pattern: str) -> tuple[str, ...]:
        return self._files.glob(pattern)

    def contents(self, path: str) -> tuple[PkiFile, Contents]:
        """The certificates and keys in a file; none where there is no readable file."""
        return self._contents.get(path)

    def kubeconfig(self, path: str) -> tuple[PkiFile, Kubeconfig]:
        return self._kubeconfigs.get(path)

    def manifest(self, path: str) -> tuple[PkiFile, Manifest]:
        return self._manifests.get(path)

    def kubelet_config(self, path: str) -> tuple[PkiFile, KubeletConfig]:
        return self._settings.get(path)

    def signed_by(self, leaf: Certificate, authority: Certificate) -> bool:
        """Whether the key of `authority` signed `leaf`; each question is worked out once."""
        question = leaf.fingerprint + authority.fingerprint
        answer = self._signatures.get(question)
        if answer is None:
            from nodeagent.certs import x509  # noqa: PLC0415 - cryptography, by need

            answer = x509.signed_by(leaf, authority)
        self._signatures.current[question] = answer
        return answer
