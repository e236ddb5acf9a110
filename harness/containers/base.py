"""The base image of a build: pulled by digest, or made here from Debian's packages."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import docker
from docker.errors import APIError, DockerException

from harness.containers.debian import debian_base
from harness.containers.engine import engine_errors, find_image
from harness.containers.images import DIGEST, NAME, Base, PinnedBase
from harness.errors import InputError, WorkError

# What the engine (its HTTP client) says where no answer came from the registry.
_UNREACHED = re.compile(r"dial tcp|no such host|time-?out|unreachable|x509|tls:", re.IGNORECASE)


class _NotHad(WorkError):
    """The registry cannot be reached, or does not know the image: another base can do."""


def resolve_base(
    engine: docker.DockerClient, pinned: PinnedBase, choice: str, say: Callable[[str], None]
) -> Base:
    """The base that `choice` names: auto, pinned, debian, or NAME@sha256:DIGEST.

    auto: the pinned one if it is here or can be pulled, else Debian's. InputError: no such choice;
    WorkError: it cannot be had; auto too: the registry sent something else, the engine failed.
    """
    if choice == "debian":
        return debian_base(engine, say)
    if choice == "pinned":
        try:
            return _pulled(engine, "pinned", pinned, say)
        except WorkError as error:
            raise WorkError(f"{error}; --base debian makes one from Debian's packages") from error
    if choice == "auto":
        try:
            return _pulled(engine, "pinned", pinned, say)
        except _NotHad as error:
            say(f"{error}; a base from Debian's packages is used instead")
            return debian_base(engine, say)
    return _pulled(engine, "given", _given(choice), say)


def check_choice(choice: str) -> None:
    """InputError unless `choice` is one that `resolve_base` takes."""
    if choice not in ("auto", "pinned", "debian"):
        _given(choice)


def _given(choice: str) -> PinnedBase:
    name, _, digest = choice.rpartition("@")
    if not NAME.fullmatch(name) or not DIGEST.fullmatch(digest):
        raise InputError(
            f"--base {choice}: not auto, pinned, debian, nor an image by digest "
            "(NAME@sha256: and 64 hex digits); docker image ls --digests shows those that are here"
        )
    return PinnedBase(name, digest, checked="")


def _pulled(
    engine: docker.DockerClient,
    kind: Literal["pinned", "given"],
    base: PinnedBase,
    say: Callable[[str], None],
) -> Base:
    """The image with this digest, pulled unless it is here; WorkError says why it was not had."""
    with engine_errors(f"base {base.reference}"):
        if not _is_here(engine, base):
            say(f"pulling {base.name} ({base.digest})")
            _pull(engine, base.reference)
            if not _is_here(engine, base):
                raise WorkError(f"base {base.reference}: the engine pulled another digest")
    return Base(kind, base.name, base.reference, base.digest)


def _is_here(engine: docker.DockerClient, base: PinnedBase) -> bool:
    image = find_image(engine, base.reference)
    return image is not None and any(
        one.endswith(f"@{base.digest}") for one in image.attrs["RepoDigests"]
    )


def _pull(engine: docker.DockerClient, reference: str) -> None:
    # Not engine.images.pull: that one does not look at what the engine reports on the way.
    try:
        for line in engine.api.pull(reference, stream=True, decode=True):
            if "error" in line:
                raise DockerException(line["error"])
    except DockerException as error:
        text = str(error.explanation or error) if isinstance(error, APIError) else str(error)
        if "verification failed" in text:
            reason = f"the registry sent other bytes than the digest names ({text})"
            raise WorkError(f"base {reference}: {reason}") from error
        if "manifest unknown" in text or "repository does not exist" in text:
            raise _NotHad(f"base {reference}: the registry does not know it ({text})") from error
        if re.search("toomanyrequests|denied|unauthorized", text, re.IGNORECASE):
            raise _NotHad(f"base {reference}: the registry refuses it ({text})") from error
        if _UNREACHED.search(text):
            raise _NotHad(f"base {reference}: the registry cannot be reached ({text})") from error
        raise
