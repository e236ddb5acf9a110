"""What goes into an image: files of the checkout, facts about them, the build context."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import harness
from harness.canonical import digest, file_digest
from harness.containers.images import Base, ImageSpec, image_specs
from harness.containers.lock import check_lock, lock_digest
from harness.errors import InputError
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
    """All that an image is made of but its base and the wheels, which the lock names."""

    root: Path
    spec: ImageSpec
    sources: Mapping[str, Path]  # name in the image's app folder -> file
    git: Mapping[str, Any] | None
    lock: str  # its digest

    @property
    def key(self) -> str:
        """SHA-256 of it all: two checkouts with the same one need one image."""
        return digest(
            {
                "dockerfile": file_digest(self.spec.dockerfile),
                "lock": self.lock,
                "git": self.git,
                "sources": {name: file_digest(path) for name, path in self.sources.items()},
            }
        )


def image_inputs(root: Path, variant: str) -> Inputs:
    """What the checkout at `root` puts into an image; InputError if its lock is out of date."""
    specs = image_specs(root / "docker")
    if variant not in specs:
        raise InputError(f"image '{variant}' is unknown; docker/images.json has {', '.join(specs)}")
    spec = specs[variant]
    check_lock(spec.lock, root)
    # Other files of the checkout, such as results beside it, do not make the image another one.
    git = git_state(root, [*_SOURCES, "docker"])
    return Inputs(root, spec, _source_files(root), git, lock_digest(spec.lock))


def write_context(inputs: Inputs, base: Base, wheels: Iterable[Path], out: IO[bytes]) -> None:
    """The build context as a tar: equal inputs give equal bytes."""
    told = {
        "variant": inputs.spec.variant,
        "base": {"kind": base.kind, "name": base.name, "digest": base.digest},
        "lock": inputs.lock,
        "git": inputs.git,
    }
    with tarfile.open(fileobj=out, mode="w") as tar:
        _add(tar, "Dockerfile", inputs.spec.dockerfile.read_bytes())
        _add(tar, "image.json", (json.dumps(told, indent=2) + "\n").encode())
        _add(tar, "requirements.lock", inputs.spec.lock.read_bytes())
        for name, path in inputs.sources.items():
            _add(tar, f"app/{name}", path.read_bytes())
        for wheel in wheels:
            _add(tar, f"wheels/{wheel.name}", wheel.read_bytes())


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


def _source_files(root: Path) -> dict[str, Path]:
    files = [
        path
        for name in _SOURCES
        for path in ([root / name] if (root / name).is_file() else (root / name).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return {path.relative_to(root).as_posix(): path for path in sorted(files)}


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)  # of root, readable for all, from 1970: as on any machine
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _commit_time(root: Path) -> str:
    shown = subprocess.run(
        ["git", "-C", str(root), "show", "--no-patch", "--format=%cI", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    )
    return shown.stdout.strip()
