"""A cell's record from its artifacts: scores, floors, what was seen, costs, what is derived."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

import harness
from harness.bench.data import SuiteData
from harness.bench.plan import Cell
from harness.bench.record_data import RecordData
from harness.bench.scoring import target_format, target_options
from harness.bench.steps import Settings, SourceWork, adapter_steps, joint_hyperparameters
from harness.bench.store import Store
from harness.bench.work import FLOORS, PREDICTIONS, STATISTICS, TUNED
from harness.canonical import file_digest, plain
from harness.catalog import SourceSet, Suite, Target, Training
from harness.errors import WorkError
from harness.formats import Format, Statistics
from harness.model import check_backbone, stored_parameters
from harness.recipes import get_recipe
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
    _data: RecordData = field(init=False)
    _environment: dict[str, Any] | None = None
    _backbones: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._store = Store(self.settings.store)
        self._data = RecordData(self.data)

    def write(self, cell: Cell) -> dict[str, Any]:
        """Build the cell's record, validate it, write it and return it."""
        record = self.build(cell)
        path = record_path(self.out, cell, record["id"])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_record(path, record)
        return record

    def build(self, cell: Cell) -> dict[str, Any]:
        """The record of a cell whose steps are all done."""
        folder = self._need("predict", cell.predict)
        backbone = self._backbone(cell)
        task_format = target_format(cell.target, backbone["layers"])
        fitted = self._read("fit", cell.fit, "training.json") if cell.fit else None
        data = self._data.block(cell)
        if self._environment is None:
            self._environment = environment(gpu=self.settings.numerics.gpu_name)
        parts = {
            "version": harness.__version__,
            "backbone": backbone,
            "recipe": {
                "name": cell.recipe.name,
                "kind": cell.recipe.kind,
                "options": plain(cell.recipe.options),
            },
            "source_set": _source_set(cell),
            "target": {
                "name": cell.target.name,
                "task": cell.target.task,
                "format": cell.target.format,
                "split": cell.target.split,
                "train_language": cell.target.train_language,
                "languages": list(cell.target.languages),
                "options": target_options(cell.target, task_format, self.settings),
            },
            "setting": self._setting(cell),
            "seed": cell.seed,
            "numerics": self.settings.numerics.identity(),
            "scores": self._scores(cell, folder, task_format, data["overlap"]),
            "selection": self._selection(cell, fitted),
            "trials": None,
            "data": data,
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

    def _scores(
        self,
        cell: Cell,
        folder: Path,
        task_format: Format[Any],
        overlap: Mapping[str, Mapping[str, int]],
    ) -> dict[str, Any]:
        trained_on = [(ref.source.task, ref.source.language) for ref in cell.sources]
        if cell.fit and cell.target.train is not None:
            trained_on.append((cell.target.task, cell.target.train_language))
        seen = seen_before(cell.target, trained_on)
        seen |= {code: "data" for code, counts in overlap.items() if any(counts.values())}
        return language_scores(
            cell.target,
            task_format,
            load_file(folder / STATISTICS),
            load_file(folder / FLOORS),
            seen,
            json.loads((folder / TUNED).read_bytes()) if task_format.tuned else {},
        )

    # --- the other blocks ---

    def _backbone(self, cell: Cell) -> dict[str, Any]:
        reference = cell.backbone
        if reference.digest not in self._backbones:
            folder = reference.folder or self._need("backbone", str(reference.step))
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            self._backbones[reference.digest] = {
                "name": reference.name,
                # Of a backbone made here, the reference has the key of the step that made it.
                "digest": reference.digest if reference.folder else check_backbone(folder),
                "parameters": stored_parameters([folder]),
                "layers": config["num_hidden_layers"],
                "hidden_size": config["hidden_size"],
            }
        return self._backbones[reference.digest]

    def _setting(self, cell: Cell) -> dict[str, Any]:
        """How the target was trained (empty where it was not), and each source."""
        adapters = cell.backbone.adapters
        if get_recipe(cell.recipe.kind).full:  # it has none, so their place says nothing
            adapters = {"reduction_factor": adapters["reduction_factor"]}

        def used(training: Training) -> dict[str, Any]:
            return {**plain(training), **adapters}

        return {
            "name": cell.setting,
            "hyperparameters": used(cell.training) if cell.training else {},
            "sources": {
                ref.name: used(ref.work.training)
                if isinstance(ref.work, SourceWork)
                else {"adapter": ref.work.digest}
                for ref in cell.sources
            },
            "joint": {**joint_hyperparameters(cell.joint), **adapters} if cell.joint else None,
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

    def _costs(self, cell: Cell) -> dict[str, Any]:
        own = [self._read("predict", cell.predict, "costs.json")]
        if cell.fit:
            own.append(self._read("fit", cell.fit, "costs.json"))
        steps = adapter_steps(cell.sources)
        shared = [self._read("source", step, "costs.json") for step in steps]
        fitted = own[1] if cell.fit else {}
        wall = sum(part["wall_seconds"] for part in own)
        return {
            "wall_seconds": wall,
            "device_seconds": 0.0 if self.settings.numerics.device == "cpu" else wall,
            "cpu_seconds": sum(part["cpu_seconds"] for part in own),
            "peak_memory_bytes": max(part["peak_memory_bytes"] for part in own),
            "trainable_parameters": fitted.get("trainable_parameters", 0),
            "stored_parameters": fitted["stored_parameters"] if cell.fit else self._adapters(cell),
            "train_tokens": fitted.get("train_tokens", 0),
            "steps": fitted.get("steps", 0),
            "shared_seconds": sum(part["wall_seconds"] for part in shared),
        }

    def _adapters(self, cell: Cell) -> int:
        """Parameters of the sources' adapters, all there is to store where nothing was fitted."""
        steps = adapter_steps(cell.sources)
        folders = [self._need("source", step) / "trained" / "adapters" for step in steps]
        return stored_parameters(folders)

    def _file(self, path: Path) -> dict[str, str]:
        # Of the real folders: `..` leaves the folder that a link leads to, not the link's own.
        name = os.path.relpath(path.resolve(), records_folder(self.out).resolve())
        return {"path": Path(name).as_posix(), "sha256": file_digest(path)}

    def _read(self, kind: str, key: str | None, name: str) -> Any:
        return json.loads((self._need(kind, str(key)) / name).read_bytes())

    def _need(self, kind: str, key: str) -> Path:
        folder = self._store.get(kind, key)
        if folder is None:
            raise WorkError(
                f"store: {kind} {key[:12]} is missing or damaged; run the same command again"
            )
        return folder


def _source_set(cell: Cell) -> dict[str, Any] | None:
    """What the set is made of; a budget is of all its sources together."""
    one = cell.source_set
    if one is None:
        return None
    return {
        "name": one.name,
        "sources": [ref.name for ref in cell.sources],
        "budget": _drawn(one),
        "mixture": str(one.mixture) if cell.mixes else None,
        "stand_ins": sorted({ref.source.name for ref in cell.sources if ref.source.stand_in}),
    }


def _drawn(one: SourceSet) -> str | None:
    """The budget, and whether sources were drawn in parallel; None where all rows trained."""
    if one.budget is None:
        return None
    return f"{one.budget},parallel" if one.parallel else str(one.budget)


def language_scores(
    target: Target,
    task_format: Format[Any],
    statistics: Mapping[str, Statistics],
    floors: Mapping[str, Statistics],
    seen: Mapping[str, str],
    tuned: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """The `scores` block: per language metrics, task score, floor, whether it beats the floor.

    Where a dev set decided something (a threshold), that too.
    """
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
            tuned=tuned.get(language),
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


def records_folder(out: Path) -> Path:
    """Where the records of a run are."""
    return out / "records"


def record_path(out: Path, cell: Cell, record_id: str) -> Path:
    """Where a cell's record is; its name says what it is about.

    The id in it keeps a run with other arithmetic or data from overwriting the record.
    """
    parts = [cell.backbone.name, cell.target.name, cell.recipe.name]
    if cell.source_set:
        parts.append(cell.source_set.name)
    name = "--".join([*parts, cell.setting, f"seed{cell.seed}", record_id[:8]])
    return records_folder(out) / f"{name}.json"
