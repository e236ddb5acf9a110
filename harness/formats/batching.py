"""From texts to rows and from features to padded batches; the same for every format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from harness.formats.base import Batch, Feature

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

T = TypeVar("T")
TOKENIZER_BATCH = 1000  # texts per tokenizer call: parallel, yet little memory for its encodings


@dataclass(frozen=True, slots=True)
class Specials:
    """The special-token ids around texts: XLM-R has `<s> A </s>` and `<s> A </s></s> B </s>`."""

    single: tuple[tuple[int, ...], tuple[int, ...]]
    pair: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> Specials:
        """Read them off the tokenizer's own output, whatever its class."""
        single = _runs(tokenizer("a"))
        pair = _runs(tokenizer("a", "a"))
        return cls((single[0], single[1]), (pair[0], pair[1], pair[2]))

    @property
    def single_length(self) -> int:
        """Special tokens of a single row."""
        return sum(map(len, self.single))

    @property
    def pair_length(self) -> int:
        """Special tokens of a pair row."""
        return sum(map(len, self.pair))

    def join(self, first: Sequence[int]) -> tuple[int, ...]:
        """The row of one text's token ids."""
        return (*self.single[0], *first, *self.single[1])

    def join_pair(self, first: Sequence[int], second: Sequence[int]) -> tuple[int, ...]:
        """The row of two texts' token ids."""
        return (*self.pair[0], *first, *self.pair[1], *second, *self.pair[2])


def _runs(encoding: Any) -> list[tuple[int, ...]]:
    """The special ids before, between and after the texts of an encoding."""
    runs: list[list[int]] = [[]]
    previous: int | None = None
    for token, sequence in zip(encoding["input_ids"], encoding.sequence_ids(), strict=True):
        if sequence is None:
            runs[-1].append(token)
        elif sequence != previous:
            runs.append([])
        previous = previous if sequence is None else sequence
    return [tuple(run) for run in runs]


def slices(items: Sequence[T], size: int = TOKENIZER_BATCH) -> Iterator[Sequence[T]]:
    """Consecutive parts of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def token_ids(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> dict[str, list[int]]:
    """Token ids without specials of every distinct text."""
    distinct = list(dict.fromkeys(texts))
    ids: dict[str, list[int]] = {}
    for part in slices(distinct):
        encoded = tokenizer(
            list(part),
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        ids.update(zip(part, encoded["input_ids"], strict=True))
    return ids


def collate(
    features: Sequence[Feature], pad_id: int, device: torch.device | str | None = None
) -> Batch:
    """Rows `[R, L]` of all features in order (a feature's are adjacent), padded to the longest."""
    import torch  # noqa: PLC0415

    rows = [row for feature in features for row in feature.rows]
    width = max(len(row) for row in rows)
    input_ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    attention_mask = np.zeros((len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        input_ids[index, : len(row)] = row
        attention_mask[index, : len(row)] = 1
    return Batch(
        torch.from_numpy(input_ids).to(device),
        torch.from_numpy(attention_mask).to(device),
        tuple(features),
    )
