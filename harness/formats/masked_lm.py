"""Masked LM: predict hidden tokens of running text; accuracy and perplexity of these."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from harness.data.examples import TextExample
from harness.errors import InputError
from harness.formats.base import (
    Batch,
    EncodeOptions,
    Feature,
    Format,
    Logits,
    Statistics,
    split_logits,
)
from harness.formats.batching import slices
from harness.formats.scoring import check_counts

if TYPE_CHECKING:
    import torch
    from adapters import XLMRobertaAdapterModel
    from transformers import PreTrainedTokenizerFast

IGNORED = -100  # label of a token that is not masked


@dataclass(frozen=True, slots=True)
class MaskingOptions:
    """Share of masked tokens, and the seed of the fixed masks that evaluation uses."""

    rate: float = 0.15
    seed: int = 0


class MaskedLM(Format[TextExample]):
    """A prediction counts an example's masked tokens: `correct`, `masked`, `log_likelihood` (nats).

    `target` is (masked positions, their true ids). For training, encode() masks nothing: remask()
    does so anew for every epoch.
    """

    name: ClassVar[str] = "masked_lm"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "perplexity")

    def __init__(self, masking: MaskingOptions | None = None) -> None:
        self.masking = masking or MaskingOptions()
        if not 0.0 < self.masking.rate < 1.0:
            raise InputError(
                f"masking rate {self.masking.rate} is wrong; allowed: above 0, below 1"
            )

    def with_options(self, masking: MaskingOptions) -> MaskedLM:
        """The same format with other masking."""
        return MaskedLM(masking)

    def signature(self) -> dict[str, str]:
        """Rate and seed of the masks."""
        return {"rate": str(self.masking.rate), "mask_seed": str(self.masking.seed)}

    def encode(
        self,
        examples: Sequence[TextExample],
        tokenizer: PreTrainedTokenizerFast,
        labels: Sequence[str],
        options: EncodeOptions,
        *,
        training: bool,
    ) -> list[Feature]:
        """One feature per example: its segment, or two as a pair; masked unless training."""
        rows: list[tuple[int, ...]] = [()] * len(examples)
        for count in (1, 2):
            indices = [i for i, example in enumerate(examples) if len(example.segments) == count]
            for part in slices(indices):
                columns = zip(*(examples[i].segments for i in part), strict=True)
                encoded = tokenizer(
                    *(list(column) for column in columns),
                    truncation="longest_first",
                    max_length=options.max_length,
                    return_attention_mask=False,
                    return_token_type_ids=False,
                )
                for index, row in zip(part, encoded["input_ids"], strict=True):
                    rows[index] = tuple(row)
        for row, example in zip(rows, examples, strict=True):
            if not row:
                raise InputError(
                    f"example '{example.id}' ({example.language}): {len(example.segments)} "
                    "segments; allowed: 1 or 2"
                )
        features = [Feature((row,), index) for index, row in enumerate(rows)]
        if training:
            return features
        import torch  # noqa: PLC0415

        return self.remask(features, tokenizer, torch.Generator().manual_seed(self.masking.seed))

    def remask(
        self,
        features: Sequence[Feature],
        tokenizer: PreTrainedTokenizerFast,
        generator: torch.Generator,
    ) -> list[Feature]:
        """Fresh masks on features as encode(training=True) gave them."""
        import torch  # noqa: PLC0415

        if tokenizer.mask_token_id is None:
            raise InputError("the tokenizer has no mask token; use a backbone that has one")
        if not features:
            return []
        flat = torch.from_numpy(np.concatenate([feature.rows[0] for feature in features]))
        special = torch.isin(flat, torch.tensor(tokenizer.all_special_ids))
        masked, labels = mask_tokens(
            flat, special, len(tokenizer), tokenizer.mask_token_id, generator, self.masking.rate
        )
        lengths = [feature.length for feature in features]
        fresh: list[Feature] = []
        for feature, row, label in zip(
            features, torch.split(masked, lengths), torch.split(labels, lengths), strict=True
        ):
            places = (label != IGNORED).nonzero().flatten()
            target = (tuple(places.tolist()), tuple(label[places].tolist()))
            fresh.append(replace(feature, rows=(tuple(row.tolist()),), target=target))
        return fresh

    def add_head(self, model: XLMRobertaAdapterModel, name: str, labels: Sequence[str]) -> None:
        """BERT's masked-LM head over the vocabulary."""
        model.add_masked_lm_head(name, layers=2)

    def forward(
        self, model: XLMRobertaAdapterModel, head: str, batch: Batch
    ) -> dict[str, torch.Tensor]:
        """`logits` [B, M, V] at masked positions only: the vocabulary is most of the cost."""
        import torch  # noqa: PLC0415

        hidden = model.roberta(batch.input_ids, attention_mask=batch.attention_mask)[0]
        places = _padded(batch, 0, 0).to(hidden.device)
        rows = torch.arange(len(batch.features), device=hidden.device).unsqueeze(1)
        return {"logits": model.heads[head]((hidden[rows, places],))[0]}

    def unpadded(self, feature: Feature) -> int | None:
        """Masked tokens."""
        return len(feature.target[0])

    def split(self, logits: Mapping[str, torch.Tensor], batch: Batch) -> list[Logits]:
        """`log_likelihood` and `correct` [M] per feature: the logits themselves are too large."""
        scores = logits["logits"].detach().float()
        targets = _padded(batch, 1, 0).to(scores.device)
        chosen = scores.log_softmax(dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
        reduced = {"log_likelihood": chosen, "correct": scores.argmax(dim=-1) == targets}
        lengths = [self.unpadded(feature) for feature in batch.features]
        return split_logits(reduced, lengths)

    def loss(self, logits: Mapping[str, torch.Tensor], batch: Batch) -> tuple[torch.Tensor, float]:
        """Summed cross entropy; the weight is the number of masked tokens (it may be 0)."""
        import torch  # noqa: PLC0415

        scores = logits["logits"].float().flatten(0, 1)
        targets = _padded(batch, 1, IGNORED).to(scores.device).flatten()
        loss = torch.nn.functional.cross_entropy(
            scores, targets, ignore_index=IGNORED, reduction="sum"
        )
        return loss, sum(self.weight(feature) for feature in batch.features)

    def weight(self, feature: Feature) -> float:
        """Masked tokens of the feature."""
        return float(len(feature.target[0]))

    def decode(
        self,
        logits: Sequence[Logits],
        features: Sequence[Feature],
        examples: Sequence[TextExample],
        labels: Sequence[str],
        options: EncodeOptions,
    ) -> list[dict[str, float]]:
        """Counts of each example's masked tokens."""
        predictions = [
            {"correct": 0.0, "masked": 0.0, "log_likelihood": 0.0} for _ in range(len(examples))
        ]
        for scores, feature in zip(logits, features, strict=True):
            prediction = predictions[feature.example]
            prediction["correct"] += float(scores["correct"].sum())
            prediction["masked"] += len(scores["correct"])
            prediction["log_likelihood"] += float(scores["log_likelihood"].sum(dtype=np.float64))
        return predictions

    def statistics(
        self, predictions: Sequence[Mapping[str, float]], examples: Sequence[TextExample]
    ) -> Statistics:
        """`[n, 3]`: right tokens, masked tokens, their negative log-likelihood."""
        check_counts(predictions, examples)
        rows = [(p["correct"], p["masked"], -p["log_likelihood"]) for p in predictions]
        return np.asarray(rows, dtype=np.float64).reshape(-1, 3)

    def aggregate(self, statistics: Statistics) -> dict[str, float]:
        """Accuracy in percent; perplexity, which is no percentage."""
        correct, masked, negative = statistics.sum(axis=0)
        if masked == 0:
            raise InputError("no masked token to score; give more text or a higher masking rate")
        return {
            "accuracy": float(100.0 * correct / masked),
            "perplexity": math.exp(min(negative / masked, 700.0)),  # e^709 is the largest float
        }

    def task_score(self, scores: Mapping[str, float]) -> float:
        """Accuracy."""
        return scores["accuracy"]

    def floor(self, examples: Sequence[TextExample], labels: Sequence[str]) -> Statistics:
        """InputError: it would need the vocabulary."""
        raise InputError("masked_lm has no floor; compare two backbones instead")


def mask_tokens(
    input_ids: torch.Tensor,
    special_mask: torch.Tensor,
    vocab_size: int,
    mask_id: int,
    generator: torch.Generator,
    rate: float = 0.15,
) -> tuple[torch.Tensor, torch.Tensor]:
    """BERT's masking of tokens that are not special: 80% mask, 10% random id, 10% kept.

    Returns new input ids and labels (the true id where chosen, else -100) of the same shape.
    """
    import torch  # noqa: PLC0415

    def draw() -> torch.Tensor:
        return torch.rand(input_ids.shape, generator=generator)

    chosen = (draw() < rate) & ~special_mask.bool()
    how = draw()
    random_ids = torch.randint(vocab_size, input_ids.shape, generator=generator)
    masked = input_ids.masked_fill(chosen & (how < 0.8), mask_id)
    masked = torch.where(chosen & (how >= 0.9), random_ids, masked)
    return masked, input_ids.masked_fill(~chosen, IGNORED)


def _padded(batch: Batch, part: int, fill: int) -> Any:
    """Positions (part 0) or true ids (part 1) of the features' masked tokens as a tensor [B, M]."""
    import torch  # noqa: PLC0415

    rows = [torch.tensor(f.target[part], dtype=torch.long) for f in batch.features]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=fill)
