"""What goes into an image: files of the checkout, facts about them, the build context."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import harness
from harness.canonical import digest
from harness.containers.images import Base, ImageSpec, image_specs
from harness.containers.lock import check_lock
from harness.errors import InputError, reading
from harness.results import git_state

REPOSITORY = "xstilts-bench"
VARIANT_LABEL = "org.xstilts.variant"  # set by the Dockerfile, whoever builds it
INPUTS_LABEL = "org.xstilts.inputs"
BASE_KIND_LABEL = "org.xstilts.base.kind"
BASE_NAME_LABEL = "org.opencontainers.image.base.name"
BASE_DIGEST_LABEL = "org.opencontainers.image.base.digest"
REVISION_LABEL = "org.opencontainers.image.revision"
# What an installed xstilts reads at run time, as it lies in a checkout.
_SOURCES = ("adapters_cfg", "harness", "pyproject.toml", "requirements", "schemas")


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that an image is made of but its base and the wheels, which the lock names.

    Read once: what is built is what the key names, also if files change meanwhile.
    """

    root: Path
    spec: ImageSpec
    dockerfile: bytes
    lock: bytes
    sources: Mapping[str, bytes]  # name in the image's app folder -> content
    git: Mapping[str, Any] | None
    key: str = field(init=False)  # SHA-256 of it all: with the same one, one image does

    def __post_init__(self) -> None:
        told = {
            "dockerfile": _sha256(self.dockerfile),
            "lock": self.lock_digest,
            "git": self.git,
            "sources": {name: _sha256(content) for name, content in self.sources.items()},
        }
        object.__setattr__(self, "key", digest(told))

    @property
    def lock_digest(self) -> str:
        """`sha256:` of the lock's bytes."""
        return f"sha256:{_sha256(self.lock)}"


def image_inputs(root: Path, variant: str) -> Inputs:
    """What the checkout at `root` puts into an image; InputError if its lock is out of date."""
    specs = image_specs(root / "docker")
    if variant not in specs:
        raise InputError(f"image '{variant}' is unknown; docker/images.json has {', '.join(specs)}")
    spec = specs[variant]
    check_lock(spec.lock, root)
    # Other files of the checkout, such as results beside it, do not make the image another one.
    git = git_state(root, [*_SOURCES, "docker"])
    with reading(root):
        dockerfile, lock = spec.dockerfile.read_bytes(), spec.lock.read_bytes()
        return Inputs(root, spec, dockerfile, lock, _source_files(root), git)


def write_context(inputs: Inputs, base: Base, wheels: Iterable[Path], out: IO[bytes]) -> None:
    """The build context as a tar: equal inputs give equal bytes."""
    told = {
        "variant": inputs.spec.variant,
        "base": {"kind": base.kind, "name": base.name, "digest": base.digest},
        "lock": inputs.lock_digest,
        "git": inputs.git,
    }
    with tarfile.open(fileobj=out, mode="w") as tar:
        _add(tar, "Dockerfile", io.BytesIO(inputs.dockerfile))
        _add(tar, "image.json", io.BytesIO((json.dumps(told, indent=2) + "\n").encode()))
        _add(tar, "requirements.lock", io.BytesIO(inputs.lock))
        for name, content in inputs.sources.items():
            _add(tar, f"app/{name}", io.BytesIO(content))
        for wheel in wheels:
            with wheel.open("rb") as handle:  # gigabytes, with CUDA
                _add(tar, f"wheels/{wheel.name}", handle)


def image_labels(inputs: Inputs, base: Base) -> dict[str, str]:
    """OCI's labels, and ours to find the image again; `created` is the commit's time."""
    labels = {
        "org.opencontainers.image.title": f"xstilts ({inputs.spec.variant})",
        "org.opencontainers.image.version": harness.__version__,
        "org.opencontainers.image.licenses": "Apache-2.0",
        BASE_NAME_LABEL: base.name,
        BASE_DIGEST_LABEL: base.digest,
        BASE_KIND_LABEL: base.kind,
        INPUTS_LABEL: inputs.key,
    }
    if inputs.git and inputs.git["commit"]:
        revision = inputs.git["commit"] + ("-dirty" if inputs.git["dirty"] else "")
        labels[REVISION_LABEL] = revision
        labels["org.opencontainers.image.created"] = _commit_time(inputs.root)
    return labels


def _source_files(root: Path) -> dict[str, bytes]:
    files = [
        path
        for name in _SOURCES
        for path in ([root / name] if (root / name).is_file() else (root / name).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(files)}


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes]) -> None:
    entry = tarfile.TarInfo(name)  # of root, readable for all, from 1970: as on any machine
    entry.size = content.seek(0, io.SEEK_END)
    content.seek(0)
    tar.addfile(entry, content)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _commit_time(root: Path) -> str:
    shown = subprocess.run(
        ["git", "-C", str(root), "show", "--no-patch", "--format=%cI", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    )
    return shown.stdout.strip()
