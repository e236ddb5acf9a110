"""Bitext retrieval (Tatoeba): find each English sentence's translation by embedding; accuracy.

Each English sentence takes the nearest foreign one by cosine (XTREME queries with English; no
margin).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from harness.data.examples import BitextExample
from harness.formats.base import EncodeOptions, Feature, Logits, Statistics
from harness.formats.retrieval import (
    ENGLISH,
    FOREIGN,
    RetrievalFormat,
    encode_sentences,
    side_vectors,
)
from harness.formats.scoring import check_counts, column, mean_percent

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SIMILARITIES_AT_ONCE = 1 << 24  # bounds memory (64 MiB of float32) whatever the number of pairs


class BitextRetrieval(RetrievalFormat[BitextExample]):
    """A prediction is the index of the foreign sentence taken for the example's English one."""

    name: ClassVar[str] = "bitext_retrieval"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    typical_rows: ClassVar[int] = 2

    def encode(
        self,
        examples: Sequence[BitextExample],
        tokenizer: PreTrainedTokenizerFast,
        labels: Sequence[str],
        options: EncodeOptions,
        *,
        training: bool,
    ) -> list[Feature]:
        """Two features per example: the foreign sentence, then the English one."""
        sentences = [
            (index, side, text)
            for index, example in enumerate(examples)
            for side, text in ((FOREIGN, example.sentence), (ENGLISH, example.english))
        ]
        return encode_sentences(sentences, tokenizer, options)

    def decode(
        self,
        logits: Sequence[Logits],
        features: Sequence[Feature],
        examples: Sequence[BitextExample],
        labels: Sequence[str],
        options: EncodeOptions,
    ) -> list[int]:
        """Nearest foreign row of each English row by cosine."""
        if not examples:
            return []
        foreign, english = (
            side_vectors(logits, features, side, self.retrieval.key) for side in (FOREIGN, ENGLISH)
        )
        return [int(index) for index in nearest(english, foreign)]

    def statistics(
        self, predictions: Sequence[int], examples: Sequence[BitextExample]
    ) -> Statistics:
        """`[n, 1]`: 1 where the i-th English sentence found the i-th foreign one."""
        check_counts(predictions, examples)
        return column([prediction == index for index, prediction in enumerate(predictions)])

    def aggregate(self, statistics: Statistics) -> dict[str, float]:
        """Accuracy."""
        return mean_percent(statistics, self.metrics)

    def floor(self, examples: Sequence[BitextExample], labels: Sequence[str]) -> Statistics:
        """Chance: 1/n."""
        return column([1.0 / len(examples)] * len(examples))


def nearest(
    queries: npt.NDArray[np.float32], rows: npt.NDArray[np.float32]
) -> npt.NDArray[np.int64]:
    """For each query `[m, d]` the index of the nearest row `[n, d]` by cosine, lowest of equals."""
    queries, rows = _normalised(queries), _normalised(rows)
    step = max(1, SIMILARITIES_AT_ONCE // len(rows))
    parts = [
        (queries[start : start + step] @ rows.T).argmax(axis=1)
        for start in range(0, len(queries), step)
    ]
    return np.concatenate(parts).astype(np.int64)


def _normalised(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: npt.NDArray[np.float32] = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    return scaled
