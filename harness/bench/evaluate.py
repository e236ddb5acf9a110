"""Evaluating a saved model: what it is, whether it fits backbone and target, its scores."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

import harness
from harness.bench.data import data_summary
from harness.bench.records import language_scores, seen_before
from harness.bench.store import Store, verify_artifact
from harness.bench.work import ABOUT, Worker, target_format
from harness.canonical import digest, file_digest, plain
from harness.catalog import Backbone, Catalog, Target
from harness.errors import InputError
from harness.formats import Format, get_format
from harness.model import (
    Active,
    Assembly,
    BackboneFiles,
    load_assembly,
    load_backbone,
    locate_backbone,
)
from harness.recipes import Goal
from harness.results import averages, low_resource_definition, signature

_COMPOSITION = "composition.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_PARTS = ("adapters", "fusion", "heads", "backbone")
_ADDED = re.compile(r"\.adapters\.|\.adapter_fusion_layer\.|^heads\.")  # not of the backbone
_WHAT = "a folder that `xstilts train --out` wrote, or STORE/fit/KEY"
_LOADING = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError)


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
        """The store that the folder lies in, if any."""
        artifact = self.folder.absolute().parent
        return artifact.parent.parent if (artifact / "manifest.json").is_file() else None

    def digest(self) -> str:
        """SHA-256 over the contents of the files that make it."""
        parts = [path for part in _PARTS for path in (self.folder / part).rglob("*")]
        files = [*(p for p in parts if p.is_file()), *(self.folder / n for n in (_COMPOSITION, ABOUT))]
        return digest({str(p.relative_to(self.folder)): file_digest(p) for p in files})


def open_model(path: Path) -> SavedModel:
    """The model in a folder (or in `trained/` of an artifact); InputError where it is none."""
    folder = next((f for f in (path, path / "trained") if (f / _COMPOSITION).is_file()), None)
    if folder is None:
        raise InputError(f"{path}: no {_COMPOSITION} here; give {_WHAT}")
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
    if len(model.heads) != 1:
        raise InputError(
            f"{model.folder / _COMPOSITION}: {len(model.heads)} heads ({_list(model.heads)}), but "
            f"target '{target.name}' needs exactly one; give a model that was trained for it"
        )


def find_backbone(model: SavedModel, spec: Backbone, store: Store) -> BackboneFiles:
    """The files of the backbone; InputError unless it is the one that the model was trained on."""
    folder = Path(spec.path or "")
    if spec.kind == "pretrain":
        folder = store.path("backbone", model.backbone_digest)
        if not folder.is_dir():
            raise InputError(
                f"backbone '{spec.name}' {model.backbone_digest[:12]} is not in store {store.root}"
                "; name the store it was trained in with --store"
            )
    if spec.kind in ("pretrain", "folder") and (folder / "manifest.json").is_file():
        problem = verify_artifact(folder)
        if problem is not None:
            raise InputError(f"{folder}: damaged: {problem}; run its suite again to remake it")
        files = BackboneFiles(spec.name, folder, folder.name, spec.reduction_factor)
    else:
        files = locate_backbone(spec)
    if files.digest != model.backbone_digest:
        raise InputError(
            f"{model.folder / ABOUT}: trained on backbone '{model.backbone}' "
            f"({model.backbone_digest[:12]}), but '{files.name}' is {files.digest[:12]}; "
            "pass the one it was trained on with --backbone"
        )
    return files


def evaluate_model(
    model: SavedModel, targets: Sequence[Target], backbone: BackboneFiles, worker: Worker
) -> dict[str, Any]:
    """Score the model on targets that passed `check_target`, as a JSON document."""
    for target in targets:
        worker.data.tests(target)  # a wrong file is found before anything is computed
    base = load_backbone(backbone, worker.settings.numerics.torch_device)
    assembly = _load(model, base)
    identity = model.digest()
    results = []
    for target in targets:
        task_format = target_format(target, base.config.num_hidden_layers)
        head = model.heads[0] if task_format.trained else target.name
        goal = Goal(head, task_format, target.labels, model.seed)
        scored = worker.score(assembly, goal, target, backbone.folder)
        scores = language_scores(
            target, task_format, scored.statistics, scored.floors,
            _seen(model, target, worker.data.catalog),
        )  # fmt: skip
        results.append(_result(target, task_format, scores, model, identity, worker))
    return {
        "version": harness.__version__,
        "model": {
            "folder": str(model.folder), "digest": identity, "name": model.name,
            "recipe": model.recipe, "sources": list(model.sources), "seed": model.seed,
        },
        "backbone": {"name": backbone.name, "digest": backbone.digest},
        "numerics": plain(worker.settings.numerics),
        "targets": results,
    }  # fmt: skip


def _load(model: SavedModel, base: Any) -> Assembly:
    """The model on its backbone; the library would leave missing weights at random values."""
    try:
        assembly = load_assembly(base, model.folder)
        stored = {
            f"{'roberta.' if part == 'backbone' else ''}{name}"
            for part in _PARTS
            for path in (model.folder / part).rglob("*.safetensors")
            for name in _tensor_names(path)
        }
    except _LOADING as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(
            f"{model.folder}: cannot be loaded: {type(error).__name__}: {text}; give {_WHAT}"
        ) from error
    whole = (model.folder / "backbone").is_dir()
    missing = sorted(
        name
        for name, _ in assembly.model.named_parameters()
        if (whole or _ADDED.search(name)) and "prompt_tuning" not in name and name not in stored
    )
    if missing:
        raise InputError(f"{model.folder}: no weights for {missing[0]}; give {_WHAT}")
    return assembly


def _tensor_names(path: Path) -> list[str]:
    with safe_open(path, framework="numpy") as handle:
        return list(handle.keys())


def _result(
    target: Target,
    task_format: Format[Any],
    scores: Mapping[str, Any],
    model: SavedModel,
    identity: str,
    worker: Worker,
) -> dict[str, Any]:
    suite, numerics = worker.data.suite, worker.settings.numerics
    options = {"max_length": target.max_length, **task_format.signature()}
    about = {
        "name": target.name, "task": target.task, "format": target.format, "split": target.split,
        "train_language": target.train_language, "languages": list(target.languages),
        "options": options,
    }  # fmt: skip
    low = low_resource_definition(suite.low_resource, suite.low_resource_languages)
    data = data_summary(
        {f"{target.name}/test/{code}": d for code, d in worker.data.tests(target).items()}
    )
    return {
        "target": about,
        "scores": scores,
        "averages": averages(scores, about, low),
        "data": data,
        "signature": signature(
            [
                ("backbone", f"{model.backbone}@{model.backbone_digest[:8]}"),
                ("model", f"{model.name}@{identity[:8]}"),
                ("target", target.name),
                ("split", target.split),
                ("languages", f"{len(target.languages)}@{digest(target.languages)[:8]}"),
                ("data", digest(data["fingerprints"])[:8]),
                *((k, str(v).lower()) for k, v in plain(numerics).items()),
                *((f"{target.format}.{k}", str(v) or "none") for k, v in sorted(options.items())),
                ("low-resource", low["id"] if low else "none"),
                ("version", harness.__version__),
            ]
        ),
    }


def _seen(model: SavedModel, target: Target, catalog: Catalog) -> dict[str, str]:
    """As in records; `unknown` where the model names trainings that the catalog does not know."""
    pairs = []
    for name in (model.name, *model.sources):
        if name in catalog.sources:
            pairs.append((catalog.sources[name].task, catalog.sources[name].language))
        elif name not in catalog.targets:
            return dict.fromkeys(target.languages, "unknown")
        elif catalog.targets[name].train is not None:
            pairs.append((catalog.targets[name].task, catalog.targets[name].train_language))
    return seen_before(target, pairs)


class _Fields:
    """A JSON object of a model folder, read with errors that name file and field."""

    def __init__(self, path: Path, value: Any = None, prefix: str = "") -> None:
        self.path, self.prefix = path, prefix
        if value is None and not prefix:
            try:
                value = json.loads(path.read_bytes())
            except (OSError, ValueError) as error:
                raise InputError(f"{path}: missing or no JSON; give {_WHAT}") from error
        if not isinstance(value, dict):
            raise InputError(f"{path}: {prefix}not a JSON object; give {_WHAT}")
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
        return InputError(f"{place}: got {got}; allowed: {allowed}; give {_WHAT}")


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
