"""Container images without a container engine: layers, manifests, and the archive that `ctr images import` reads.

Invariant: a blob lies under its own digest, so an archive is whole or is refused by who imports it. What goes in has no
time, owner or order of its own: the same files make the same image. Source: OCI image-spec v1.0, image-layout.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MEDIA = "application/vnd.oci.image"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

Descriptor = dict[str, Any]


@dataclass(frozen=True)
class Layer:
    """What an image shows: files and links by their path, each from a file of this machine; and empty directories."""

    files: Mapping[str, Path]
    links: Mapping[str, str]
    directories: Sequence[str] = ()


class Archive:
    """Images in an OCI layout below `folder`, which is empty at first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blobs = folder / "blobs/sha256"
        self._blobs.mkdir(parents=True)
        self._images: list[Descriptor] = []

    def layer(self, layer: Layer) -> Descriptor:
        """Add `layer`, for use in any number of images."""
        draft = self._folder / "layer"
        with tarfile.open(draft, "w", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(_parents([*layer.files, *layer.links]) | set(layer.directories)):
                _add(tar, path, tarfile.DIRTYPE, 0o1777 if path == "tmp" else 0o755)
            for path, target in sorted(layer.links.items()):
                _add(tar, path, tarfile.SYMTYPE, 0o777, link=target)
            for path, source in sorted(layer.files.items()):
                _add(tar, path, tarfile.REGTYPE, 0o755 if os.access(source, os.X_OK) else 0o644, source=source)
        with draft.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = draft.stat().st_size
        draft.rename(self._blobs / digest)
        return _descriptor("layer.v1.tar", digest, size)

    def image(self, name: str, layer: Descriptor, **config: Any) -> None:
        """Add an image of one layer under `name`; `config` is its execution configuration (Entrypoint, Env)."""
        system = {"architecture": _ARCHITECTURES[platform.machine()], "os": "linux"}
        rootfs = {"type": "layers", "diff_ids": [layer["digest"]]}
        facts = self._document("config.v1+json", {**system, "config": config, "rootfs": rootfs})
        layers = {"schemaVersion": 2, "config": facts, "layers": [layer]}
        manifest = self._document("manifest.v1+json", {**layers, "mediaType": f"{_MEDIA}.manifest.v1+json"})
        named = {"annotations": {"io.containerd.image.name": name}, "platform": system}
        self._images.append({**manifest, **named})

    def write(self) -> Path:
        """The archive as a file beside what it is made of."""
        archive = self._folder / "images.tar"
        (self._folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
        (self._folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self._images}))
        with tarfile.open(archive, "w") as tar:
            for part in ("oci-layout", "index.json", "blobs"):
                tar.add(self._folder / part, part)
        return archive

    def _document(self, kind: str, document: Mapping[str, Any]) -> Descriptor:
        encoded = json.dumps(document, sort_keys=True).encode()
        digest = hashlib.sha256(encoded).hexdigest()
        (self._blobs / digest).write_bytes(encoded)
        return _descriptor(kind, digest, len(encoded))


def _descriptor(kind: str, digest: str, size: int) -> Descriptor:
    return {"mediaType": f"{_MEDIA}.{kind}", "digest": f"sha256:{digest}", "size": size}


def _parents(paths: Iterable[str]) -> set[str]:
    return {str(parent) for path in paths for parent in Path(path).parents} - {"."}


def _add(
    tar: tarfile.TarFile, path: str, kind: bytes, mode: int, *, link: str = "", source: Path | None = None
) -> None:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode, entry.linkname = kind, mode, link
    if source is None:
        tar.addfile(entry)
        return
    with source.open("rb") as file:
        entry.size = os.fstat(file.fileno()).st_size
        tar.addfile(entry, file)
