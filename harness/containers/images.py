"""`docker/images.json`: the images there are, and the base that each is pinned to."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.errors import InputError, reading

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
NAME = re.compile(r"[a-z0-9][a-z0-9._/:-]*")


@dataclass(frozen=True, slots=True)
class PinnedBase:
    """A base image by digest; `checked` says how the digest was checked."""

    name: str
    digest: str
    checked: str

    @property
    def reference(self) -> str:
        """What an engine pulls: the repository and the digest, without the tag."""
        return f"{repository(self.name)}@{self.digest}"


@dataclass(frozen=True, slots=True)
class Base:
    """A base image that the engine has; FROM gets `reference`.

    `digest` is the registry's of a pinned or given one, the content's of one made here.
    """

    kind: Literal["pinned", "given", "debian"]
    name: str
    reference: str
    digest: str


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """An image that can be built; `built` says where that was done, None: nowhere yet."""

    variant: str
    dockerfile: Path
    lock: Path
    base: PinnedBase
    built: str | None


def checkout() -> Path:
    """The checkout that this package lies in; InputError where it is installed without one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file() or not (root / "docker").is_dir():
        raise InputError(
            "images are built from a checkout of xstilts, and this is an installed package; "
            "clone the repository and run make bench there, or use xstilts bench --no-docker"
        )
    return root


def image_specs(folder: Path) -> dict[str, ImageSpec]:
    """The images of `folder/images.json` by variant (cpu, cuda)."""
    path = folder / "images.json"
    with reading(path):
        text = path.read_text(encoding="utf-8")
    try:
        entries = json.loads(text)
        return {name: _spec(folder, name, entry) for name, entry in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path}: {type(error).__name__}: {error}; every image needs dockerfile, lock, "
            "base (name, digest, checked) and built"
        ) from error


def repository(name: str) -> str:
    """An image's name without its tag; a port of the registry's address is no tag."""
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def _spec(folder: Path, variant: str, entry: dict[str, Any]) -> ImageSpec:
    base = PinnedBase(**entry["base"])
    if not NAME.fullmatch(base.name):
        raise ValueError(f"{variant}: base name '{base.name}'")
    if not DIGEST.fullmatch(base.digest):
        raise ValueError(f"{variant}: base digest '{base.digest}', not sha256: and 64 hex digits")
    return ImageSpec(
        variant, folder / entry["dockerfile"], folder / entry["lock"], base, entry["built"]
    )
