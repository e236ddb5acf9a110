"""The shapes of tasks. Importing this loads neither torch nor transformers: scoring needs none."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from harness.errors import InputError
from harness.formats.base import (
    Batch,
    EncodeOptions,
    Feature,
    Format,
    Logits,
    Statistics,
    Tuned,
    split_logits,
)
from harness.formats.batching import collate
from harness.formats.bitext_mining import BitextMining
from harness.formats.bitext_retrieval import BitextRetrieval
from harness.formats.masked_lm import MaskedLM, MaskingOptions, mask_tokens
from harness.formats.multiple_choice import MultipleChoice
from harness.formats.pair_classification import PairClassification
from harness.formats.retrieval import (
    POOLINGS,
    RetrievalFormat,
    RetrievalOptions,
    proportional_layer,
)
from harness.formats.span_qa import SpanQA, SpanRules
from harness.formats.tagging import Tagging

FORMATS: Mapping[str, Format[Any]] = MappingProxyType(
    {
        PairClassification.name: PairClassification(),
        Tagging.name: Tagging(),
        SpanQA.name: SpanQA(),
        MultipleChoice.name: MultipleChoice(),
        BitextRetrieval.name: BitextRetrieval(),
        BitextMining.name: BitextMining(),
        MaskedLM.name: MaskedLM(),
    }
)


def get_format(name: str) -> Format[Any]:
    """The format called `name`; InputError with the allowed names if there is none."""
    if name not in FORMATS:
        raise InputError(f"format '{name}' is unknown; allowed: {', '.join(FORMATS)}")
    return FORMATS[name]


__all__ = [
    "FORMATS",
    "POOLINGS",
    "Batch",
    "BitextMining",
    "BitextRetrieval",
    "EncodeOptions",
    "Feature",
    "Format",
    "Logits",
    "MaskedLM",
    "MaskingOptions",
    "MultipleChoice",
    "PairClassification",
    "RetrievalFormat",
    "RetrievalOptions",
    "SpanQA",
    "SpanRules",
    "Statistics",
    "Tagging",
    "Tuned",
    "collate",
    "get_format",
    "mask_tokens",
    "proportional_layer",
    "split_logits",
]
