"""Contexts of span QA by character offsets: an answer is cut out of the text as it stands there."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from harness.data.examples import Answer
from harness.formats.batching import slices

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Indices = npt.NDArray[np.int64]


class Context(Protocol):
    """A tokenised context: how answers are found in it and cut out of it."""

    @property
    def ids(self) -> list[int]:
        """Its tokens."""

    @property
    def usable(self) -> npt.NDArray[np.bool_]:
        """Which of them an answer may start or end with."""

    def cut(self, first: int, last: int) -> str:
        """The answer from token `first` to token `last`."""

    def find(self, answer: Answer) -> tuple[int, int] | None:
        """First and last token of an answer; None where it has none."""


@dataclass(frozen=True, slots=True)
class OffsetContext:
    """A token stands at `starts` to `ends` of the text, if it is `usable`."""

    text: str
    ids: list[int]
    starts: Indices
    ends: Indices
    usable: npt.NDArray[np.bool_]

    def cut(self, first: int, last: int) -> str:
        """The text as it stands there."""
        return self.text[self.starts[first] : self.ends[last]]

    def find(self, answer: Answer) -> tuple[int, int] | None:
        """All tokens that have a part in the answer."""
        stop = answer.start + len(answer.text)
        inside = np.flatnonzero(self.usable & (self.ends > answer.start) & (self.starts < stop))
        return (int(inside[0]), int(inside[-1])) if len(inside) else None


def offset_contexts(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]
) -> dict[str, OffsetContext]:
    """Every distinct context, tokenised once however many questions it has."""
    contexts: dict[str, OffsetContext] = {}
    for part in slices(list(dict.fromkeys(texts))):
        encoded = tokenizer(
            list(part),
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        for text, ids, offsets in zip(
            part, encoded["input_ids"], encoded["offset_mapping"], strict=True
        ):
            starts, ends = np.asarray(offsets, dtype=np.int64).reshape(-1, 2).T
            starts, ends = _next(text, str.isspace)[starts], _previous(text, str.isspace)[ends]
            if not text.isascii():
                # normalisation composes letter and marks, but offsets may cover the letter alone
                ends = np.maximum(ends, np.where(starts < ends, _next(text, _is_mark)[ends], 0))
            contexts[text] = OffsetContext(text, ids, starts, ends, starts < ends)
    return contexts


def _skip(text: str, skipped: Callable[[str], object]) -> npt.NDArray[np.bool_]:
    return np.fromiter((bool(skipped(c)) for c in text), dtype=bool, count=len(text))


def _next(text: str, skipped: Callable[[str], object]) -> Indices:
    """For each place in the text the next one that is not before a skipped character."""
    places = np.where(np.append(_skip(text, skipped), False), len(text), np.arange(len(text) + 1))
    return np.asarray(np.minimum.accumulate(places[::-1])[::-1], dtype=np.int64)


def _previous(text: str, skipped: Callable[[str], object]) -> Indices:
    """For each place in the text the last one that is not after a skipped character."""
    places = np.where(np.append(False, _skip(text, skipped)), 0, np.arange(len(text) + 1))
    return np.asarray(np.maximum.accumulate(places), dtype=np.int64)


def _is_mark(character: str) -> bool:
    return unicodedata.combining(character) > 0
