"""From what a step does to the step: its label, its key and what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.bench.backbones import KnownBackbone
from harness.bench.data import encode_options
from harness.bench.declared import DECLARED, PlanData
from harness.bench.external import Externals
from harness.bench.footprint import adapter_weights
from harness.bench.lengths import example_tokens, trained_tokens
from harness.bench.plan import Plan
from harness.bench.scoring import target_format
from harness.bench.steps import (
    EXTERNAL_VERSION,
    MIXTURE_VERSION,
    BackboneRef,
    BackboneWork,
    ExternalWork,
    FitWork,
    JointWork,
    PredictWork,
    Reads,
    Settings,
    SourceRef,
    SourceWork,
    Step,
    Work,
    adapter_steps,
    joint_hyperparameters,
    selecting,
    step_key,
)
from harness.canonical import plain
from harness.catalog import (
    PROPORTIONAL,
    Backbone,
    Mixture,
    Recipe,
    Source,
    SourceSet,
    Target,
    Training,
)
from harness.formats import get_format
from harness.train.mixture import epoch_counts

_PREDICT_SHARE = 1 / 3  # a forward pass costs a third of forward and backward


@dataclass(slots=True)
class StepMaker:
    """Adds steps to a plan; a step that is there already is added once."""

    data: PlanData
    settings: Settings
    plan: Plan = field(default_factory=Plan)
    externals: Externals = field(init=False)
    _backbones: dict[str, BackboneRef] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.externals = Externals(self.data.adapter)

    def backbone(self, known: KnownBackbone) -> BackboneRef:
        """The reference to a backbone, with a step that makes it where it has to be pretrained."""
        spec, files = known.spec, known.files
        if spec.name in self._backbones:
            return self._backbones[spec.name]
        if files is not None:
            reference = _reference(spec, files.digest, folder=files.folder)
        elif spec.pretrain is None:  # its weights are not needed to count what it costs
            reference = _reference(spec, f"{DECLARED}:{spec.name}")
        else:
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
            reference = _reference(spec, step.key, step=step.key)
        self.plan.shapes[spec.name] = known.shape
        self._backbones[spec.name] = reference
        return reference

    def source(self, work: SourceWork) -> SourceRef:
        """The step that trains a source adapter."""
        rows = len(self.data.drawn(work))
        step = self._adapter(work, self._source_inputs(work), rows, (self._reads(work, rows),))
        return SourceRef(work, step.key)

    def joint(self, work: JointWork) -> tuple[SourceRef, ...]:
        """The step that trains one adapter on several sources, for each of which it is."""
        sizes = [len(self.data.drawn(part)) for part in work.parts]
        counts = epoch_counts(sizes, work.mixture)
        inputs = {
            "name": work.name,
            "parts": [
                {**self._source_inputs(part), "lengths": plain(encode_options(part.training))}
                for part in work.parts
            ],
            "mixture": _mixture_identity(work.mixture),
        }
        reads = [self._reads(part, n) for part, n in zip(work.parts, counts, strict=True)]
        step = self._adapter(work, inputs, sum(sizes), tuple(reads))
        return tuple(SourceRef(part, step.key, work.name) for part in work.parts)

    def _adapter(
        self,
        work: SourceWork | JointWork,
        inputs: Mapping[str, object],
        rows: int,
        reads: tuple[Reads, ...],
    ) -> Step:
        """The step that trains an adapter on what `inputs` says."""
        training = work.training
        trained = {
            **self._backbone_inputs(work.backbone),
            **inputs,
            "training": joint_hyperparameters(training)
            if isinstance(work, JointWork)
            else plain(training),
            "micro": self._micro(training.batch_tokens),
            "batch": self.settings.predict_tokens,  # dev scores select the weights
            "seed": work.seed,
        }
        return self._add(
            "source",
            f"source {work.name} ({rows:,} rows, seed {work.seed})"
            if isinstance(work, SourceWork) and not work.draw.all
            else f"source {work.name} (seed {work.seed})",
            trained,
            _backbone_needs(work.backbone),
            work,
            rows,
            trained_tokens(reads, training),
            reads=reads,
        )

    def external(self, backbone: BackboneRef, source: Source) -> SourceRef:
        """The step that copies an adapter from elsewhere: the same for all settings and seeds."""
        opened = self.externals.open(source)
        if opened is None:  # counted as large as one that is trained here
            weights = adapter_weights(self.plan.shapes[backbone.name], backbone.reduction_factor)
            work = ExternalWork(backbone, source, None, f"{DECLARED}:{source.name}", weights)
        else:
            work = ExternalWork(backbone, source, opened.folder, opened.digest, opened.weights)
        inputs = {
            "backbone": backbone.digest,
            "external": [EXTERNAL_VERSION, work.digest],
            "source": _task_identity(source),
        }
        needs = _backbone_needs(backbone)
        step = self._add("source", f"copy {source.name}", inputs, needs, work, 0, 0.0)
        return SourceRef(work, step.key)

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
        mixture = source_set.mixture if source_set and mode == "mixture" else PROPORTIONAL
        if mode == "mixture":
            datasets = [self.data.drawn(ref.rows) for ref in sources]
            counts = epoch_counts([len(found) for found in datasets], mixture)
            length = training.max_length
            reads = [
                Reads(ref.source.format, length, count)
                for ref, count in zip(sources, counts, strict=True)
            ]
            for ref in selecting(sources, target):
                datasets.append(self.data.source(ref.source, "dev"))
                reads.append(Reads(ref.source.format, length, 0, len(datasets[-1])))
            formats = sorted({ref.source.format for ref in sources})
            options: Mapping[str, str] = {}  # what is trained is the sources' tasks
        else:
            datasets = [self.data.target(target, split) for split in ("train", "dev")]
            reads = [Reads(target.format, training.max_length, *map(len, datasets))]
            formats = [target.format]
            options = self._options(backbone, target)
        steps = adapter_steps(sources)
        inputs = {
            **self._backbone_inputs(backbone),
            "recipe": [recipe.kind, plain(recipe.options)],
            "sources": steps,
            "target": _task_identity(target),
            "mode": mode,
            "mixture": _mixture_identity(mixture),
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
            (*_backbone_needs(backbone), *(("source", key) for key in steps)),
            FitWork(backbone, recipe, sources, target, training, mode, seed, mixture),
            rows,
            trained_tokens(reads, training) * (1 + 0.3 * len(steps)),
            reads=tuple(reads),
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
        steps = adapter_steps(sources)
        inputs = {
            **self._backbone_inputs(backbone),
            "recipe": [recipe.kind, plain(recipe.options)],
            "sources": steps,
            "target": _task_identity(target),
            "lengths": [target.max_length, target.doc_stride],
            "options": self._options(backbone, target),
            "tuned on": {code: dataset.fingerprint for code, dataset in tunings.items()},
            "fit": fit,
            "format": get_format(target.format).version,
            "data": {language: dataset.fingerprint for language, dataset in tests.items()},
            "batch": self.settings.predict_tokens,
        }
        needs = (*_backbone_needs(backbone), *(("source", key) for key in steps))
        # Without anything trained the prediction does not depend on the seed, nor does its key.
        seeded = fit is not None or bool(sources)
        suffix = f" (seed {seed})" if seeded else ""
        sizes = [len(dataset) for dataset in (*tests.values(), *tunings.values())]
        rows = sum(sizes)
        tokens = rows * example_tokens(target.format, target.max_length)
        return self._add(
            "predict",
            f"score {_recipe_label(recipe, source_set)} on {target.name}{suffix}",
            inputs,
            needs + ((("fit", fit),) if fit else ()),
            PredictWork(backbone, recipe, sources, target, fit, seed),
            rows,
            tokens * _PREDICT_SHARE * (1 + 0.3 * len(steps)),
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
        reads: tuple[Reads, ...] = (),
    ) -> Step:
        key = step_key(kind, inputs, self.settings)
        step = Step(kind, key, label, needs, work, cost, rows, largest, reads)
        return self.plan.steps.setdefault(step.id, step)

    def _backbone_inputs(self, backbone: BackboneRef) -> dict[str, object]:
        return {"backbone": backbone.digest, **backbone.adapters}

    def _source_inputs(self, work: SourceWork) -> dict[str, object]:
        """What of a source, as its set takes it, can change an adapter."""
        train, dev = self.data.drawn(work), self.data.source(work.source, "dev")
        return {
            "source": {**_task_identity(work.source), "name": work.name},
            "format": get_format(work.source.format).version,
            "data": [train.fingerprint, dev.fingerprint],
        }

    def _reads(self, work: SourceWork, rows: int) -> Reads:
        """What a training reads of a source, with so many training rows an epoch."""
        dev = len(self.data.source(work.source, "dev"))
        return Reads(work.source.format, work.training.max_length, rows, dev)

    def _options(self, backbone: BackboneRef, target: Target) -> Mapping[str, str]:
        """The options of the target's format as they work out; a default need not be written."""
        return target_format(target, self.plan.shapes[backbone.name].layers).signature()

    def _micro(self, batch_tokens: int | None) -> int | None:
        """The tokens of a forward pass where they can cut a batch into several, else None.

        Cut elsewhere, a batch draws other dropout masks.
        """
        micro = self.settings.micro_tokens
        return None if batch_tokens is not None and batch_tokens <= micro else micro


def _reference(
    spec: Backbone, digest: str, *, folder: Path | None = None, step: str | None = None
) -> BackboneRef:
    return BackboneRef(
        spec.name,
        digest,
        spec.reduction_factor,
        folder,
        step,
        spec.first_adapter_layer,
        spec.prefix_dropout,
    )


def _backbone_needs(backbone: BackboneRef) -> tuple[tuple[str, str], ...]:
    return (("backbone", backbone.step),) if backbone.step else ()


def _task_identity(task: Source | Target) -> dict[str, object]:
    """What of a source or target can change a number, apart from its data and hyper-parameters."""
    return {"name": task.name, "format": task.format, "labels": list(task.labels)}


def _mixture_identity(mixture: Mixture) -> object:
    """A mixture in keys; of whole sources nothing is drawn, whatever the version."""
    return plain(mixture) if mixture == PROPORTIONAL else [MIXTURE_VERSION, plain(mixture)]


def _recipe_label(recipe: Recipe, source_set: SourceSet | None) -> str:
    return f"{recipe.name}[{source_set.name}]" if source_set else recipe.name
