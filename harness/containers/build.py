"""From a checkout to an image: what goes in, whether it is built already, the build itself."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import docker

import harness
from harness.canonical import digest, file_digest
from harness.containers.base import Base, resolve_base
from harness.containers.engine import engine_errors, find_image
from harness.containers.images import ImageSpec, image_specs
from harness.containers.lock import check_lock, lock_digest
from harness.containers.wheelhouse import fill_wheelhouse
from harness.errors import InputError, WorkError
from harness.results import git_state

Say = Callable[[str], None]

REPOSITORY = "xstilts-bench"
VARIANT_LABEL = "org.xstilts.variant"
INPUTS_LABEL = "org.xstilts.inputs"
BASE_KIND_LABEL = "org.xstilts.base.kind"
BASE_DIGEST_LABEL = "org.opencontainers.image.base.digest"
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
    check_lock(spec.lock, root / "pyproject.toml")
    return Inputs(root, spec, _source_files(root), git_state(root), lock_digest(spec.lock))


def built_image(engine: docker.DockerClient, inputs: Inputs, base: str) -> str | None:
    """The id of the image built from these inputs, on a base that the choice `base` allows."""
    key = inputs.key
    image = find_image(engine, _tag(inputs, key))
    if image is None:
        return None
    labels = image.labels
    fits = base in ("auto", labels.get(BASE_KIND_LABEL)) or base.endswith(
        labels.get(BASE_DIGEST_LABEL, "@")
    )
    return str(image.id) if labels.get(INPUTS_LABEL) == key and fits else None


def named_image(engine: docker.DockerClient, name: str) -> str:
    """The id of an image of ours by name, digest or id; InputError if it is none or not there."""
    image = find_image(engine, name)
    if image is None:
        raise InputError(
            f"image '{name}': the engine does not have it; docker pull or docker load it first, "
            "or build one: xstilts image build"
        )
    if VARIANT_LABEL not in image.labels:
        raise InputError(f"image '{name}' is none of xstilts (it has no label {VARIANT_LABEL})")
    return str(image.id)


def ensure_image(
    engine: docker.DockerClient, inputs: Inputs, base: str, cache: Path, say: Say
) -> str:
    """The id of the image of these inputs; built if it is not there. `cache` holds the wheels."""
    found = built_image(engine, inputs, base)
    if found is not None:
        return found
    chosen = resolve_base(engine, inputs.spec.base, base, say)
    wheels = fill_wheelhouse(inputs.spec.lock, cache / "wheels", say)
    return _build(engine, inputs, chosen, wheels, cache, say)


def describe(engine: docker.DockerClient, image: str) -> dict[str, Any]:
    """Name, digest, size in bytes and base of an image of ours."""
    with engine_errors("docker image inspect"):
        found = engine.images.get(image)
    labels = found.labels
    return {
        "name": found.tags[0] if found.tags else str(found.id),
        "digest": str(found.id),
        "bytes": int(found.attrs["Size"]),
        "variant": labels[VARIANT_LABEL],
        "base": {
            "kind": labels[BASE_KIND_LABEL],
            "name": labels["org.opencontainers.image.base.name"],
            "digest": labels[BASE_DIGEST_LABEL],
        },
        "revision": labels.get("org.opencontainers.image.revision"),
    }


def packages(engine: docker.DockerClient, image: str) -> tuple[str, str]:
    """The fingerprint of its packages that an image tells, and the one that they have."""
    script = (
        "import json, pathlib; from harness.containers import fingerprint; "
        "print(json.loads(pathlib.Path('/xstilts/image.json').read_bytes())['packages']); "
        "fingerprint.main([])"
    )
    with engine_errors("docker run"):
        said = engine.containers.run(
            image,
            ["-c", script],
            entrypoint="/xstilts/env/bin/python",
            network_mode="none",
            cap_drop=["ALL"],
            read_only=True,
            remove=True,
        )
    told, found = said.decode().split()
    return told, found


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
        _add(tar, "image.json", json.dumps(told, indent=2).encode())
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
        "org.opencontainers.image.base.name": base.name,
        BASE_DIGEST_LABEL: base.digest,
        BASE_KIND_LABEL: base.kind,
        VARIANT_LABEL: inputs.spec.variant,
        INPUTS_LABEL: inputs.key,
    }
    if inputs.git and inputs.git["commit"]:
        revision = inputs.git["commit"] + ("-dirty" if inputs.git["dirty"] else "")
        labels["org.opencontainers.image.revision"] = revision
        labels["org.opencontainers.image.created"] = _commit_time(inputs.root)
    return labels


def _build(
    engine: docker.DockerClient,
    inputs: Inputs,
    base: Base,
    wheels: Iterable[Path],
    cache: Path,
    say: Say,
) -> str:
    tag = _tag(inputs, inputs.key)
    log = cache / f"build-{inputs.spec.variant}.log"
    say(f"building the image {tag} on {base.name}; what the engine says goes to {log}")
    with (
        tempfile.TemporaryFile(dir=cache) as context,
        log.open("w", encoding="utf-8") as lines,
        engine_errors("docker build"),
    ):
        write_context(inputs, base, wheels, context)
        context.seek(0)
        for event in engine.api.build(
            fileobj=context,
            custom_context=True,
            tag=tag,
            buildargs={"BASE_IMAGE": base.reference},
            labels=image_labels(inputs, base),
            network_mode="none",
            rm=True,
            forcerm=True,
            decode=True,
        ):
            lines.write(event.get("stream", ""))
            if "error" in event:
                lines.write(event["error"] + "\n")
                raise WorkError(f"docker build: {' '.join(event['error'].split())}; see {log}")
        image = engine.images.get(tag)
        image.tag(REPOSITORY, inputs.spec.variant)
    return str(image.id)


def _tag(inputs: Inputs, key: str) -> str:
    return f"{REPOSITORY}:{inputs.spec.variant}-{key[:12]}"


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
