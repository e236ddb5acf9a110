"""Evaluating a saved model: its backbone, its weights, its scores on targets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

import harness
from harness.bench.data import data_summary, scored_sets
from harness.bench.records import language_scores, seen_before
from harness.bench.saved_model import PARTS, WHAT, SavedModel
from harness.bench.scoring import Scorer, target_format, target_options
from harness.bench.store import Store, verify_artifact
from harness.bench.work import ABOUT
from harness.catalog import Backbone, Catalog, Target
from harness.errors import InputError
from harness.formats import Format
from harness.model import (
    Assembly,
    BackboneFiles,
    files_of,
    library_reason,
    load_assembly,
    load_backbone,
    load_tokenizer,
    locate_backbone,
    lowest_fusion,
)
from harness.recipes import Goal
from harness.results import averages, evaluation_signature, low_resource_definition

_ADDED = re.compile(r"\.adapters\.|\.adapter_fusion_layer\.|^heads\.")  # not of the backbone
_LOADING = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError)


def find_backbone(model: SavedModel, spec: Backbone, store: Store) -> BackboneFiles:
    """The files of the backbone; InputError unless it is the one that the model was trained on."""
    folder, known = Path(spec.path or ""), list[str]()
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
        known.append(folder.name)  # a model names a backbone that a step made by its key
        files = files_of(spec, folder)
    else:
        files = locate_backbone(spec)
    known.append(files.digest)
    if model.backbone_digest not in known:
        raise InputError(
            f"{model.folder / ABOUT}: trained on backbone '{model.backbone}' "
            f"({model.backbone_digest[:12]}), but '{files.name}' is {known[0][:12]}; "
            "pass the one it was trained on with --backbone"
        )
    return files


def evaluate_model(
    model: SavedModel,
    targets: Sequence[Target],
    backbone: BackboneFiles,
    scorer: Scorer,
    *,
    attention: bool = False,
) -> dict[str, Any]:
    """Score the model on targets that passed `check_target`, as a JSON document.

    With `attention` also what its fusion attends to in each language; InputError if it has none.
    """
    if attention and not model.fusions:
        raise InputError(
            f"--attention: {model.folder}: no AdapterFusion in it (recipe '{model.recipe}'); "
            "give a model that fuses several sources"
        )
    for target in targets:
        scored_sets(scorer.data, target)  # a wrong file is found before anything is computed
    scorer.settings.numerics.apply()
    numerics = scorer.settings.numerics
    base = load_backbone(backbone, numerics.torch_device, numerics.frozen_dtype)
    assembly = load_model(model, base)
    if attention:
        _check_attention(model, assembly, targets)
    about = {
        "version": harness.__version__,
        "model": {
            "folder": str(model.folder), "digest": model.digest(), "name": model.name,
            "recipe": model.recipe, "sources": list(model.sources), "seed": model.seed,
        },
        "backbone": {"name": model.backbone, "digest": backbone.digest},
        "numerics": scorer.settings.numerics.identity(),
    }  # fmt: skip
    results = []
    for target in targets:
        task_format = target_format(target, base.config.num_hidden_layers)
        head = model.heads[0] if task_format.trained else target.name
        goal = Goal(head, task_format, target.labels, model.seed)
        scored = scorer.score(assembly, goal, target, load_tokenizer(backbone.folder))
        scores = language_scores(
            target, task_format, scored.statistics, scored.floors,
            _seen(model, target, scorer.data.catalog), scored.tuned,
        )  # fmt: skip
        results.append(_result(target, task_format, scores, about, scorer))
        if attention:
            run = scorer.start(assembly, goal, target, load_tokenizer(backbone.folder))
            tests = scorer.data.tests(target)
            run.total = sum(map(len, tests.values()))
            results[-1]["attention"] = {
                "adapters": model.fusions[0].split(","),
                "layers": {code: run.attentions(dataset) for code, dataset in tests.items()},
            }
    return {**about, "targets": results}


def _check_attention(model: SavedModel, assembly: Assembly, targets: Sequence[Target]) -> None:
    """InputError unless every target's passes reach a fusion whose attention is told."""
    depth, lowest = assembly.model.config.num_hidden_layers, lowest_fusion(assembly.model)
    if lowest is None:
        raise InputError(
            f"--attention: {model.folder}: its AdapterFusion is not active; leave the option out"
        )
    reason = library_reason(assembly.model)
    if reason:
        raise InputError(
            f"--attention: {model.folder}: its fusion is computed by the adapters library, which "
            f"tells none ({reason}); leave the option out"
        )
    for target in targets:
        read = target_format(target, depth).layers_run(depth)
        if read <= lowest:
            raise InputError(
                f"--attention: target '{target.name}' reads layer {read} of {depth}, but the "
                f"model's fusions begin in layer {lowest + 1}; leave the option out, or give the "
                f"target `options: {{layer: {lowest + 1}}}` or more"
            )


def load_model(model: SavedModel, base: Any) -> Assembly:
    """The model on its backbone; the library would leave missing weights at random values."""
    try:
        assembly = load_assembly(base, model.folder)
        stored = {
            f"{'roberta.' if part == 'backbone' else ''}{name}"
            for part in PARTS
            for path in (model.folder / part).rglob("*.safetensors")
            for name in _tensor_names(path)
        }
    except _LOADING as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(
            f"{model.folder}: cannot be loaded: {type(error).__name__}: {text}; give {WHAT}"
        ) from error
    whole = (model.folder / "backbone").is_dir()
    missing = sorted(
        name
        for name, _ in assembly.model.named_parameters()
        if (whole or _ADDED.search(name)) and "prompt_tuning" not in name and name not in stored
    )
    if missing:
        raise InputError(f"{model.folder}: no weights for {missing[0]}; give {WHAT}")
    return assembly


def _tensor_names(path: Path) -> list[str]:
    with safe_open(path, framework="numpy") as handle:
        return list(handle.keys())


def _result(
    target: Target,
    task_format: Format[Any],
    scores: Mapping[str, Any],
    about: Mapping[str, Any],
    scorer: Scorer,
) -> dict[str, Any]:
    suite = scorer.data.suite
    options = target_options(target, task_format, scorer.settings)
    scored = {
        "name": target.name, "task": target.task, "format": target.format, "split": target.split,
        "train_language": target.train_language, "languages": list(target.languages),
        "options": options,
    }  # fmt: skip
    low = low_resource_definition(suite.low_resource, suite.low_resource_languages)
    data = data_summary(scored_sets(scorer.data, target))
    result = {
        "target": scored,
        "scores": scores,
        "averages": averages(scores, scored, low),
        "data": data,
    }
    return {**result, "signature": evaluation_signature({**about, **result})}


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
