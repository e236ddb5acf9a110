"""Scoring a model: predictions, statistics and floors of a target; the dev score of a training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerFast

from harness.bench.data import SuiteData
from harness.bench.steps import Settings
from harness.catalog import Target
from harness.data import Dataset
from harness.formats import EncodeOptions, Feature, Format, Statistics, get_format
from harness.model import Assembly
from harness.recipes import Goal
from harness.train import Interrupted, predict

OnProgress = Callable[[int, int, float | None], None]  # done, of, loss


@dataclass(slots=True)
class ScoredTarget:
    """Prediction rows, and per language the statistics of the model and of its floor."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    statistics: dict[str, Statistics] = field(default_factory=dict)
    floors: dict[str, Statistics] = field(default_factory=dict)
    tokens: int = 0


@dataclass(slots=True)
class Scorer:
    """Runs models on encoded data, always the same way."""

    settings: Settings
    data: SuiteData
    on_progress: OnProgress = lambda done, total, loss: None
    should_stop: Callable[[], bool] = lambda: False

    def score(
        self, assembly: Assembly, goal: Goal, target: Target, tokenizer: PreTrainedTokenizerFast
    ) -> ScoredTarget:
        """Predictions and statistics of a target in all its languages."""
        options = EncodeOptions(max_length=target.max_length, doc_stride=target.doc_stride)
        encoded = {
            language: goal.format.encode(
                dataset.examples, tokenizer, goal.labels, options, training=False
            )
            for language, dataset in self.data.tests(target).items()
        }
        total = sum(len(features) for features in encoded.values())
        result = ScoredTarget()
        done = 0

        def report(n: int, _: int) -> None:
            self.on_progress(done + n, total, None)

        for language, features in encoded.items():
            dataset = self.data.test(target, language)
            predictions = self._predictions(
                assembly, goal, dataset, features, options, tokenizer.pad_token_id, report
            )
            done += len(features)
            result.rows.extend(
                {"language": language, "id": example.id, "prediction": prediction}
                for example, prediction in zip(dataset.examples, predictions, strict=True)
            )
            result.statistics[language] = goal.format.statistics(predictions, dataset.examples)
            result.floors[language] = goal.format.floor(dataset.examples, goal.labels)
            result.tokens += sum(len(row) for feature in features for row in feature.rows)
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

        def look_up(_: int, __: int) -> None:
            if self.should_stop():
                raise Interrupted

        def evaluate() -> float:
            scores = []
            for (goal, dev, options), features in zip(sets, encoded, strict=True):
                predictions = self._predictions(
                    assembly, goal, dev, features, options, tokenizer.pad_token_id, look_up
                )
                statistics = goal.format.statistics(predictions, dev.examples)
                scores.append(goal.format.task_score(goal.format.aggregate(statistics)))
            return sum(scores) / len(scores)

        return evaluate

    def _predictions(
        self,
        assembly: Assembly,
        goal: Goal,
        dataset: Dataset,
        features: Sequence[Feature],
        options: EncodeOptions,
        pad_id: int,
        on_batch: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[Any]:
        logits = predict(
            assembly,
            goal.name,
            goal.format,
            features,
            numerics=self.settings.numerics,
            pad_id=pad_id,
            batch_tokens=self.settings.predict_tokens,
            on_batch=on_batch,
        )
        return goal.format.decode(logits, features, dataset.examples, goal.labels, options)


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
