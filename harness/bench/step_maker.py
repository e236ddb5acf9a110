"""From what a step does to the step: its label, its key and what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.bench.backbones import KnownBackbone
from harness.bench.data import SuiteData
from harness.bench.external import Externals
from harness.bench.plan import Plan
from harness.bench.scoring import target_format
from harness.bench.steps import (
    EXTERNAL_VERSION,
    BackboneRef,
    BackboneWork,
    ExternalWork,
    FitWork,
    PredictWork,
    Settings,
    SourceRef,
    SourceWork,
    Step,
    Work,
    selecting,
    step_key,
)
from harness.canonical import plain
from harness.catalog import Recipe, Source, SourceSet, Target, Training
from harness.formats import get_format

_PREDICT_SHARE = 1 / 3  # a forward pass costs a third of forward and backward


@dataclass(slots=True)
class StepMaker:
    """Adds steps to a plan; a step that is there already is added once."""

    data: SuiteData
    settings: Settings
    plan: Plan = field(default_factory=Plan)
    externals: Externals = field(default_factory=Externals)
    _backbones: dict[str, BackboneRef] = field(default_factory=dict)

    def backbone(self, known: KnownBackbone) -> BackboneRef:
        """The reference to a backbone, with a step that makes it where it has to be pretrained."""
        spec, files = known.spec, known.files
        if spec.name in self._backbones:
            return self._backbones[spec.name]
        if files is not None:
            reference = BackboneRef(
                spec.name, files.digest, files.reduction_factor, folder=files.folder
            )
        else:
            assert spec.pretrain is not None, f"{spec.name} has neither files nor pretrain"
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
                len(texts),
                float(spec.pretrain.steps * spec.pretrain.batch_tokens),
            )
            reference = BackboneRef(spec.name, step.key, spec.reduction_factor, step=step.key)
        self.plan.shapes[spec.name] = known.shape
        self._backbones[spec.name] = reference
        return reference

    def source(self, backbone: BackboneRef, source: Source, setting: str, seed: int) -> SourceRef:
        """The step that trains a source adapter under a setting, or copies one in."""
        if source.adapter is not None:
            return self.external(backbone, source)
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
            len(train),
            _training_cost(training, len(train), source.format),
        )
        return SourceRef(source, step.key)

    def external(self, backbone: BackboneRef, source: Source) -> SourceRef:
        """The step that copies an adapter from elsewhere: the same for all settings and seeds."""
        opened = self.externals.open(source)
        inputs = {
            "backbone": backbone.digest,
            "external": [EXTERNAL_VERSION, opened.digest],
            "source": _task_identity(source),
        }
        work = ExternalWork(backbone, source, opened.folder, opened.digest, opened.weights)
        needs = _backbone_needs(backbone)
        step = self._add("source", f"copy {source.name}", inputs, needs, work, 0, 0.0)
        return SourceRef(source, step.key, opened.digest)

    def fit(
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
        """The step that trains what a recipe trains for a target."""
        if mode == "mixture":
            datasets = [self.data.source(ref.source, "train") for ref in sources]
            datasets += [self.data.source(ref.source, "dev") for ref in selecting(sources, target)]
            formats = sorted({ref.source.format for ref in sources})
            options: Mapping[str, str] = {}  # what is trained is the sources' tasks
        else:
            datasets = [self.data.target(target, split) for split in ("train", "dev")]
            formats = [target.format]
            options = self._options(backbone, target)
        inputs = {
            **self._backbone_inputs(backbone),
            "recipe": [recipe.kind, plain(recipe.options)],
            "sources": [ref.step for ref in sources],
            "target": _task_identity(target),
            "mode": mode,
            "options": options,
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
            rows,
            _training_cost(training, rows, formats[0]) * (1 + 0.3 * len(sources)),
        )

    def predict(
        self,
        backbone: BackboneRef,
        recipe: Recipe,
        source_set: SourceSet | None,
        sources: tuple[SourceRef, ...],
        target: Target,
        fit: str | None,
        seed: int,
    ) -> Step:
        """The step that predicts and scores a target in all its languages."""
        tests, tunings = self.data.tests(target), self.data.tunings(target)
        inputs = {
            **self._backbone_inputs(backbone),
            "recipe": [recipe.kind, plain(recipe.options)],
            "sources": [ref.step for ref in sources],
            "target": _task_identity(target),
            "lengths": [target.max_length, target.doc_stride],
            "options": self._options(backbone, target),
            "tuned on": {code: dataset.fingerprint for code, dataset in tunings.items()},
            "fit": fit,
            "format": get_format(target.format).version,
            "data": {language: dataset.fingerprint for language, dataset in tests.items()},
            "batch": self.settings.predict_tokens,
        }
        needs = (*_backbone_needs(backbone), *(("source", ref.step) for ref in sources))
        # Without anything trained the prediction does not depend on the seed, nor does its key.
        seeded = fit is not None or bool(sources)
        suffix = f" (seed {seed})" if seeded else ""
        sizes = [len(dataset) for dataset in (*tests.values(), *tunings.values())]
        rows = sum(sizes)
        return self._add(
            "predict",
            f"score {_recipe_label(recipe, source_set)} on {target.name}{suffix}",
            inputs,
            needs + ((("fit", fit),) if fit else ()),
            PredictWork(backbone, recipe, sources, target, fit, seed),
            rows,
            rows * _tokens(target.format) * _PREDICT_SHARE * (1 + 0.3 * len(sources)),
            max(sizes),
        )

    def _add(
        self,
        kind: str,
        label: str,
        inputs: Mapping[str, object],
        needs: tuple[tuple[str, str], ...],
        work: Work,
        rows: int,
        cost: float,
        largest: int = 0,
    ) -> Step:
        key = step_key(kind, inputs, self.settings)
        step = Step(kind, key, label, needs, work, cost, rows, largest)
        return self.plan.steps.setdefault(step.id, step)

    def _backbone_inputs(self, backbone: BackboneRef) -> dict[str, object]:
        return {"backbone": backbone.digest, "reduction_factor": backbone.reduction_factor}

    def _options(self, backbone: BackboneRef, target: Target) -> Mapping[str, str]:
        """The options of the target's format as they work out; a default need not be written."""
        return target_format(target, self.plan.shapes[backbone.name].layers).signature()

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


def _tokens(task_format: str) -> float:
    """A rough length of an example in tokens, for estimates of cost only."""
    return {"multiple_choice": 100.0, "span_qa": 60.0}.get(task_format, 25.0)


def _training_cost(training: Training, rows: int, task_format: str) -> float:
    tokens = rows * _tokens(task_format)
    per_step = training.batch_tokens or (training.batch_size or 32) * _tokens(task_format)
    return max(training.epochs * tokens, training.min_steps * per_step)
