"""Scoring a model: predictions, statistics and floors of a target; the dev score of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from transformers import PreTrainedTokenizerFast

from harness.bench.data import SuiteData
from harness.bench.features import FeatureCache
from harness.bench.prefix_store import PrefixCache
from harness.bench.steps import Settings
from harness.catalog import Target
from harness.data import Dataset
from harness.formats import EncodeOptions, Feature, Format, Logits, Statistics, get_format
from harness.model import Assembly, mean_attentions
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

    def add(self, language: str, dataset: Dataset, goal: Goal, predictions: Sequence[Any]) -> None:
        """Take down what was predicted in a language."""
        self.rows.extend(
            {"language": language, "id": example.id, "prediction": prediction}
            for example, prediction in zip(dataset.examples, predictions, strict=True)
        )
        self.statistics[language] = goal.format.statistics(predictions, dataset.examples)
        self.floors[language] = goal.format.floor(dataset.examples, goal.labels)


@dataclass(slots=True)
class Scorer:
    """Runs models on encoded data, always the same way."""

    settings: Settings
    data: SuiteData
    on_progress: OnProgress = lambda done, total, loss: None
    should_stop: Callable[[], bool] = lambda: False
    features: FeatureCache = field(default_factory=FeatureCache)

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
        tests, tunings = self.data.tests(target), self.data.tunings(target)
        run = self.start(assembly, goal, target, tokenizer)
        run.total = sum(map(len, (*tests.values(), *tunings.values())))
        result = ScoredTarget()
        if tunings:  # corpora to mine, which fill the memory: one at a time
            for language, dataset in tests.items():
                tuned = goal.format.tune(*run.logits(tunings[language]))
                result.tuned[language] = dict(tuned.values)
                result.add(language, dataset, goal, tuned.format.decode(*run.logits(dataset)))
        else:
            for language, passed in run.together(tests):
                result.add(language, tests[language], goal, goal.format.decode(*passed))
        result.tokens = run.tokens
        return result

    def start(
        self, assembly: Assembly, goal: Goal, target: Target, tokenizer: PreTrainedTokenizerFast
    ) -> Pass:
        """A pass of a target's sets through a model."""
        options = EncodeOptions(max_length=target.max_length, doc_stride=target.doc_stride)
        return Pass(self, assembly, goal, options, tokenizer)

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
            self.features.encode(goal, dev, tokenizer, options, training=False)
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


Passed = tuple[Sequence[Logits], Sequence[Feature], Sequence[Any], Sequence[str], EncodeOptions]
TOGETHER = 500_000  # tokens whose logits are held at once


@dataclass(slots=True)
class Pass:
    """Data sets through one model."""

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
        return self.scorer.features.encode(
            self.goal, dataset, self.tokenizer, self.options, training=False
        )

    def logits(self, dataset: Dataset, features: Sequence[Feature] | None = None) -> Passed:
        """What a format's decode and tune take; `features` are those of `encode`, if at hand."""
        features = self.encode(dataset) if features is None else features
        logits = self._run([features], len(dataset))
        return logits, features, dataset.examples, self.goal.labels, self.options

    def together(self, datasets: Mapping[str, Dataset]) -> Iterator[tuple[str, Passed]]:
        """The same of several sets: batches of rows of like length, from whichever set."""
        group: dict[str, list[Feature]] = {}
        size = 0
        for name, dataset in datasets.items():
            features = self.encode(dataset)
            tokens = _tokens(features)
            if group and size + tokens > TOGETHER:
                yield from self._group(group, datasets)
                group, size = {}, 0
            group[name] = features
            size += tokens
        yield from self._group(group, datasets)

    def attentions(self, dataset: Dataset) -> list[list[float]]:
        """By layer, how much the model's fusion attends to each source, over all tokens."""
        with mean_attentions(self.assembly.model) as means:
            self.logits(dataset)
        return means.by_layer()

    def _group(
        self, group: Mapping[str, Sequence[Feature]], datasets: Mapping[str, Dataset]
    ) -> Iterator[tuple[str, Passed]]:
        logits = self._run(list(group.values()), sum(len(datasets[name]) for name in group))
        start = 0
        for name, features in group.items():
            own = logits[start : start + len(features)]
            start += len(features)
            yield name, (own, features, datasets[name].examples, self.goal.labels, self.options)

    def _run(self, parts: Sequence[Sequence[Feature]], examples: int) -> Sequence[Logits]:
        features = [feature for part in parts for feature in part]
        self.tokens += _tokens(features)

        def report(n: int, of: int) -> None:
            self.scorer.on_progress(self.done + examples * n // of, self.total, None)

        pad_id = self.tokenizer.pad_token_id
        goal = self.goal
        asked = (self.scorer.states(self.assembly, goal.format, part, pad_id) for part in parts)
        known = [one for one in asked if one is not None]
        states = replace(known[0], more=tuple(known[1:])) if known else None
        logits = self.scorer.logits(self.assembly, goal, features, pad_id, report, states)
        self.done += examples
        return logits


def _tokens(features: Sequence[Feature]) -> int:
    return sum(len(row) for feature in features for row in feature.rows)


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
