"""A cell's record from its artifacts: scores, floors, what was seen, costs, what is derived."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

import harness
from harness.bench.data import SuiteData, data_summary
from harness.bench.plan import Cell
from harness.bench.scoring import target_format, target_options
from harness.bench.steps import Settings
from harness.bench.store import Store
from harness.bench.work import FLOORS, PREDICTIONS, STATISTICS
from harness.canonical import file_digest, plain
from harness.catalog import Suite, Target
from harness.data import Dataset
from harness.errors import WorkError
from harness.formats import Format, Statistics
from harness.model import stored_parameters
from harness.results import (
    build_record,
    environment,
    language_score,
    paired_bootstrap_margin,
    write_record,
)


@dataclass(slots=True)
class RecordMaker:
    """Builds and writes the records of a run into `out/records/`."""

    suite: Suite
    data: SuiteData
    settings: Settings
    out: Path
    _store: Store = field(init=False)
    _environment: dict[str, Any] | None = None
    _shapes: dict[str, dict[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._store = Store(self.settings.store)

    def write(self, cell: Cell) -> dict[str, Any]:
        """Build the cell's record, validate it, write it and return it."""
        record = self.build(cell)
        path = record_path(self.out, cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_record(path, record)
        return record

    def build(self, cell: Cell) -> dict[str, Any]:
        """The record of a cell whose steps are all done."""
        folder = self._need("predict", cell.predict)
        backbone = self._backbone(cell)
        task_format = target_format(cell.target, backbone["layers"])
        fitted = self._read("fit", cell.fit, "training.json") if cell.fit else None
        if self._environment is None:
            self._environment = environment(gpu=self._gpu())
        parts = {
            "version": harness.__version__,
            "backbone": backbone,
            "recipe": {
                "name": cell.recipe.name,
                "kind": cell.recipe.kind,
                "options": plain(cell.recipe.options),
            },
            "source_set": {
                "name": cell.source_set.name,
                "sources": list(cell.source_set.sources),
            }
            if cell.source_set
            else None,
            "target": {
                "name": cell.target.name,
                "task": cell.target.task,
                "format": cell.target.format,
                "split": cell.target.split,
                "train_language": cell.target.train_language,
                "languages": list(cell.target.languages),
                "options": target_options(cell.target, task_format, self.settings),
            },
            "setting": {"name": cell.setting, "hyperparameters": self._hyperparameters(cell)},
            "seed": cell.seed,
            "numerics": plain(self.settings.numerics),
            "scores": self._scores(cell, folder, task_format),
            "selection": self._selection(cell, fitted),
            "trials": None,
            "data": self._data(cell),
            "files": {
                "predictions": self._file(folder / PREDICTIONS),
                "statistics": self._file(folder / STATISTICS),
            },
            "costs": self._costs(cell),
            "environment": self._environment,
        }
        return build_record(
            parts,
            low_resource=self.suite.low_resource,
            low_resource_languages=self.suite.low_resource_languages,
        )

    # --- scores ---

    def _scores(self, cell: Cell, folder: Path, task_format: Format[Any]) -> dict[str, Any]:
        trained_on = [(ref.source.task, ref.source.language) for ref in cell.sources]
        if cell.fit and cell.target.train is not None:
            trained_on.append((cell.target.task, cell.target.train_language))
        return language_scores(
            cell.target,
            task_format,
            load_file(folder / STATISTICS),
            load_file(folder / FLOORS),
            seen_before(cell.target, trained_on),
        )

    # --- the other blocks ---

    def _backbone(self, cell: Cell) -> dict[str, Any]:
        reference = cell.backbone
        if reference.digest not in self._shapes:
            folder = reference.folder or self._need("backbone", str(reference.step))
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            self._shapes[reference.digest] = {
                "parameters": stored_parameters([folder]),
                "layers": config["num_hidden_layers"],
                "hidden_size": config["hidden_size"],
            }
        return {
            "name": reference.name,
            "digest": reference.digest,
            **self._shapes[reference.digest],
        }

    def _hyperparameters(self, cell: Cell) -> dict[str, Any]:
        if cell.training is None:
            return {}
        return {
            **plain(cell.training),
            "reduction_factor": cell.backbone.reduction_factor,
        }

    def _selection(self, cell: Cell, fitted: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if not fitted or fitted["best_score"] is None:
            return None
        return {
            "on": "dev",
            "language": cell.target.train_language,
            "metric": "task_score",
            "best": fitted["best_score"],
            "step": fitted["best_step"],
            "evaluations": len(fitted["history"]),
            "stopped_early": fitted["stopped_early"],
        }

    def _data(self, cell: Cell) -> dict[str, Any]:
        datasets: dict[str, Dataset] = {
            f"{cell.target.name}/test/{language}": dataset
            for language, dataset in self.data.tests(cell.target).items()
        }
        if cell.fit and cell.target.train is not None:
            for split in ("train", "dev"):
                datasets[f"{cell.target.name}/{split}"] = self.data.target(cell.target, split)
        for ref in cell.sources:
            for split in ("train", "dev"):
                name = f"{ref.source.name}/{split}"
                datasets[name] = self.data.source(ref.source, split)
        # Rows that overlap were dropped before training (their number is in counts), so none is
        # left.
        return {**data_summary(datasets), "overlap": {}}

    def _costs(self, cell: Cell) -> dict[str, Any]:
        own = [self._read("predict", cell.predict, "costs.json")]
        if cell.fit:
            own.append(self._read("fit", cell.fit, "costs.json"))
        shared = [self._read("source", ref.step, "costs.json") for ref in cell.sources]
        fitted = own[1] if cell.fit else {}
        wall = sum(part["wall_seconds"] for part in own)
        return {
            "wall_seconds": wall,
            "device_seconds": 0.0 if self.settings.numerics.device == "cpu" else wall,
            "cpu_seconds": sum(part["cpu_seconds"] for part in own),
            "peak_memory_bytes": max(part["peak_memory_bytes"] for part in own),
            "trainable_parameters": fitted.get("trainable_parameters", 0),
            "stored_parameters": sum(
                part["stored_parameters"] for part in [fitted, *shared] if part
            ),
            "train_tokens": fitted.get("train_tokens", 0),
            "steps": fitted.get("steps", 0),
            "shared_seconds": sum(part["wall_seconds"] for part in shared),
        }

    def _gpu(self) -> str | None:
        if self.settings.numerics.device == "cpu":
            return None
        import torch  # noqa: PLC0415  (records need torch only to name the GPU)

        return torch.cuda.get_device_name(self.settings.numerics.torch_device)

    def _file(self, path: Path) -> dict[str, str]:
        try:
            name = str(path.relative_to(self.out))
        except ValueError:  # the store is elsewhere (--store)
            name = str(Path("store") / path.relative_to(self.settings.store))
        return {"path": name, "sha256": file_digest(path)}

    def _read(self, kind: str, key: str | None, name: str) -> Any:
        return json.loads((self._need(kind, str(key)) / name).read_bytes())

    def _need(self, kind: str, key: str) -> Path:
        folder = self._store.get(kind, key)
        if folder is None:
            raise WorkError(
                f"store: {kind} {key[:12]} is missing or damaged; run the same command again"
            )
        return folder


def language_scores(
    target: Target,
    task_format: Format[Any],
    statistics: Mapping[str, Statistics],
    floors: Mapping[str, Statistics],
    seen: Mapping[str, str],
) -> dict[str, Any]:
    """The `scores` block: per language metrics, task score, floor, whether it beats the floor."""
    scores = {}
    for language in target.languages:
        values, floor = statistics[language], floors[language]
        metrics = task_format.aggregate(values)

        def score(rows: Statistics) -> float:
            return task_format.task_score(task_format.aggregate(rows))

        def score_sums(sums: Statistics, n: int = len(values)) -> Statistics:
            return task_format.score_of_sums(sums, n)

        scores[language] = language_score(
            metrics=metrics,
            score=task_format.task_score(metrics),
            n=len(values),
            seen=seen[language],
            floor=score(floor),
            margin=paired_bootstrap_margin(values, floor, score, aggregate_sums=score_sums),
        )
    return scores


def seen_before(target: Target, trained_on: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What trainings, as (task, language) pairs, had shown of each of the target's languages."""
    pairs = set(trained_on)
    tasks = {language for task, language in pairs if task == target.task}
    languages = {language for _, language in pairs}
    return {
        code: "task" if code in tasks else "language" if code in languages else "nothing"
        for code in target.languages
    }


def record_path(out: Path, cell: Cell) -> Path:
    """Where a cell's record is; its name says what it is about."""
    parts = [cell.backbone.name, cell.target.name, cell.recipe.name]
    if cell.source_set:
        parts.append(cell.source_set.name)
    name = "--".join([*parts, cell.setting, f"seed{cell.seed}"])
    return out / "records" / f"{name}.json"
