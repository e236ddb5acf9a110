"""Images of ours in the engine: found, built, described."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker

from harness.containers.base import check_choice, resolve_base
from harness.containers.engine import engine_errors, find_image
from harness.containers.images import Base
from harness.containers.inputs import (
    BASE_DIGEST_LABEL,
    BASE_KIND_LABEL,
    BASE_NAME_LABEL,
    INPUTS_LABEL,
    REPOSITORY,
    REVISION_LABEL,
    VARIANT_LABEL,
    Inputs,
    image_labels,
    write_context,
)
from harness.containers.leftovers import client_labels
from harness.containers.wheelhouse import fill_wheelhouse
from harness.errors import InputError, WorkError

Say = Callable[[str], None]
_NAME = re.compile(r"[A-Za-z0-9][\w./:@-]*")


def built_image(engine: docker.DockerClient, inputs: Inputs, base: str) -> str | None:
    """The id of the image built from these inputs, on a base that the choice `base` allows."""
    key = inputs.key
    image = find_image(engine, _tag(inputs, key))
    if image is None:
        return None
    labels = image.labels
    fits = base in ("auto", labels.get(BASE_KIND_LABEL)) or (
        base.rpartition("@")[2] == labels.get(BASE_DIGEST_LABEL)
    )
    return str(image.id) if labels.get(INPUTS_LABEL) == key and fits else None


def named_image(engine: docker.DockerClient, name: str) -> str:
    """The id of an image of ours by name, digest or id; InputError if it is none or not there."""
    image = find_image(engine, name) if _NAME.fullmatch(name) else None
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
    check_choice(base)
    found = built_image(engine, inputs, base)
    if found is not None:
        return found
    chosen = resolve_base(engine, inputs.spec.base, base, say)
    with in_cache(cache):
        wheels = fill_wheelhouse(inputs.spec.lock, cache / "wheels", say)
        return _build(engine, inputs, chosen, wheels, cache, say)


@contextmanager
def in_cache(folder: Path) -> Iterator[None]:
    """Work in the folder of wheels and logs, made if need be; an OSError there is a WorkError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise WorkError(
            f"{error.filename or folder}: {(error.strerror or str(error)).lower()}; packages are "
            "kept there between builds, and XDG_CACHE_HOME names another place"
        ) from error


def describe(engine: docker.DockerClient, image: str) -> dict[str, Any]:
    """Name, digest, size in bytes and base of an image of ours."""
    with engine_errors("docker image inspect"):
        found = engine.images.get(image)
    labels = found.labels
    return {
        # The tag of its inputs, not the one that moves on with every build.
        "name": next((tag for tag in found.tags if "-" in tag.rpartition(":")[2]), str(found.id)),
        "digest": str(found.id),
        "bytes": int(found.attrs["Size"]),
        "variant": labels[VARIANT_LABEL],
        "base": {
            "kind": labels[BASE_KIND_LABEL],
            "name": labels[BASE_NAME_LABEL],
            "digest": labels[BASE_DIGEST_LABEL],
        },
        "revision": labels.get(REVISION_LABEL),
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
            labels=client_labels("image check"),
        )
    told, found = said.decode().split()
    return told, found


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
