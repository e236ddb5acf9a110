"""Scoring a model: predictions, statistics and floors of a target; the dev score of a training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerFast

from harness.bench.data import SuiteData
from harness.bench.prefix_store import PrefixCache
from harness.bench.steps import Settings
from harness.catalog import Target
from harness.data import Dataset
from harness.formats import EncodeOptions, Feature, Format, Logits, Statistics, get_format
from harness.model import Assembly
from harness.recipes import Goal
from harness.train import Interrupted, States, predict

OnProgress = Callable[[int, int, float | None], None]  # done, of, loss


@dataclass(slots=True)
class ScoredTarget:
    """Prediction rows, and per language the statistics of the model and of its floor."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    statistics: dict[str, Statistics] = field(default_factory=dict)
    floors: dict[str, Statistics] = field(default_factory=dict)
    tuned: dict[str, dict[str, float]] = field(default_factory=dict)  # what a dev set decided
    tokens: int = 0


@dataclass(slots=True)
class Scorer:
    """Runs models on encoded data, always the same way."""

    settings: Settings
    data: SuiteData
    on_progress: OnProgress = lambda done, total, loss: None
    should_stop: Callable[[], bool] = lambda: False

    def states(
        self, assembly: Assembly, task_format: Format[Any], features: Sequence[Feature], pad_id: int
    ) -> States | None:
        """What --prefix-cache keeps of the features' rows, made now if need be; else None."""
        if self.settings.prefix_cache is None:
            return None
        cache = PrefixCache(self.settings, self.should_stop)
        return cache.states(assembly, task_format, features, pad_id)

    def score(
        self, assembly: Assembly, goal: Goal, target: Target, tokenizer: PreTrainedTokenizerFast
    ) -> ScoredTarget:
        """Predictions and statistics of a target in all its languages."""
        options = EncodeOptions(max_length=target.max_length, doc_stride=target.doc_stride)
        tests, tunings = self.data.tests(target), self.data.tunings(target)
        run = Pass(self, assembly, goal, options, tokenizer)
        run.total = sum(map(len, (*tests.values(), *tunings.values())))
        result = ScoredTarget()
        for language, dataset in tests.items():
            form = goal.format
            if language in tunings:
                tuned = form.tune(*run.logits(tunings[language]))
                form, result.tuned[language] = tuned.format, dict(tuned.values)
            predictions = form.decode(*run.logits(dataset))
            result.rows.extend(
                {"language": language, "id": example.id, "prediction": prediction}
                for example, prediction in zip(dataset.examples, predictions, strict=True)
            )
            result.statistics[language] = form.statistics(predictions, dataset.examples)
            result.floors[language] = form.floor(dataset.examples, goal.labels)
        result.tokens = run.tokens
        return result

    def dev_score(
        self,
        assembly: Assembly,
        sets: Sequence[tuple[Goal, Dataset, EncodeOptions]],
        tokenizer: PreTrainedTokenizerFast,
    ) -> Callable[[], float]:
        """A function giving the mean task score over the dev sets, encoded once.

        It raises Interrupted between two batches where it should stop.
        """
        encoded: list[list[Feature]] = [
            goal.format.encode(dev.examples, tokenizer, goal.labels, options, training=False)
            for goal, dev, options in sets
        ]
        pad_id = tokenizer.pad_token_id
        known = [
            self.states(assembly, goal.format, features, pad_id)
            for (goal, _, _), features in zip(sets, encoded, strict=True)
        ]

        def look_up(_: int, __: int) -> None:
            if self.should_stop():
                raise Interrupted

        def evaluate() -> float:
            scores = []
            for (goal, dev, options), features, states in zip(sets, encoded, known, strict=True):
                logits = self.logits(assembly, goal, features, pad_id, look_up, states)
                predictions = goal.format.decode(
                    logits, features, dev.examples, goal.labels, options
                )
                statistics = goal.format.statistics(predictions, dev.examples)
                scores.append(goal.format.task_score(goal.format.aggregate(statistics)))
            return sum(scores) / len(scores)

        return evaluate

    def logits(
        self,
        assembly: Assembly,
        goal: Goal,
        features: Sequence[Feature],
        pad_id: int,
        on_batch: Callable[[int, int], None] = lambda done, total: None,
        states: States | None = None,
    ) -> Sequence[Logits]:
        """What the model says of each feature."""
        return predict(
            assembly,
            goal.name,
            goal.format,
            features,
            numerics=self.settings.numerics,
            pad_id=pad_id,
            batch_tokens=self.settings.predict_tokens,
            on_batch=on_batch,
            states=states,
        )


@dataclass(slots=True)
class Pass:
    """Data sets through one model, one at a time: corpora for mining fill the memory."""

    scorer: Scorer
    assembly: Assembly
    goal: Goal
    options: EncodeOptions
    tokenizer: PreTrainedTokenizerFast
    total: int = 0  # examples of all that will be passed
    done: int = 0
    tokens: int = 0

    def encode(self, dataset: Dataset) -> list[Feature]:
        """What will pass through the model."""
        return self.goal.format.encode(
            dataset.examples, self.tokenizer, self.goal.labels, self.options, training=False
        )

    def logits(
        self, dataset: Dataset, features: Sequence[Feature] | None = None
    ) -> tuple[Sequence[Logits], Sequence[Feature], Sequence[Any], Sequence[str], EncodeOptions]:
        """What a format's decode and tune take; `features` are those of `encode`, if at hand."""
        goal, size = self.goal, len(dataset)
        features = self.encode(dataset) if features is None else features
        self.tokens += sum(len(row) for feature in features for row in feature.rows)

        def report(n: int, of: int) -> None:
            self.scorer.on_progress(self.done + size * n // of, self.total, None)

        pad_id = self.tokenizer.pad_token_id
        states = self.scorer.states(self.assembly, goal.format, features, pad_id)
        logits = self.scorer.logits(self.assembly, goal, features, pad_id, report, states)
        self.done += size
        return logits, features, dataset.examples, goal.labels, self.options


def target_format(target: Target, depth: int) -> Format[Any]:
    """The target's format under its options, for a backbone of `depth` layers."""
    return get_format(target.format).configured(target.options, depth)


def target_options(
    target: Target, task_format: Format[Any], settings: Settings
) -> dict[str, str | int]:
    """What can change the target's numbers beside model and data; it stands in the signature."""
    return {
        "max_length": target.max_length,
        "doc_stride": target.doc_stride,
        "batch_tokens": settings.predict_tokens,
        **task_format.signature(),
    }
