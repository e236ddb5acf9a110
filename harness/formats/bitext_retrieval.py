"""Bitext retrieval (Tatoeba): find each English sentence's translation by embedding; accuracy.

No head and no training: an embedding is pooled from one layer, and each English sentence takes the
nearest foreign one by cosine (XTREME queries with English; no margin).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from harness.data.examples import BitextExample
from harness.errors import InputError
from harness.formats.base import (
    Batch,
    EncodeOptions,
    Feature,
    Format,
    Logits,
    Statistics,
    check_names,
)
from harness.formats.batching import Specials, token_ids
from harness.formats.scoring import check_counts, column, mean_percent

if TYPE_CHECKING:
    import torch
    from adapters import XLMRobertaAdapterModel
    from transformers import PreTrainedTokenizerFast

FOREIGN, ENGLISH = "foreign", "english"  # Feature.extra: the side of the sentence
SIMILARITIES_AT_ONCE = 1 << 24  # bounds memory (64 MiB of float32) whatever the number of pairs


@dataclass(frozen=True, slots=True)
class RetrievalOptions:
    """`layer` counts from 1 (0: the embeddings); `mean` pools over all tokens, specials too."""

    layer: int = 14
    pooling: Literal["mean", "cls"] = "mean"


PROPORTIONAL = "proportional-14/24"
"""The layer of a target that names none: as deep as XTREME's 14 of XLM-R Large's 24."""
_PROPORTION = re.compile(r"proportional-([0-9]+)/([1-9][0-9]*)")


def proportional_layer(depth: int, numerator: int = 14, of: int = 24) -> int:
    """The layer of `depth` that lies as deep as `numerator` of `of`; halves up, 1 or more."""
    return max(1, (2 * depth * numerator + of) // (2 * of))


def layer_of(text: str, depth: int) -> int:
    """The layer that an option names, for a backbone of `depth` layers; InputError if too deep."""
    share = _PROPORTION.fullmatch(text)
    if share is None and not (text.isascii() and text.isdigit()):
        raise InputError(f"options: layer: got '{text}'; allowed: a number, or {PROPORTIONAL}")
    layer = proportional_layer(depth, int(share[1]), int(share[2])) if share else int(text)
    if layer > depth:
        raise InputError(
            f"options: layer: '{text}' is layer {layer} of a backbone of {depth}; "
            f"allowed: 0 to {depth}"
        )
    return layer


class BitextRetrieval(Format[BitextExample]):
    """A prediction is the index of the foreign sentence taken for the example's English one."""

    name: ClassVar[str] = "bitext_retrieval"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    trained: ClassVar[bool] = False

    def __init__(self, retrieval: RetrievalOptions | None = None) -> None:
        self.retrieval = retrieval or RetrievalOptions()
        if self.retrieval.pooling not in ("mean", "cls"):
            raise InputError(f"pooling '{self.retrieval.pooling}' is unknown; allowed: mean, cls")

    def configured(self, options: Mapping[str, Any], depth: int) -> BitextRetrieval:
        """`layer`: a number, or `proportional-N/OF` of the depth; `pooling`: mean or cls."""
        check_names(self.name, options, ("layer", "pooling"))
        layer = layer_of(str(options.get("layer", PROPORTIONAL)), depth)
        return self.with_options(RetrievalOptions(layer, options.get("pooling", "mean")))

    def with_options(self, retrieval: RetrievalOptions) -> BitextRetrieval:
        """The same format with another layer or pooling."""
        return BitextRetrieval(retrieval)

    def signature(self) -> dict[str, str]:
        """Layer and pooling."""
        return {"layer": str(self.retrieval.layer), "pooling": self.retrieval.pooling}

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
        specials = Specials.of(tokenizer)
        room = options.max_length - specials.single_length
        if room < 1:
            raise InputError(
                f"max_length {options.max_length} leaves no room for text; "
                f"allowed: {specials.single_length + 1} or more"
            )
        ids = token_ids(tokenizer, [t for e in examples for t in (e.sentence, e.english)])
        features: list[Feature] = []
        for index, example in enumerate(examples):
            for side, text in ((FOREIGN, example.sentence), (ENGLISH, example.english)):
                features.append(Feature((specials.join(ids[text][:room]),), index, extra=side))
        return features

    def add_head(self, model: XLMRobertaAdapterModel, name: str, labels: Sequence[str]) -> None:
        """InputError: there is no head."""
        raise InputError("bitext_retrieval has no head; evaluate the encoder as it is")

    def forward(
        self, model: XLMRobertaAdapterModel, head: str, batch: Batch
    ) -> dict[str, torch.Tensor]:
        """`embedding` [B, d] in float32; no head is used, layers above the chosen do not run."""
        encoder = model.roberta.encoder
        layers, wanted = encoder.layer, self.retrieval.layer
        if not 0 <= wanted <= len(layers):
            raise InputError(f"retrieval layer {wanted} is missing; allowed: 0 to {len(layers)}")
        encoder.layer = layers[:wanted]
        try:
            # the encoder itself, not the model, which would run its active head
            hidden = model.roberta(batch.input_ids, attention_mask=batch.attention_mask)[0].float()
        finally:
            encoder.layer = layers
        if self.retrieval.pooling == "cls":
            return {"embedding": hidden[:, 0]}
        mask = batch.attention_mask.unsqueeze(-1).to(hidden.dtype)
        return {"embedding": (hidden * mask).sum(dim=1) / mask.sum(dim=1)}

    def loss(self, logits: Mapping[str, torch.Tensor], batch: Batch) -> tuple[torch.Tensor, float]:
        """InputError: there is nothing to train."""
        raise InputError("bitext_retrieval is not trained; evaluate the encoder as it is")

    def weight(self, feature: Feature) -> float:
        """1 per sentence."""
        return 1.0

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
        sides: dict[str, dict[int, npt.NDArray[np.float32]]] = {FOREIGN: {}, ENGLISH: {}}
        for scores, feature in zip(logits, features, strict=True):
            sides[feature.extra][feature.example] = scores["embedding"]
        foreign, english = (
            np.stack([sides[side][index] for index in range(len(examples))])
            for side in (FOREIGN, ENGLISH)
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
