"""Bitext mining (BUCC): find the translated pairs of two corpora that have few; F1 of pairs.

Pairs are proposed by `harness.formats.mining`; those with a score at or above a threshold are
extracted, and the threshold is tuned on the dev corpora of each language (XTREME's rule).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from harness.data.examples import MiningExample
from harness.errors import InputError
from harness.formats.base import EncodeOptions, Feature, Logits, Statistics, Tuned
from harness.formats.mining import NEIGHBOURS, best_threshold, mine
from harness.formats.retrieval import (
    ENGLISH,
    FOREIGN,
    RetrievalFormat,
    encode_sentences,
    side_vectors,
)
from harness.formats.scoring import check_counts, precision_recall_f1, withheld

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Candidate(NamedTuple):
    """A proposed pair: the indices of its two examples, and its score."""

    foreign: int
    english: int
    score: float


class BitextMining(RetrievalFormat[MiningExample]):
    """A prediction is the key of the English sentence paired with a foreign one, or None.

    That of an English sentence is always None: a pair is told once.
    """

    name: ClassVar[str] = "bitext_mining"
    version: ClassVar[int] = 2
    metrics: ClassVar[tuple[str, ...]] = ("f1", "precision", "recall")
    tuned: ClassVar[bool] = True
    threshold: float | None = None  # set by tune()

    def signature(self) -> dict[str, str]:
        """Layer, pooling, and the rules of mining."""
        return {
            **super().signature(),
            "neighbours": str(NEIGHBOURS),
            "margin": "ratio",
            "retrieval": "max",
            "repeated": "left-out",
            "threshold": "dev-f1",
        }

    def encode(
        self,
        examples: Sequence[MiningExample],
        tokenizer: PreTrainedTokenizerFast,
        labels: Sequence[str],
        options: EncodeOptions,
        *,
        training: bool,
    ) -> list[Feature]:
        """One feature per distinct line of a side: first all foreign ones, then all English.

        Lines are told apart as they stand; a feature's example is the last one with that line.
        """
        lines: dict[str, dict[str, int]] = {FOREIGN: {}, ENGLISH: {}}
        for index, example in enumerate(examples):
            lines[example.side][example.sentence] = index
        sentences = [
            (index, side, text) for side, found in lines.items() for text, index in found.items()
        ]
        return encode_sentences(sentences, tokenizer, options)

    def decode(
        self,
        logits: Sequence[Logits],
        features: Sequence[Feature],
        examples: Sequence[MiningExample],
        labels: Sequence[str],
        options: EncodeOptions,
    ) -> list[str | None]:
        """The pairs at or above the threshold; InputError before tune()."""
        if self.threshold is None:
            raise InputError("bitext_mining: no threshold; a target of it needs a dev split")
        candidates = self.candidates(logits, features, examples)
        return _extracted(candidates, self.threshold, examples)

    def tune(
        self,
        logits: Sequence[Logits],
        features: Sequence[Feature],
        examples: Sequence[MiningExample],
        labels: Sequence[str],
        options: EncodeOptions,
    ) -> Tuned[MiningExample]:
        """The threshold with the best F1 on these examples, and what it gives on them."""
        candidates = self.candidates(logits, features, examples)
        gold = [_gold(example) for example in examples]
        correct = np.array([examples[c.english].key in gold[c.foreign] for c in candidates], bool)
        scores = np.array([c.score for c in candidates], np.float64)
        other = copy(self)
        other.threshold = best_threshold(scores, correct, sum(map(len, gold))).value
        predictions = _extracted(candidates, other.threshold, examples)
        found = self.aggregate(self.statistics(predictions, examples))
        return Tuned(other, {"threshold": other.threshold, **found}, predictions)

    def candidates(
        self,
        logits: Sequence[Logits],
        features: Sequence[Feature],
        examples: Sequence[MiningExample],
    ) -> list[Candidate]:
        """The mined pairs, best first, without those of repeated sentences.

        A sentence that stands in its corpus more than once, white space at its ends apart, names
        no single id; XTREME's `read_sent2id` drops it altogether.
        """
        if {feature.extra for feature in features} != {FOREIGN, ENGLISH}:
            return []  # one of the corpora is empty
        vectors, indices = {}, {}
        for side in (FOREIGN, ENGLISH):
            vectors[side] = side_vectors(logits, features, side, self.retrieval.key)
            indices[side] = [feature.example for feature in features if feature.extra == side]
        count = Counter((example.side, example.sentence.strip()) for example in examples)
        alone = [count[example.side, example.sentence.strip()] == 1 for example in examples]
        pairs = mine(vectors[FOREIGN], vectors[ENGLISH])
        found = (
            Candidate(indices[FOREIGN][i], indices[ENGLISH][j], score)
            for i, j, score in zip(
                pairs.foreign.tolist(), pairs.english.tolist(), pairs.score.tolist(), strict=True
            )
        )
        return [pair for pair in found if alone[pair.foreign] and alone[pair.english]]

    def statistics(
        self, predictions: Sequence[str | None], examples: Sequence[MiningExample]
    ) -> Statistics:
        """`[n, 3]`: pairs of each sentence that are extracted rightly, extracted, in the gold."""
        check_counts(predictions, examples)
        rows = []
        for prediction, example in zip(predictions, examples, strict=True):
            gold = _gold(example)
            rows.append((prediction in gold, prediction is not None, len(gold)))
        return np.array(rows, np.float64).reshape(-1, 3)

    def aggregate(self, statistics: Statistics) -> dict[str, float]:
        """F1, precision and recall of the extracted pairs; all 0 where none is right."""
        if len(statistics) == 0:
            raise InputError("no examples to score; give at least one")
        return precision_recall_f1(*statistics.sum(axis=0))

    def task_score(self, scores: Mapping[str, float]) -> float:
        """F1."""
        return scores["f1"]

    def score_of_sums(self, sums: Statistics, n: int) -> Statistics:
        """F1 in percent: 2 right / (extracted + gold); 0 where there is neither."""
        right, extracted, gold = sums.T
        either = extracted + gold
        scores: Statistics = 200.0 * right / np.where(either > 0, either, 1.0)
        return scores

    def floor(self, examples: Sequence[MiningExample], labels: Sequence[str]) -> Statistics:
        """Chance with hindsight: each foreign sentence that has a partner takes any English one."""
        english = max(1, sum(example.side == ENGLISH for example in examples))
        rows = [(len(gold) / english, bool(gold), len(gold)) for gold in map(_gold, examples)]
        return np.array(rows, np.float64).reshape(-1, 3)


def _gold(example: MiningExample) -> tuple[str, ...]:
    if example.partners is None:
        raise withheld(example)
    return example.partners


def _extracted(
    candidates: Sequence[Candidate], threshold: float, examples: Sequence[MiningExample]
) -> list[Any]:
    predictions: list[str | None] = [None] * len(examples)
    for pair in candidates:
        if pair.score >= threshold:
            predictions[pair.foreign] = examples[pair.english].key
    return predictions
