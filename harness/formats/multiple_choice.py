"""Multiple choice (HellaSwag, CosmosQA, XCOPA): which text follows the context; accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from harness.data.examples import ChoiceExample
from harness.errors import InputError
from harness.formats.base import Batch, EncodeOptions, Feature, Format, Logits, Statistics
from harness.formats.batching import Specials, token_ids
from harness.formats.scoring import check_counts, column, mean_percent, withheld

if TYPE_CHECKING:
    import torch
    from adapters import XLMRobertaAdapterModel
    from transformers import PreTrainedTokenizerFast


class MultipleChoice(Format[ChoiceExample]):
    """A prediction is the index of a choice. Examples may differ in the number of choices."""

    name: ClassVar[str] = "multiple_choice"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    typical_rows: ClassVar[int] = 4

    def encode(
        self,
        examples: Sequence[ChoiceExample],
        tokenizer: PreTrainedTokenizerFast,
        labels: Sequence[str],
        options: EncodeOptions,
        *,
        training: bool,
    ) -> list[Feature]:
        """One feature per example, a row (context, choice) per choice; the context is cut first."""
        specials = Specials.of(tokenizer)
        room = options.max_length - specials.pair_length
        if room < 1:
            raise InputError(
                f"max_length {options.max_length} leaves no room for text; "
                f"allowed: {specials.pair_length + 1} or more"
            )
        ids = token_ids(tokenizer, [t for e in examples for t in (e.context, *e.choices)])
        features: list[Feature] = []
        for index, example in enumerate(examples):
            if example.label is None and training:
                raise withheld(example)
            if example.label is not None and not 0 <= example.label < len(example.choices):
                raise InputError(
                    f"example '{example.id}' ({example.language}): label {example.label} is no "
                    f"choice; allowed: 0 to {len(example.choices) - 1}"
                )
            fitted = [_fit(ids[example.context], ids[text], room) for text in example.choices]
            rows = tuple(specials.join_pair(context, choice) for context, choice in fitted)
            features.append(Feature(rows, index, example.label))
        return features

    def add_head(self, model: XLMRobertaAdapterModel, name: str, labels: Sequence[str]) -> None:
        """A two-layer head that scores a choice; training batches tell it how many there are."""
        model.add_multiple_choice_head(
            name, num_choices=len(labels), layers=2, id2label=dict(enumerate(labels))
        )

    def forward(
        self, model: XLMRobertaAdapterModel, head: str, batch: Batch
    ) -> dict[str, torch.Tensor]:
        """`logits` [B, K], K = most choices in the batch, -inf where an example has fewer."""
        import torch  # noqa: PLC0415

        config = model.heads[head].config
        counts = [len(feature.rows) for feature in batch.features]
        num_choices = config["num_choices"]
        if model.training:  # a saved head says how many choices it was trained on, at most
            num_choices = max(num_choices, *counts)
        # The library's head reshapes to [-1, num_choices]; with 1 it gives one score per row.
        config["num_choices"] = 1
        try:
            output = model(batch.input_ids, attention_mask=batch.attention_mask, head=head)
        finally:
            config["num_choices"] = num_choices
        scores = output.logits.flatten()
        logits = torch.nn.utils.rnn.pad_sequence(
            list(scores.split(counts)), batch_first=True, padding_value=float("-inf")
        )
        return {"logits": logits}

    def unpadded(self, feature: Feature) -> int | None:
        """Choices of the example."""
        return len(feature.rows)

    def loss(self, logits: Mapping[str, torch.Tensor], batch: Batch) -> tuple[torch.Tensor, float]:
        """Summed cross entropy over the choices; the weight is the number of examples."""
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
        examples: Sequence[ChoiceExample],
        labels: Sequence[str],
        options: EncodeOptions,
    ) -> list[int]:
        """The choice with the highest logit; the first of equals."""
        predictions = [0] * len(examples)
        for scores, feature in zip(logits, features, strict=True):
            predictions[feature.example] = int(scores["logits"].argmax())
        return predictions

    def statistics(
        self, predictions: Sequence[int], examples: Sequence[ChoiceExample]
    ) -> Statistics:
        """`[n, 1]`: 1 where the choice is right."""
        check_counts(predictions, examples)
        pairs = zip(predictions, examples, strict=True)
        return column([prediction == _gold(example) for prediction, example in pairs])

    def aggregate(self, statistics: Statistics) -> dict[str, float]:
        """Accuracy."""
        return mean_percent(statistics, self.metrics)

    def floor(self, examples: Sequence[ChoiceExample], labels: Sequence[str]) -> Statistics:
        """Chance (1/k), or always the same position where that is right more often."""
        golds = [_gold(example) for example in examples]
        chance = column([1.0 / len(example.choices) for example in examples])
        counts = Counter(golds)
        position = min(counts, key=lambda gold: (-counts[gold], gold))
        majority = column([gold == position for gold in golds])
        return majority if majority.sum() > chance.sum() else chance


def _fit(context: list[int], choice: list[int], room: int) -> tuple[list[int], list[int]]:
    """Cut the context to make room for the choice; if that is not enough, always the longer one."""
    if len(choice) < room:
        return context[: room - len(choice)], choice
    kept = min(len(context), room // 2)
    return context[:kept], choice[: room - kept]


def _gold(example: ChoiceExample) -> int:
    if example.label is None:
        raise withheld(example)
    return example.label
