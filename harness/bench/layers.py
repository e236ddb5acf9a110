"""A layer sweep: the scores of a retrieval target by layer and pooling, from one forward pass."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import harness
from harness.bench.data import data_summary
from harness.bench.evaluate import load_model
from harness.bench.saved_model import SavedModel
from harness.bench.scoring import Pass, Scorer, target_format, target_options
from harness.catalog import Target
from harness.data import Dataset
from harness.errors import InputError, WorkError
from harness.formats import (
    EncodeOptions,
    Format,
    RetrievalFormat,
    RetrievalOptions,
    Tuned,
    get_format,
)
from harness.model import BackboneFiles, load_backbone, load_tokenizer
from harness.recipes import Goal, get_recipe
from harness.results import evaluation_signature, low_resource_definition

_RANGE = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?")
_SPARE = 1 << 28  # bytes of disk that a sweep leaves free


def parse_layers(text: str, depth: int) -> tuple[int, ...]:
    """`all`, or numbers and ranges such as `0,8-16`, as layers in order (0: the embeddings)."""
    if text == "all":
        return tuple(range(depth + 1))
    found: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last <= depth:
            raise InputError(
                f"--layers: '{text}'; write all, or layers from 0 to {depth} such as 0,8-16"
            )
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def check_sweep(target: Target, on: str) -> None:
    """InputError where a target has no layers to choose, or no rows to choose them on."""
    name = target.name
    if not isinstance(get_format(target.format), RetrievalFormat):
        raise InputError(
            f"target '{name}': format '{target.format}' has no layer to choose; "
            "choose a target of retrieval"
        )
    if on == "dev" and target.dev is None:
        raise InputError(
            f"target '{name}' has no dev set: its layers can be compared only on the rows that "
            "are scored, and no choice may rest on that; --on test compares them all the same"
        )


def sweep_layers(
    model: SavedModel | None,
    target: Target,
    backbone: BackboneFiles,
    scorer: Scorer,
    *,
    layers: Sequence[int],
    poolings: Sequence[Any],
    on: str,
) -> dict[str, Any]:
    """Scores on `dev` or `test` by layer and pooling, as a JSON document.

    `check_sweep` and `parse_layers` come first: they know what is wrong before anything is loaded.

    Without a model that of the bare backbone. Vectors are kept in temporary files.
    """
    sets = {code: _sets(scorer, target, code, on) for code in target.languages}
    scorer.settings.numerics.apply()
    numerics = scorer.settings.numerics
    base = load_backbone(backbone, numerics.torch_device, numerics.frozen_dtype)
    form: Any = target_format(target, base.config.num_hidden_layers)
    variants = [RetrievalOptions(layer, pooling) for layer in layers for pooling in poolings]
    goal = Goal(target.name, form, target.labels, 0 if model is None else model.seed)
    if model is None:
        bare = get_recipe("direct")
        assembly = bare.assemble(base, goal, [], backbone.reduction_factor)
    else:
        assembly = load_model(model, base)
    options = EncodeOptions(max_length=target.max_length, doc_stride=target.doc_stride)
    run = Pass(scorer, assembly, goal, options, load_tokenizer(backbone.folder))
    run.total = sum(len(dataset) for found in sets.values() for dataset in found.values())
    found = {
        code: _scores(run, form, variants, sets[code], on, base.config.hidden_size)
        for code in target.languages
    }
    rows = [
        {
            "layer": variant.layer,
            "pooling": variant.pooling,
            "score": fmean(scores[variant] for scores in found.values()),
            "languages": {code: scores[variant] for code, scores in found.items()},
        }
        for variant in variants
    ]
    return _document(model, target, backbone, scorer, form, rows, sets, on)


def _sets(scorer: Scorer, target: Target, code: str, on: str) -> dict[str, Dataset]:
    """What a language is scored on, and before it what it is tuned on, if that is another set."""
    data = scorer.data
    if on == "dev":
        return {"dev": data.tuning(target, code)}
    tunings = {"dev": data.tuning(target, code)} if data.tunings(target) else {}
    return {**tunings, "test": data.test(target, code)}


def _scores(
    run: Pass,
    form: RetrievalFormat[Any],
    variants: Sequence[RetrievalOptions],
    sets: dict[str, Dataset],
    on: str,
    width: int,
) -> dict[RetrievalOptions, float]:
    """The task score in one language by layer and pooling."""
    goal, tuned, scores = run.goal, dict[RetrievalOptions, Tuned[Any]](), {}
    for split, dataset in sets.items():
        with tempfile.TemporaryDirectory(prefix="xstilts-layers-") as name:
            run.goal = replace(goal, format=form.computing(variants, Path(name)))
            features = run.encode(dataset)
            _check_room(Path(name), len(features) * len(variants) * width * 4)
            passed = run.logits(dataset, features)
            for variant in variants:
                chosen: Format[Any] = form.with_options(variant)
                predictions = None
                if split == "dev" and chosen.tuned:
                    tuned[variant] = chosen.tune(*passed)
                    predictions = tuned[variant].predictions
                if split != on:
                    continue
                if predictions is None:
                    chosen = tuned[variant].format if variant in tuned else chosen
                    predictions = chosen.decode(*passed)
                statistics = chosen.statistics(predictions, dataset.examples)
                scores[variant] = chosen.task_score(chosen.aggregate(statistics))
            del passed, features  # the files of the vectors go
    run.goal = goal
    return scores


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed + _SPARE > free:
        raise WorkError(
            f"{folder.parent}: {free >> 20} MiB are free, but the vectors of a sweep need "
            f"{needed >> 20}; choose fewer --layers or one --pooling, or set TMPDIR"
        )


def _document(
    model: SavedModel | None,
    target: Target,
    backbone: BackboneFiles,
    scorer: Scorer,
    form: RetrievalFormat[Any],
    rows: list[dict[str, Any]],
    sets: dict[str, dict[str, Dataset]],
    on: str,
) -> dict[str, Any]:
    suite = scorer.data.suite
    low = low_resource_definition(suite.low_resource, suite.low_resource_languages)
    named = {
        f"{target.name}/{split}/{code}": dataset
        for code, found in sets.items()
        for split, dataset in found.items()
    }
    document = {
        "version": harness.__version__,
        "model": {"name": "bare", "digest": backbone.digest}
        if model is None
        else {"name": model.name, "digest": model.digest(), "folder": str(model.folder)},
        "backbone": {"name": backbone.name, "digest": backbone.digest},
        "numerics": scorer.settings.numerics.identity(),
        "target": {
            "name": target.name, "task": target.task, "format": target.format,
            "split": target.split if on == "test" else "dev",
            "train_language": target.train_language, "languages": list(target.languages),
            "options": {**target_options(target, form, scorer.settings),
                        "layer": "*", "pooling": "*"},
        },
        "on": on,
        "default": {"layer": form.retrieval.layer, "pooling": form.retrieval.pooling},
        "rows": rows,
        "data": data_summary(named),
    }  # fmt: skip
    signed = {**document, "averages": {"low_resource_definition": low}}
    return {**document, "signature": evaluation_signature(signed)}
