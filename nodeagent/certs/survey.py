"""What is on the node, before anybody judges it: every file that the catalog names, and everything found through it.

Invariant: a path is surveyed once, under the first name that it is found by; the order is that of the catalog. A file
that is absent is no specimen, unless its key is there without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from nodeagent.certs.catalog import (
    BOOTSTRAP_CONF,
    FILES,
    KUBECONFIGS,
    KUBELET_CLIENT,
    KUBELET_CONFIG,
    KUBELET_SERVER,
    SERVER_AUTH,
    Item,
    Kind,
    Manager,
)
from nodeagent.certs.facts import NOTHING, Certificate, Contents
from nodeagent.certs.kubeconfig import Kubeconfig, Source
from nodeagent.certs.kubeletconfig import KubeletConfig
from nodeagent.certs.library import Library
from nodeagent.certs.staticpods import StaticPods
from nodeagent.observed.certificates import PkiFile, Standing

_KEY_SUFFIXES = (".key", "-key.pem")
_CERTIFICATE_SUFFIXES = (".crt", ".cert", ".cer", ".pem", ".der")
_KUBECONFIG_SUFFIXES = (".conf", ".kubeconfig", "/config", ".yaml", ".yml")


@dataclass(frozen=True)
class Specimen:
    """One place where certificates stand: a file, or a field of a kubeconfig.

    `key_file` is where the private key was looked for; None where it stands beside the certificate. `field` names the
    place inside a kubeconfig ("user kubernetes-admin"), "" for a file of its own.
    """

    item: Item
    file: PkiFile
    contents: Contents
    keys: Contents = NOTHING
    key_file: PkiFile | None = None
    field: str = ""
    holds_key: bool = False

    @property
    def path(self) -> str:
        return self.file.path

    @property
    def where(self) -> str:
        """The path, and the place inside a kubeconfig, for people."""
        return f"{self.path} ({self.field})" if self.field else self.path

    @property
    def has_key_file(self) -> bool:
        """Whether something stands where the private key should, readable or not."""
        return self.key_file is not None and self.key_file.standing is not Standing.ABSENT

    @property
    def key_owner(self) -> Certificate | None:
        """The first certificate that the private key belongs to: of several CAs in a file, the one that signs."""
        own = {key.public_key for key in self.keys.keys if not key.encrypted}
        return next((each for each in self.contents.certificates if each.public_key in own), None)

    @property
    def leaf(self) -> Certificate | None:
        """The first certificate, which is the one that is used (RFC 8446, section 4.4.2)."""
        return next(iter(self.contents.certificates), None)


@dataclass(frozen=True)
class Survey:
    """Everything that was found. `authorities` holds the CA files by path.

    `dated` holds what lies beside a current link of the kubelet that leads nowhere, by the link's path. The kubelet
    `can_bootstrap` if a kubeconfig with a bootstrap token is there for it; `kubelet` is how it is configured.
    """

    specimens: tuple[Specimen, ...]
    pods: StaticPods
    authorities: dict[str, tuple[Certificate, ...]] = field(default_factory=dict)
    dated: Mapping[str, tuple[Specimen, ...]] = field(default_factory=dict)
    can_bootstrap: bool = False
    kubelet: KubeletConfig = field(default_factory=KubeletConfig)

    def adding(self, authority: Specimen) -> Survey:
        """The same with one more CA file."""
        authorities = {**self.authorities, authority.path: authority.contents.certificates}
        return replace(self, specimens=(*self.specimens, authority), authorities=authorities)

    @cached_property
    def _first(self) -> dict[str, Specimen]:
        """The first specimen of each path: each of thousands is judged by a few of the others."""
        return {each.path: each for each in reversed(self.specimens)}

    def leaf(self, path: str) -> Certificate | None:
        """The certificate that is used from the file at `path`."""
        found = self._first.get(path)
        return found.leaf if found is not None else None

    def authority(self, path: str) -> Specimen | None:
        """The CA file at `path`; None if it holds no CA."""
        return self._first.get(path) if path in self.authorities else None


def survey(library: Library, extra: Sequence[str] = ()) -> Survey:
    """Look at everything that the catalog and the globs `extra` name; OSError E2BIG if a glob matches too much."""
    library.begin()
    surveyor = _Surveyor(library)
    for item in FILES:
        surveyor.file(item)
    _, kubelet = library.kubelet_config(KUBELET_CONFIG)
    if kubelet.certificate:
        surveyor.file(_given(kubelet), wanted=True)
    for item in KUBECONFIGS:
        surveyor.kubeconfig(item)
    for pattern in extra:
        for path in library.glob(pattern):
            surveyor.other(path, named=path == pattern)
    found = tuple(surveyor.specimens)
    authorities = {
        each.path: each.contents.certificates
        for each in found
        if each.item.kind is Kind.CA and each.contents.certificates
    }
    dated = {path: _dated(library, path) for path in (KUBELET_CLIENT, KUBELET_SERVER)}
    bootstraps = library.kubeconfig(BOOTSTRAP_CONF)[0].standing is Standing.FILE
    return Survey(found, _static_pods(library, kubelet.manifests), authorities, dated, bootstraps, kubelet)


def _given(kubelet: KubeletConfig) -> Item:
    """The serving pair that somebody gave the kubelet, and looks after."""
    usages, manager = (SERVER_AUTH,), Manager.NOBODY
    return Item("kubelet-tls", kubelet.certificate, Kind.SERVING, kubelet.key, usages=usages, manager=manager)


def _dated(library: Library, current: str) -> tuple[Specimen, ...]:
    """What the kubelet rotated to, each under a name with its date; looked at only where the link is of no use."""
    if library.contents(current)[0].standing is Standing.FILE:
        return ()
    items = [Item(current, path, Kind.OTHER) for path in library.glob(current.replace("current", "[0-9]*"))]
    looked = [(item, *library.contents(item.path)) for item in items]
    return tuple(Specimen(item, file, found, Contents(keys=found.keys)) for item, file, found in looked)


def _static_pods(library: Library, directory: str) -> StaticPods:
    paths = library.glob(f"{directory}/*")
    found = {path: library.manifest(path) for path in paths}
    return StaticPods({path: each for path, (file, each) in found.items() if file.standing is Standing.FILE})


class _Surveyor:
    def __init__(self, library: Library) -> None:
        self._library = library
        self._taken: set[str] = set()
        self.specimens: list[Specimen] = []

    def file(self, item: Item, *, wanted: bool = False) -> None:
        """Look at a file of certificates; one that is `wanted` is a specimen even where it is absent."""
        if item.path in self._taken:
            return
        file, found = self._library.contents(item.path)
        key_file, keys = self._library.contents(item.key) if item.key else (None, Contents(keys=found.keys))
        specimen = Specimen(item, file, found, keys, key_file, holds_key=bool(found.keys))
        if file.standing is not Standing.ABSENT or specimen.has_key_file or wanted:
            self._taken |= {item.path, item.key}
            self.specimens.append(specimen)

    def kubeconfig(self, item: Item) -> None:
        """Look at a kubeconfig, and at the files that it refers to."""
        if item.path in self._taken:
            return
        file, found = self._library.kubeconfig(item.path)
        if file.standing is Standing.ABSENT:
            return
        self._taken.add(item.path)
        if file.standing is not Standing.FILE or found.problems:
            self.specimens.append(Specimen(item, file, Contents(problems=found.problems)))
        self._users(item, file, found)
        self._clusters(item, file, found)

    def _users(self, item: Item, file: PkiFile, found: Kubeconfig) -> None:
        for user in found.users:
            if user.certificate.contents is not None:
                key_file, keys = self._source(user.key)
                name = f"user {user.name}"
                self.specimens.append(
                    Specimen(item, file, user.certificate.contents, keys, key_file, name, found.holds_key)
                )
            elif user.certificate.path:
                key = user.key.path if user.key.path != user.certificate.path else ""
                self.file(replace(item, path=user.certificate.path, kind=Kind.CLIENT, key=key), wanted=True)

    def _clusters(self, item: Item, file: PkiFile, found: Kubeconfig) -> None:
        for cluster in found.clusters:
            authority = Item(item.name, item.path, Kind.KUBECONFIG_CA, "", item.authority, manager=Manager.NOBODY)
            if cluster.authority.contents is not None:
                name = f"cluster {cluster.name}"
                self.specimens.append(Specimen(authority, file, cluster.authority.contents, field=name))
            elif cluster.authority.path:
                self.file(replace(authority, path=cluster.authority.path, kind=Kind.CA, authority=""), wanted=True)

    def _source(self, source: Source) -> tuple[PkiFile | None, Contents]:
        if source.contents is not None or not source.path:
            return None, source.contents or Contents()
        return self._library.contents(source.path)

    def other(self, path: str, *, named: bool) -> None:
        """Look at a path from the settings; `named` in full, it is missed where it is absent."""
        if path in self._taken:
            return
        if path.endswith(_KUBECONFIG_SUFFIXES):
            self.kubeconfig(Item(path, path, Kind.KUBECONFIG, manager=Manager.NOBODY))
        elif named or not path.endswith(_KEY_SUFFIXES):
            self.file(Item(path, path, Kind.OTHER, self._key_beside(path), manager=Manager.NOBODY), wanted=named)

    def _key_beside(self, path: str) -> str:
        """The first file beside a certificate that is named as its key usually is; "" where there is none."""
        stem = next((path.removesuffix(end) for end in _CERTIFICATE_SUFFIXES if path.endswith(end)), path)
        return next(filter(self._is_file, (f"{stem}.key", f"{stem}-key.pem")), "")

    def _is_file(self, path: str) -> bool:
        return self._library.contents(path)[0].standing is Standing.FILE
