"""Pair classification (NLI, paraphrase): one label of the relation of two texts; accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from harness.data.examples import PairExample
from harness.formats.base import Batch, EncodeOptions, Feature, Format, Logits, Statistics
from harness.formats.batching import slices
from harness.formats.scoring import (
    check_counts,
    column,
    label_table,
    mean_percent,
    unknown_label,
    withheld,
)

if TYPE_CHECKING:
    import torch
    from adapters import XLMRobertaAdapterModel
    from transformers import PreTrainedTokenizerFast


class PairClassification(Format[PairExample]):
    """A prediction is a label; `target` is its index, or None where the gold is withheld."""

    name: ClassVar[str] = "pair_classification"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)

    def encode(
        self,
        examples: Sequence[PairExample],
        tokenizer: PreTrainedTokenizerFast,
        labels: Sequence[str],
        options: EncodeOptions,
        *,
        training: bool,
    ) -> list[Feature]:
        """One feature per example: the pair, cut from the longer text first."""
        table = label_table(labels)
        features: list[Feature] = []
        for part in slices(examples):
            encoded = tokenizer(
                [example.premise for example in part],
                [example.hypothesis for example in part],
                truncation="longest_first",
                max_length=options.max_length,
                return_attention_mask=False,
                return_token_type_ids=False,
            )
            for example, row in zip(part, encoded["input_ids"], strict=True):
                target = _target(example, table, training)
                features.append(Feature((tuple(row),), len(features), target))
        return features

    def add_head(self, model: XLMRobertaAdapterModel, name: str, labels: Sequence[str]) -> None:
        """A two-layer head on the first token."""
        model.add_classification_head(
            name, num_labels=len(labels), layers=2, id2label=dict(enumerate(labels))
        )

    def forward(
        self, model: XLMRobertaAdapterModel, head: str, batch: Batch
    ) -> dict[str, torch.Tensor]:
        """`logits` [B, C]."""
        output = model(batch.input_ids, attention_mask=batch.attention_mask, head=head)
        return {"logits": output.logits}

    def loss(self, logits: Mapping[str, torch.Tensor], batch: Batch) -> tuple[torch.Tensor, float]:
        """Summed cross entropy; the weight is the number of examples."""
        import torch  # noqa: PLC0415

        scores = logits["logits"].float()
        targets = torch.tensor([f.target for f in batch.features], device=scores.device)
        loss = torch.nn.functional.cross_entropy(scores, targets, reduction="sum")
        return loss, float(len(batch.features))

    def weight(self, feature: Feature) -> float:
        """1 per example."""
        return 1.0

    def decode(
        self,
        logits: Sequence[Logits],
        features: Sequence[Feature],
        examples: Sequence[PairExample],
        labels: Sequence[str],
        options: EncodeOptions,
    ) -> list[str]:
        """The label of the highest logit; the first of equals."""
        predictions = [""] * len(examples)
        for scores, feature in zip(logits, features, strict=True):
            predictions[feature.example] = labels[int(scores["logits"].argmax())]
        return predictions

    def statistics(self, predictions: Sequence[str], examples: Sequence[PairExample]) -> Statistics:
        """`[n, 1]`: 1 where the label is right."""
        check_counts(predictions, examples)
        pairs = zip(predictions, examples, strict=True)
        return column([prediction == _gold(example) for prediction, example in pairs])

    def aggregate(self, statistics: Statistics) -> dict[str, float]:
        """Accuracy."""
        return mean_percent(statistics, self.metrics)

    def floor(self, examples: Sequence[PairExample], labels: Sequence[str]) -> Statistics:
        """The majority label of the gold, never worse than chance; the first of equals."""
        golds = [_gold(example) for example in examples]
        counts = Counter(golds)
        majority = max(labels, key=lambda label: counts[label])
        return column([gold == majority for gold in golds])


def _target(example: PairExample, table: Mapping[str, int], training: bool) -> int | None:
    if example.label is None:
        if training:
            raise withheld(example)
        return None
    if example.label not in table:
        raise unknown_label(example, example.label, list(table))
    return table[example.label]


def _gold(example: PairExample) -> str:
    if example.label is None:
        raise withheld(example)
    return example.label
