"""Doing one step: load what it needs, train or predict, put the result into the store."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from adapters import XLMRobertaAdapterModel
from safetensors.numpy import save_file

from harness.bench.data import SuiteData, encode_options
from harness.bench.scoring import OnProgress, Scorer, target_format
from harness.bench.steps import (
    BackboneRef,
    BackboneWork,
    ExternalWork,
    FitWork,
    JointWork,
    PredictWork,
    Settings,
    SourceRef,
    SourceWork,
    Step,
    selecting,
)
from harness.bench.store import Store
from harness.canonical import canonical_json
from harness.catalog import PROPORTIONAL, Mixture, Source, Target, Training
from harness.data import Dataset, TextExample
from harness.errors import WorkError
from harness.formats import (
    EncodeOptions,
    get_format,
)
from harness.model import (
    Assembly,
    BackboneFiles,
    adapter_name,
    check_backbone,
    import_adapter,
    load_assembly,
    load_backbone,
    load_tokenizer,
    read_adapter,
    silence_libraries,
    stored_parameters,
)
from harness.recipes import Goal, TrainedSource, assemble_joint, get_recipe
from harness.train import Checkpointer, Progress, Stopwatch, Trainer, TrainTask, pretrain_backbone

PREDICTIONS, STATISTICS = "predictions.jsonl", "statistics.safetensors"
FLOORS, ABOUT = "floors.safetensors", "about.json"
TUNED = "tuned.json"  # what a dev set decided, by language; only where something is tuned


@dataclass(slots=True)
class Worker:
    """Runs steps in this process, keeping the backbone and the data sets that it has loaded."""

    settings: Settings
    data: SuiteData
    on_progress: OnProgress = lambda done, total, loss: None
    should_stop: Callable[[], bool] = lambda: False
    scorer: Scorer = field(init=False)
    _store: Store = field(init=False)
    _base: tuple[tuple[BackboneRef, torch.dtype], XLMRobertaAdapterModel] | None = None
    _stopwatch: Stopwatch = field(default_factory=Stopwatch)  # of the step that is being done

    def __post_init__(self) -> None:
        self._store = Store(self.settings.store)
        self.scorer = Scorer(self.settings, self.data, self._progressed, self.should_stop)
        self.settings.numerics.apply()
        silence_libraries()

    def run(self, step: Step) -> bool:
        """Do the step unless it is done; False if another process is doing it just now."""
        with self._store.lock(step.kind, step.key, wait=False) as mine:
            if not mine:
                return False
            if self._store.get(step.kind, step.key, locked=True) is None:
                self._store.put(step.kind, step.key, partial(self._timed, step))
        return True

    def _timed(self, step: Step, folder: Path) -> None:
        self._stopwatch = Stopwatch()
        if self.settings.numerics.device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        costs = self._do(step, folder)
        costs |= {
            **self._stopwatch.seconds(),
            "peak_memory_bytes": self._peak_memory(),
            "gpu": self.settings.numerics.gpu_name,
            "recompute": self.settings.recompute,  # in no key, but estimates of time go by it
        }
        (folder / "costs.json").write_bytes(canonical_json(costs))

    def _do(self, step: Step, folder: Path) -> dict[str, Any]:
        match step.work:
            case BackboneWork():
                return self._backbone(step, step.work, folder)
            case SourceWork():
                return self._source(step, step.work, folder)
            case JointWork():
                return self._joint(step, step.work, folder)
            case ExternalWork():
                return self._external(step.work, folder)
            case FitWork():
                return self._fit(step, step.work, folder)
            case PredictWork():
                return self._predict(step, step.work, folder)

    def _peak_memory(self) -> int:
        if self.settings.numerics.device != "cpu":
            return int(torch.cuda.max_memory_allocated())
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    # --- the kinds of step ---

    def _backbone(self, step: Step, work: BackboneWork, folder: Path) -> dict[str, Any]:
        texts = self.data.texts(work.backbone)
        assert work.backbone.pretrain is not None
        result = pretrain_backbone(
            work.backbone.pretrain,
            [text for text in texts.examples if isinstance(text, TextExample)],
            folder,
            seed=work.backbone.pretrain.seed,
            numerics=self.settings.numerics,
            micro_tokens=self.settings.micro_tokens,
            recompute=self.settings.recompute,
            name=work.backbone.name,
            checkpointer=self._checkpointer(step),
            on_step=self._report,
            should_stop=self.should_stop,
        )
        _write_json(folder / "training.json", asdict(result))
        return {"train_tokens": result.tokens, "steps": result.steps}

    def _source(self, step: Step, work: SourceWork, folder: Path) -> dict[str, Any]:
        source = work.source
        goal = _source_goal(work)
        base = self._load(work.backbone)
        assembly = get_recipe("direct").assemble(base, goal, [], work.backbone.reduction_factor)
        options = encode_options(work.training)
        train = self.data.drawn(work)
        dev = self.data.source(source, "dev")
        tokenizer = load_tokenizer(self._folder(work.backbone))
        tasks = self._tasks([(goal, train, options)], tokenizer)
        evaluate = self.scorer.dev_score(assembly, [(goal, dev, options)], tokenizer)
        return self._train(
            step,
            folder,
            assembly,
            tasks,
            work.training,
            _about(work.backbone, "direct", (), source, work.seed),
            evaluate,
            tokenizer,
        )

    def _joint(self, step: Step, work: JointWork, folder: Path) -> dict[str, Any]:
        goals = [_source_goal(part) for part in work.parts]
        assembly = assemble_joint(
            self._load(work.backbone), work.name, goals, work.backbone.reduction_factor, work.seed
        )
        tokenizer = load_tokenizer(self._folder(work.backbone))
        parts = [
            (goal, part, encode_options(part.training))
            for goal, part in zip(goals, work.parts, strict=True)
        ]
        dev_sets = [(g, self.data.source(p.source, "dev"), o) for g, p, o in parts]
        return self._train(
            step,
            folder,
            assembly,
            self._tasks([(g, self.data.drawn(p), o) for g, p, o in parts], tokenizer),
            work.training,
            {
                **_about(work.backbone, "multitask", (), work.parts[0].source, work.seed),
                "name": work.name,
                "sources": list(dict.fromkeys(part.source.name for part in work.parts)),
            },
            self.scorer.dev_score(assembly, dev_sets, tokenizer),
            tokenizer,
            work.mixture,
        )

    def _external(self, work: ExternalWork, folder: Path) -> dict[str, Any]:
        source = work.source
        assert work.folder is not None, "a plan from sizes is not run"
        opened = read_adapter(source.name, work.folder, source.get)
        if opened.digest != work.digest:
            raise WorkError(
                f"source '{source.name}': {work.folder}: its files changed during the run; "
                "run it again"
            )
        assembly = import_adapter(self._load(work.backbone), opened, adapter_name(source.name))
        assembly.save(folder / "trained")
        about = _about(work.backbone, "external", (), source, seed=0)
        _write_json(folder / "trained" / ABOUT, {**about, "adapter": work.digest})
        return {
            "train_tokens": 0,
            "steps": 0,
            "trainable_parameters": 0,
            "stored_parameters": stored_parameters([folder / "trained"]),
        }

    def _fit(self, step: Step, work: FitWork, folder: Path) -> dict[str, Any]:
        recipe = get_recipe(work.recipe.kind)
        base = self._load(work.backbone, trained=recipe.full)
        tokenizer = load_tokenizer(self._folder(work.backbone))
        goal = self._goal(work.target, base, work.seed)
        sources = self._sources(work.sources)
        assembly = recipe.assemble(base, goal, sources, work.backbone.reduction_factor)
        if work.mode == "mixture":
            parts = [
                (
                    Goal(source.module, source.format, source.labels),
                    ref,
                    encode_options(work.training),
                )
                for source, ref in zip(sources, work.sources, strict=True)
            ]
            train_sets = [(g, self.data.drawn(ref.rows), o) for g, ref, o in parts]
            chosen = selecting(work.sources, work.target)
            dev_sets = [
                (g, self.data.source(ref.source, "dev"), o) for g, ref, o in parts if ref in chosen
            ]
        else:
            options = encode_options(work.training)
            train_sets = [(goal, self.data.target(work.target, "train"), options)]
            dev_sets = [(goal, self.data.target(work.target, "dev"), options)]
        evaluate = self.scorer.dev_score(assembly, dev_sets, tokenizer) if dev_sets else None
        return self._train(
            step,
            folder,
            assembly,
            self._tasks(train_sets, tokenizer),
            work.training,
            _about(work.backbone, work.recipe.name, work.sources, work.target, work.seed),
            evaluate,
            tokenizer,
            work.mixture,
        )

    def _predict(self, step: Step, work: PredictWork, folder: Path) -> dict[str, Any]:
        base = self._load(work.backbone)
        goal = self._goal(work.target, base, work.seed)
        if work.fit is not None:
            assembly = load_assembly(base, self._need("fit", work.fit) / "trained")
        else:
            assembly = get_recipe(work.recipe.kind).assemble(
                base, goal, self._sources(work.sources), work.backbone.reduction_factor
            )
        scored = self.scorer.score(
            assembly, goal, work.target, load_tokenizer(self._folder(work.backbone))
        )
        (folder / PREDICTIONS).write_bytes(
            b"".join(canonical_json(row) + b"\n" for row in scored.rows)
        )
        save_file(scored.statistics, folder / STATISTICS)
        save_file(scored.floors, folder / FLOORS)
        if scored.tuned:
            _write_json(folder / TUNED, scored.tuned)
        return {"predict_tokens": scored.tokens}

    # --- what they share ---

    def _train(
        self,
        step: Step,
        folder: Path,
        assembly: Assembly,
        tasks: Sequence[TrainTask],
        training: Training,
        about: dict[str, Any],
        evaluate: Callable[[], float] | None,
        tokenizer: Any,
        mixture: Mixture = PROPORTIONAL,
    ) -> dict[str, Any]:
        pad_id = tokenizer.pad_token_id
        tasks = [
            replace(task, states=self.scorer.states(assembly, task.format, task.features, pad_id))
            for task in tasks
        ]
        trainer = Trainer(
            assembly,
            tasks,
            training,
            self.settings.numerics,
            seed=f"{about['name']}/{about['seed']}",
            pad_id=pad_id,
            micro_tokens=self.settings.micro_tokens,
            mixture=mixture,
            evaluate=evaluate,
            checkpointer=self._checkpointer(step),
            on_step=self._report,
            should_stop=self.should_stop,
        )
        with assembly.recomputing(self.settings.recompute):
            result = trainer.run()
        assembly.save(folder / "trained")
        _write_json(folder / "trained" / ABOUT, about)
        _write_json(folder / "training.json", asdict(result))
        return {
            "train_tokens": result.tokens,
            "steps": result.steps,
            "trainable_parameters": assembly.count_trainable(),
            "stored_parameters": stored_parameters([folder / "trained"]),
        }

    def _tasks(
        self, sets: Iterable[tuple[Goal, Dataset, EncodeOptions]], tokenizer: Any
    ) -> list[TrainTask]:
        encode = self.scorer.features.encode
        return [
            TrainTask(goal.name, goal.format, encode(goal, data, tokenizer, options, training=True))
            for goal, data, options in sets
        ]

    def _goal(self, target: Target, base: XLMRobertaAdapterModel, seed: int) -> Goal:
        return Goal(
            adapter_name(target.name),
            target_format(target, base.config.num_hidden_layers),
            target.labels,
            seed,
        )

    def _sources(self, refs: Sequence[SourceRef]) -> list[TrainedSource]:
        adapters = {(ref.step, ref.adapter): ref for ref in refs}  # sources may share one
        return [
            TrainedSource(
                ref.adapter,
                self._need("source", ref.step) / "trained",
                get_format(ref.source.format),
                ref.source.labels,
            )
            for ref in adapters.values()
        ]

    def _load(self, backbone: BackboneRef, *, trained: bool = False) -> XLMRobertaAdapterModel:
        """The backbone; what is trained stays in float32, whatever the arithmetic."""
        numerics = self.settings.numerics
        key = backbone, torch.float32 if trained else numerics.frozen_dtype
        if self._base is None or self._base[0] != key:
            folder = self._folder(backbone)
            files = BackboneFiles(
                backbone.name,
                folder,
                # Of a backbone made here, the reference has the key of the step that made it.
                backbone.digest if backbone.folder else check_backbone(folder),
                backbone.reduction_factor,
                backbone.first_adapter_layer,
                backbone.prefix_dropout,
            )
            self._base = None  # its memory first
            self._base = key, load_backbone(files, numerics.torch_device, key[1])
        return self._base[1]

    def _folder(self, backbone: BackboneRef) -> Path:
        if backbone.folder is not None:
            return backbone.folder
        assert backbone.step is not None
        return self._need("backbone", backbone.step)

    def _need(self, kind: str, key: str) -> Path:
        folder = self._store.get(kind, key)
        if folder is None:
            raise WorkError(f"store: {kind} {key[:12]} went missing during the run; run it again")
        return folder

    def _checkpointer(self, step: Step) -> Checkpointer:
        return Checkpointer(
            self._store.work_folder(step.kind, step.key),
            self.settings.checkpoint_seconds,
            self.settings.checkpoint_steps,
            self._stopwatch,
        )

    def _report(self, progress: Progress) -> None:
        self.on_progress(progress.step, progress.steps, progress.loss)

    def _progressed(self, done: int, total: int, loss: float | None) -> None:
        self.on_progress(done, total, loss)  # whoever it is by then


def _about(
    backbone: BackboneRef,
    recipe: str,
    sources: Sequence[SourceRef],
    task: Source | Target,
    seed: int,
) -> dict[str, Any]:
    """What a saved model is: goes beside it, and says what it can be evaluated on."""
    return {
        "backbone": {"name": backbone.name, "digest": backbone.digest},
        "recipe": recipe,
        "sources": list(dict.fromkeys(ref.source.name for ref in sources)),
        "name": task.name,
        "task": task.task,
        "format": task.format,
        "labels": list(task.labels),
        "seed": seed,
    }


def _source_goal(work: SourceWork) -> Goal:
    source = work.source
    return Goal(adapter_name(work.name), get_format(source.format), source.labels, work.seed)


def _write_json(path: Path, value: Any) -> None:
    path.write_bytes(canonical_json(value))
