"""Encoded data sets, kept in memory by content, so that the steps of a process share them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerFast

from harness.data import Dataset
from harness.formats import EncodeOptions, Feature
from harness.recipes import Goal

TOKENS = 2_000_000  # kept at most: 50 to 200 MiB, as Python keeps numbers

_Key = tuple[Any, ...]


@dataclass(slots=True)
class FeatureCache:
    """Features of data sets, those used last; a set of more than `tokens` is encoded each time."""

    tokens: int = TOKENS
    _kept: OrderedDict[_Key, tuple[PreTrainedTokenizerFast, list[Feature], int]] = field(
        default_factory=OrderedDict
    )

    def encode(
        self,
        goal: Goal,
        dataset: Dataset,
        tokenizer: PreTrainedTokenizerFast,
        options: EncodeOptions,
        *,
        training: bool,
    ) -> list[Feature]:
        """What the goal's format makes of the data set; to be read only."""
        form = (goal.format.name, *sorted(goal.format.signature().items()))
        key = (dataset.fingerprint, form, id(tokenizer), goal.labels, options, training)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][1]
        features = goal.format.encode(
            dataset.examples, tokenizer, goal.labels, options, training=training
        )
        size = sum(len(row) for feature in features for row in feature.rows)
        if size <= self.tokens:
            # With its tokenizer, whose id stays its own as long as it lives.
            self._kept[key] = tokenizer, features, size
            while sum(kept for _, _, kept in self._kept.values()) > self.tokens:
                self._kept.popitem(last=False)
        return features
