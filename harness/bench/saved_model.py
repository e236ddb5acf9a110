"""A saved model: reading what it is, with every wrong field refused before anything is loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bench.store import artifact_id, verify_artifact
from harness.bench.work import ABOUT
from harness.canonical import digest, file_digest
from harness.catalog import Target
from harness.errors import InputError, reading
from harness.formats import get_format
from harness.model import Active

PARTS = ("adapters", "fusion", "heads", "backbone")  # the folders of weights
WHAT = "a folder that `xstilts train --out` wrote, or STORE/fit/KEY"
_COMPOSITION = "composition.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A model folder: its composition, and what about.json says of it."""

    folder: Path
    name: str
    task: str
    format: str
    labels: tuple[str, ...]
    recipe: str
    sources: tuple[str, ...]
    seed: int
    backbone: str
    backbone_digest: str
    active: Active
    fusions: tuple[str, ...]
    heads: tuple[str, ...]

    @property
    def store(self) -> Path | None:
        """The store that the folder lies in, if any; a copy of an artifact lies in none."""
        artifact = self.folder.absolute().parent
        place = (artifact.parent.name, artifact.name)
        return artifact.parent.parent if artifact_id(artifact) == place else None

    def digest(self) -> str:
        """SHA-256 over the contents of the files that make it."""
        parts = [path for part in PARTS for path in (self.folder / part).rglob("*")]
        files = [path for path in parts if path.is_file()]
        files += [self.folder / name for name in (_COMPOSITION, ABOUT)]
        with reading(self.folder):
            return digest({str(p.relative_to(self.folder)): file_digest(p) for p in files})


def open_model(path: Path) -> SavedModel:
    """The model in a folder (or in `trained/` of an artifact); InputError where it is none."""
    with reading(path):
        places = (path, path / "trained")
        folder = next((f for f in places if (f / _COMPOSITION).is_file()), None)
    if folder is None:
        raise InputError(f"{path}: no {_COMPOSITION} here; give {WHAT}")
    artifact = folder.absolute().parent
    if folder.name == "trained" and (artifact / "manifest.json").is_file():
        problem = verify_artifact(artifact)
        if problem is not None:
            raise InputError(f"{artifact}: damaged: {problem}; run its suite again to remake it")
    composition = _Fields(folder / _COMPOSITION)
    active = composition.value.get("active")
    heads, fusions = composition.texts("heads"), composition.texts("fusions")
    if not _is_composition(active) or not all(map(_NAME.fullmatch, heads)):
        raise composition.wrong("active and heads", "names of modules")
    if any(not _NAME.fullmatch(name) for fusion in fusions for name in fusion.split(",")):
        raise composition.wrong("fusions", "names of modules")
    about = _Fields(folder / ABOUT)
    backbone = _Fields(folder / ABOUT, about.value.get("backbone"), "backbone.")
    seed = about.value.get("seed")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise about.wrong("seed", "a whole number")
    return SavedModel(
        folder, about.text("name"), about.text("task"), about.text("format"),
        tuple(about.texts("labels")), about.text("recipe"), tuple(about.texts("sources")), seed,
        backbone.text("name"), backbone.text("digest"), active, tuple(fusions), tuple(heads),
    )  # fmt: skip


def check_target(model: SavedModel, target: Target) -> None:
    """InputError unless the model's head speaks the target's format and labels."""
    if not get_format(target.format).trained:
        return
    if len(model.heads) != 1:  # and what it is about is more than one task
        raise InputError(
            f"{model.folder / _COMPOSITION}: {len(model.heads)} heads ({_list(model.heads)}), but "
            f"target '{target.name}' needs exactly one; give a model that was trained for it"
        )
    where = model.folder / ABOUT
    if model.format != target.format:
        raise InputError(
            f"{where}: format '{model.format}', but target '{target.name}' is '{target.format}'; "
            f"choose a target of format '{model.format}', or one of retrieval"
        )
    if model.labels != target.labels:
        raise InputError(
            f"{where}: labels {_list(model.labels)}, but target '{target.name}' has "
            f"{_list(target.labels)}; a head cannot be read with other labels or another order"
        )


class _Fields:
    """A JSON object of a model folder, read with errors that name file and field."""

    def __init__(self, path: Path, value: Any = None, prefix: str = "") -> None:
        self.path, self.prefix = path, prefix
        if value is None and not prefix:
            try:
                with reading(path):
                    value = json.loads(path.read_bytes() if path.is_file() else b"")
            except ValueError as error:
                raise InputError(f"{path}: missing or no JSON; give {WHAT}") from error
        if not isinstance(value, dict):
            raise InputError(f"{path}: {prefix}not a JSON object; give {WHAT}")
        self.value: Mapping[str, Any] = value

    def text(self, key: str) -> str:
        """A text that is not empty."""
        value = self.value.get(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "a text")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of texts."""
        value = self.value.get(key)
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise self.wrong(key, "a list of texts")
        return value

    def wrong(self, key: str, allowed: str) -> InputError:
        """What to raise where a field is not what it must be."""
        got = json.dumps(self.value.get(key), ensure_ascii=False)[:80]
        place = f"{self.path}: {self.prefix}{key}"
        return InputError(f"{place}: got {got}; allowed: {allowed}; give {WHAT}")


def _is_composition(active: Any, depth: int = 0) -> bool:
    """Whether it is a name, nothing, or ["stack" or "fuse", such, ...]."""
    if active is None or isinstance(active, str):
        return (depth == 0 and active is None) or bool(_NAME.fullmatch(active or ""))
    return (
        isinstance(active, list)
        and depth < 4
        and len(active) > 1
        and active[0] in ("stack", "fuse")
        and all(_is_composition(child, depth + 1) for child in active[1:])
    )


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
