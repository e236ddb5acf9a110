"""What a format is: encode, head, loss, decode, statistics, aggregate, floor.

What a format does is said in the module of its name; longer algorithms have modules of their own
(mining, span_offsets, span_words), and what formats share too (batching, retrieval, scoring).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from harness.data.examples import Example
from harness.errors import InputError

if TYPE_CHECKING:  # torch and transformers are imported where they are used: scoring needs neither
    import torch
    from adapters import XLMRobertaAdapterModel
    from transformers import PreTrainedTokenizerFast

E = TypeVar("E", bound=Example)
Statistics = npt.NDArray[np.float64]
Logits = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """Limits of encoding, in subwords; `doc_stride` matters to span QA only."""

    max_length: int = 128
    doc_stride: int = 128


@dataclass(frozen=True, slots=True)
class Feature:
    """One model input of one example: a token-id row per choice (one row for all other formats)."""

    rows: tuple[tuple[int, ...], ...]
    example: int  # index of the example in its data set; several features may share it
    target: Any = None  # what the loss needs; None where the gold is withheld
    extra: Any = None  # what decoding needs (offsets, word starts)

    @property
    def length(self) -> int:
        """Tokens of the longest row."""
        return max(len(row) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded rows `[R, L]` of some features, and the features themselves."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    features: tuple[Feature, ...]


class Format(ABC, Generic[E]):
    """The shape of a task. Predictions are JSON values, one per example; scores are in percent."""

    name: ClassVar[str]
    version: ClassVar[int] = 1  # raise when predictions or scores change: it is part of step keys
    metrics: ClassVar[
        tuple[str, ...]
    ]  # the metrics that aggregate() gives; task_score() joins them
    typical_rows: ClassVar[int] = 1  # model inputs of an example as a rule, for estimates only
    trained: ClassVar[bool] = True  # False: there is no head and no target training (retrieval)
    tuned: ClassVar[bool] = False  # True: tune() on the dev set of each language comes first

    def configured(self, options: Mapping[str, Any], depth: int) -> Format[E]:
        """This format under a target's `options`, for a backbone of `depth` layers.

        InputError for an option or a value that it does not know; this default knows none.
        """
        check_names(self.name, options, ())
        return self

    @abstractmethod
    def encode(
        self,
        examples: Sequence[E],
        tokenizer: PreTrainedTokenizerFast,
        labels: Sequence[str],
        options: EncodeOptions,
        *,
        training: bool,
    ) -> list[Feature]:
        """Features in example order, never longer than needed (no padding here)."""

    @abstractmethod
    def add_head(self, model: XLMRobertaAdapterModel, name: str, labels: Sequence[str]) -> None:
        """Add this format's prediction head of the `adapters` library under `name`."""

    @abstractmethod
    def forward(
        self, model: XLMRobertaAdapterModel, head: str, batch: Batch
    ) -> dict[str, torch.Tensor]:
        """Run the model; named logits, first axis = features of the batch."""

    def layers_run(self, depth: int) -> int:
        """How many of the backbone's layers a forward pass runs."""
        return depth

    def lowest_layer(self, depth: int) -> int:
        """The lowest layer whose output it reads (0: the embeddings)."""
        return depth

    def unpadded(self, feature: Feature) -> int | None:
        """Length of the second axis of the feature's logits before padding; None: never padded."""
        return None

    def split(self, logits: Mapping[str, torch.Tensor], batch: Batch) -> list[Logits]:
        """What forward() gave, per feature as float32 arrays on the CPU, without padding."""
        return split_logits(logits, [self.unpadded(feature) for feature in batch.features])

    def storage(self, count: int) -> MutableSequence[Logits]:
        """Where predict() puts the logits of `count` features."""
        return [{}] * count

    def signature(self) -> dict[str, str]:
        """What of this format can change a number: goes into the signature beside it."""
        return {}

    @abstractmethod
    def loss(self, logits: Mapping[str, torch.Tensor], batch: Batch) -> tuple[torch.Tensor, float]:
        """Summed loss and its weight (examples or tokens), so that accumulation is exact."""

    @abstractmethod
    def weight(self, feature: Feature) -> float:
        """What the feature adds to the loss weight: 1, or its number of labelled tokens."""

    @abstractmethod
    def decode(
        self,
        logits: Sequence[Logits],
        features: Sequence[Feature],
        examples: Sequence[E],
        labels: Sequence[str],
        options: EncodeOptions,
    ) -> list[Any]:
        """Predictions, one per example; `logits[i]` are those of `features[i]`, without padding."""

    def tune(
        self,
        logits: Sequence[Logits],
        features: Sequence[Feature],
        examples: Sequence[E],
        labels: Sequence[str],
        options: EncodeOptions,
    ) -> Tuned[E]:
        """Where `tuned`: this format with what is chosen on a dev set, before decode()."""
        raise NotImplementedError(f"{self.name} is not tuned")

    @abstractmethod
    def statistics(self, predictions: Sequence[Any], examples: Sequence[E]) -> Statistics:
        """Per-example statistics `[n, k]` that suffice for the metrics."""

    @abstractmethod
    def aggregate(self, statistics: Statistics) -> dict[str, float]:
        """Metrics in percent from statistics of any subset or resample of examples."""

    def task_score(self, scores: Mapping[str, float]) -> float:
        """The one number of the task: the mean of its metrics (XTREME's rule for EM and F1)."""
        return float(np.mean([scores[m] for m in self.metrics]))

    def score_of_sums(self, sums: Statistics, n: int) -> Statistics:
        """Task scores `[R]` from sums `[R, k]` of the statistics of n examples, for resampling.

        This default is for statistics that are the metrics themselves, in the metrics' order.
        """
        scores: Statistics = 100.0 * sums[:, : len(self.metrics)].mean(axis=1) / n
        return scores

    @abstractmethod
    def floor(self, examples: Sequence[E], labels: Sequence[str]) -> Statistics:
        """Statistics `[n, k]` of the best trivial predictor (chance or majority class)."""


def check_names(task_format: str, options: Mapping[str, Any], known: Sequence[str]) -> None:
    """InputError for an option that the format does not know."""
    for name in options:
        if name not in known:
            raise InputError(
                f"options: format '{task_format}' has no '{name}'; "
                f"allowed: {', '.join(known) or 'none'}"
            )


@dataclass(frozen=True, slots=True)
class Tuned(Generic[E]):
    """A format with what was chosen on a dev set, those values, and its predictions there."""

    format: Format[E]
    values: Mapping[str, float]
    predictions: Sequence[Any]


def split_logits(logits: Mapping[str, torch.Tensor], lengths: Sequence[int | None]) -> list[Logits]:
    """One mapping per feature: row i of every tensor, cut to `lengths[i]` unless None."""
    arrays = {name: tensor.detach().float().cpu().numpy() for name, tensor in logits.items()}
    return [
        {
            # copied where cut, so that the padded batch can be freed
            name: array[i] if length is None else array[i, :length].copy()
            for name, array in arrays.items()
        }
        for i, length in enumerate(lengths)
    ]
