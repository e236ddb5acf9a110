"""From a suite to steps: every source adapter once, every fit and prediction that a cell needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.bench.data import SuiteData
from harness.bench.steps import (
    BackboneRef,
    BackboneWork,
    FitWork,
    PredictWork,
    Settings,
    SourceRef,
    SourceWork,
    Step,
    selecting,
    step_key,
)
from harness.bench.store import Store
from harness.canonical import plain
from harness.catalog import Backbone, Catalog, Recipe, Source, SourceSet, Suite, Target, Training
from harness.errors import InputError
from harness.formats import get_format
from harness.model import locate_backbone
from harness.recipes import get_recipe

_PREDICT_SHARE = 1 / 3  # a forward pass costs a third of forward and backward


@dataclass(frozen=True, slots=True)
class Cell:
    """What one record is about, and the steps behind it."""

    backbone: BackboneRef
    recipe: Recipe
    source_set: SourceSet | None
    target: Target
    setting: str
    training: Training | None
    seed: int
    sources: tuple[SourceRef, ...]
    fit: str | None
    predict: str
    row: str  # its row in the summary


@dataclass(slots=True)
class Plan:
    """Steps in an order in which they can be done, and the cells whose records they make."""

    steps: dict[tuple[str, str], Step] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)

    def done(self, store: Store) -> set[tuple[str, str]]:
        """The steps whose artifacts are in the store, whole; changes nothing there."""
        return {step.id for step in self.steps.values() if store.has(step.kind, step.key)}


@dataclass(frozen=True, slots=True)
class Selection:
    """What part of a suite to run; empty means all. `seeds` replaces the suite's."""

    only: Mapping[str, Sequence[str]] = field(default_factory=dict)  # recipe, set, target, setting
    seeds: Sequence[int] = ()
    backbone: Backbone | None = None


def make_plan(
    catalog: Catalog, suite: Suite, data: SuiteData, settings: Settings, selection: Selection
) -> Plan:
    """The steps and cells of a suite (or the selected part); reads all data that it needs."""
    return _Planner(catalog, suite, data, settings, selection).plan()


def plan_source(
    source: Source,
    backbone: Backbone,
    data: SuiteData,
    settings: Settings,
    setting: str,
    seed: int,
) -> Plan:
    """The plan of training one source adapter."""
    planner = _Planner(data.catalog, data.suite, data, settings, Selection())
    planner.source_step(planner.backbone(backbone), source, setting, seed)
    return planner.result


@dataclass(slots=True)
class _Planner:
    catalog: Catalog
    suite: Suite
    data: SuiteData
    settings: Settings
    selection: Selection
    result: Plan = field(default_factory=Plan)
    _backbones: dict[str, BackboneRef] = field(default_factory=dict)

    def plan(self) -> Plan:
        backbones = (
            [self.selection.backbone]
            if self.selection.backbone
            else [self.catalog.backbone(name) for name in self.suite.backbones]
        )
        seeds = tuple(self.selection.seeds) or self.suite.seeds
        for spec in backbones:
            backbone = self.backbone(spec)
            for seed in seeds:
                for combination in self._combinations():
                    self._cell(backbone, *combination, seed)
        if not self.result.cells:
            raise InputError(
                f"suite '{self.suite.name}': nothing is left to run with "
                + " ".join(f"--only {k}={','.join(v)}" for k, v in self.selection.only.items())
                + "; see `xstilts plan "
                + self.suite.name
                + "` for what there is"
            )
        return self.result

    def _combinations(self) -> Iterator[tuple[Recipe, SourceSet | None, Target, str, str]]:
        seen = set()
        for block in self.suite.blocks:
            for recipe_name in block.recipes:
                recipe = self.catalog.recipe(recipe_name)
                sets: Sequence[str | None] = (
                    [None] if recipe.sources == "none" else list(block.source_sets)
                )
                for set_name in sets:
                    source_set = self.catalog.source_set(set_name) if set_name else None
                    for target_name in block.targets:
                        target = self.catalog.target(target_name)
                        for setting in self.suite.settings:
                            cell = (recipe_name, set_name, target_name, setting)
                            if cell not in seen and self._selected(*cell):
                                seen.add(cell)
                                row = _row(recipe, source_set, block.row)
                                yield recipe, source_set, target, setting, row

    def _selected(self, recipe: str, set_name: str | None, target: str, setting: str) -> bool:
        values = {"recipe": recipe, "set": set_name, "target": target, "setting": setting}
        return all(values[k] in allowed for k, allowed in self.selection.only.items())

    # --- steps ---

    def backbone(self, spec: Backbone) -> BackboneRef:
        """The reference to a backbone, with a step that makes it where it has to be pretrained."""
        if spec.name in self._backbones:
            return self._backbones[spec.name]
        if spec.pretrain is not None:
            texts = self.data.texts(spec)
            inputs = {
                "backbone": plain(spec.pretrain),
                "texts": texts.fingerprint,
                "micro": self._micro(spec.pretrain.batch_tokens),
            }
            step = self._add(
                "backbone",
                f"pretrain {spec.name}",
                inputs,
                (),
                BackboneWork(spec),
                float(spec.pretrain.steps * spec.pretrain.batch_tokens),
            )
            reference = BackboneRef(spec.name, step.key, spec.reduction_factor, step=step.key)
        else:
            files = locate_backbone(spec)
            reference = BackboneRef(
                spec.name, files.digest, files.reduction_factor, folder=files.folder
            )
        self._backbones[spec.name] = reference
        return reference

    def source_step(
        self, backbone: BackboneRef, source: Source, setting: str, seed: int
    ) -> SourceRef:
        """The step that trains a source adapter under a setting."""
        training = source.training_for(setting)
        train, dev = self.data.source(source, "train"), self.data.source(source, "dev")
        inputs = {
            **self._backbone_inputs(backbone),
            "source": _task_identity(source),
            "training": plain(training),
            "format": get_format(source.format).version,
            "data": [train.fingerprint, dev.fingerprint],
            "micro": self._micro(training.batch_tokens),
            "batch": self.settings.predict_tokens,  # dev scores select the weights
            "seed": seed,
        }
        step = self._add(
            "source",
            f"source {source.name} (seed {seed})",
            inputs,
            _backbone_needs(backbone),
            SourceWork(backbone, source, training, seed),
            _training_cost(training, len(train), source.format),
        )
        return SourceRef(source, step.key)

    def _cell(
        self,
        backbone: BackboneRef,
        recipe: Recipe,
        source_set: SourceSet | None,
        target: Target,
        setting: str,
        row: str,
        seed: int,
    ) -> None:
        implementation = get_recipe(recipe.kind)
        task_format = get_format(target.format)
        if not implementation.defined(task_format):
            return
        sources = tuple(
            self.source_step(backbone, self.catalog.source(name), setting, seed)
            for name in (source_set.sources if source_set else ())
        )
        mode = implementation.fit(task_format)
        training = target.settings.get(setting)
        fit = None
        if mode is not None:
            if training is None:
                raise InputError(
                    f"target '{target.name}': no setting '{setting}'; it has "
                    f"{', '.join(target.settings) or 'none'}"
                )
            fit = self._fit_step(
                backbone, recipe, source_set, sources, target, training, mode, seed
            ).key
        predict = self._predict_step(backbone, recipe, source_set, sources, target, fit, seed)
        self.result.cells.append(
            Cell(
                backbone,
                recipe,
                source_set,
                target,
                setting,
                training if mode else None,
                seed,
                sources,
                fit,
                predict.key,
                row,
            )
        )

    def _fit_step(
        self,
        backbone: BackboneRef,
        recipe: Recipe,
        source_set: SourceSet | None,
        sources: tuple[SourceRef, ...],
        target: Target,
        training: Training,
        mode: str,
        seed: int,
    ) -> Step:
        if mode == "mixture":
            datasets = [self.data.source(ref.source, "train") for ref in sources]
            datasets += [self.data.source(ref.source, "dev") for ref in selecting(sources, target)]
            formats = sorted({ref.source.format for ref in sources})
        else:
            datasets = [self.data.target(target, split) for split in ("train", "dev")]
            formats = [target.format]
        inputs = {
            **self._backbone_inputs(backbone),
            "recipe": [recipe.kind, plain(recipe.options)],
            "sources": [ref.step for ref in sources],
            "target": _task_identity(target),
            "mode": mode,
            "training": plain(training),
            "formats": {name: get_format(name).version for name in formats},
            "data": [dataset.fingerprint for dataset in datasets],
            "micro": self._micro(training.batch_tokens),
            "batch": self.settings.predict_tokens,  # dev scores select the weights
            "seed": seed,
        }
        rows = sum(len(dataset) for dataset in datasets if dataset.name.endswith("/train"))
        return self._add(
            "fit",
            f"{_recipe_label(recipe, source_set)} -> {target.name} (seed {seed})",
            inputs,
            (*_backbone_needs(backbone), *(("source", ref.step) for ref in sources)),
            FitWork(backbone, recipe, sources, target, training, mode, seed),
            _training_cost(training, rows, formats[0]) * (1 + 0.3 * len(sources)),
        )

    def _predict_step(
        self,
        backbone: BackboneRef,
        recipe: Recipe,
        source_set: SourceSet | None,
        sources: tuple[SourceRef, ...],
        target: Target,
        fit: str | None,
        seed: int,
    ) -> Step:
        tests = self.data.tests(target)
        inputs = {
            **self._backbone_inputs(backbone),
            "recipe": [recipe.kind, plain(recipe.options)],
            "sources": [ref.step for ref in sources],
            "target": _task_identity(target),
            "options": [target.max_length, target.doc_stride, target.retrieval_layer],
            "fit": fit,
            "format": get_format(target.format).version,
            "data": {language: dataset.fingerprint for language, dataset in tests.items()},
            "batch": self.settings.predict_tokens,
        }
        needs = (*_backbone_needs(backbone), *(("source", ref.step) for ref in sources))
        # Without anything trained the prediction does not depend on the seed, nor does its key.
        seeded = fit is not None or bool(sources)
        suffix = f" (seed {seed})" if seeded else ""
        rows = sum(len(dataset) for dataset in tests.values())
        return self._add(
            "predict",
            f"score {_recipe_label(recipe, source_set)} on {target.name}{suffix}",
            inputs,
            needs + ((("fit", fit),) if fit else ()),
            PredictWork(backbone, recipe, sources, target, fit, seed),
            rows * _tokens(target.format) * _PREDICT_SHARE * (1 + 0.3 * len(sources)),
        )

    def _add(
        self,
        kind: str,
        label: str,
        inputs: Mapping[str, object],
        needs: tuple[tuple[str, str], ...],
        work: BackboneWork | SourceWork | FitWork | PredictWork,
        cost: float,
    ) -> Step:
        key = step_key(kind, inputs, self.settings)
        step = Step(kind, key, label, needs, work, cost)
        return self.result.steps.setdefault(step.id, step)

    def _backbone_inputs(self, backbone: BackboneRef) -> dict[str, object]:
        return {"backbone": backbone.digest, "reduction_factor": backbone.reduction_factor}

    def _micro(self, batch_tokens: int | None) -> int | None:
        """The tokens of a forward pass where they can cut a batch into several, else None.

        Cut elsewhere, a batch draws other dropout masks.
        """
        micro = self.settings.micro_tokens
        return None if batch_tokens is not None and batch_tokens <= micro else micro


def _backbone_needs(backbone: BackboneRef) -> tuple[tuple[str, str], ...]:
    return (("backbone", backbone.step),) if backbone.step else ()


def _task_identity(task: Source | Target) -> dict[str, object]:
    """What of a source or target can change a number, apart from its data and hyper-parameters."""
    return {"name": task.name, "format": task.format, "labels": list(task.labels)}


def _recipe_label(recipe: Recipe, source_set: SourceSet | None) -> str:
    return f"{recipe.name}[{source_set.name}]" if source_set else recipe.name


def _row(recipe: Recipe, source_set: SourceSet | None, name: str) -> str:
    if source_set is None:
        return recipe.name
    return f"{recipe.name} [{name or source_set.name}]"


def _tokens(task_format: str) -> float:
    """A rough length of an example in tokens, for estimates of cost only."""
    return {"multiple_choice": 100.0, "span_qa": 60.0}.get(task_format, 25.0)


def _training_cost(training: Training, rows: int, task_format: str) -> float:
    tokens = rows * _tokens(task_format)
    per_step = training.batch_tokens or (training.batch_size or 32) * _tokens(task_format)
    return max(training.epochs * tokens, training.min_steps * per_step)
