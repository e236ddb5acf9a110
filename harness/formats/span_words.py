"""Contexts as XTREME's run_squad.py reads them: words between whitespace, answers cut at words.

The variant `spans: whitespace` of span QA. Zh, ja and th have no spaces, so that a "word" may be a
paragraph; an answer inside it is cut out by aligning it with the tokenised word, where that works.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from harness.data.examples import Answer
from harness.formats.batching import slices
from harness.formats.span_offsets import Indices

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NOTHING_FOUND = "empty"  # what run_squad.py answers where no span is allowed, word for word
_WHITESPACE = frozenset(" \t\r\n\u202f")
# BERT's CJK blocks: each of their characters is a word of its own.
_CJK = (
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0x2F800, 0x2FA1F),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class WordContext:
    """A context whose words are tokenised one by one; all arrays but `word_at` are per token."""

    tokenizer: PreTrainedTokenizerFast
    words: tuple[str, ...]
    word_at: Indices  # per character: its word, or the last one before it, or -1
    ids: list[int]
    surfaces: list[str]  # as the text has them, also where the id is that of <unk>
    word_of: Indices
    usable: npt.NDArray[np.bool_]  # all of them

    def cut(self, first: int, last: int) -> str:
        """The answer that the tokens `first` to `last` stand for."""
        pieces = self.tokenizer.convert_ids_to_tokens(self.ids[first : last + 1])
        text = " ".join(self.tokenizer.convert_tokens_to_string(pieces).split())
        return final_text(text, self._words(int(self.word_of[first]), int(self.word_of[last])))

    def find(self, answer: Answer) -> tuple[int, int] | None:
        """First and last token of an answer: its words', or fewer where these are its own tokens.

        None where its words do not hold its text; run_squad.py does not train on such a question.
        """
        if answer.start >= len(self.word_at):
            return None
        last_character = min(answer.start + len(answer.text), len(self.word_at)) - 1
        first, last = int(self.word_at[answer.start]), int(self.word_at[last_character])
        if first < 0 or " ".join(answer.text.split()) not in self._words(first, last):
            return None
        begin, stop = np.searchsorted(self.word_of, [first, last + 1])
        if begin == stop:  # words without a token, such as a lone ideographic space
            return None
        own = self.tokenizer.tokenize(answer.text)
        for start in range(begin, stop - len(own) + 1) if own else ():
            if self.surfaces[start : start + len(own)] == own:
                return start, start + len(own) - 1
        return int(begin), int(stop) - 1

    def _words(self, first: int, last: int) -> str:
        return " ".join(self.words[first : last + 1])


def word_contexts(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]
) -> dict[str, WordContext]:
    """Every distinct context; every distinct word is tokenised once."""
    split = {text: _split(text) for text in dict.fromkeys(texts)}
    distinct = list(dict.fromkeys(word for words, _ in split.values() for word in words))
    tokens: dict[str, tuple[list[int], list[str]]] = {}
    for part in slices(distinct):
        encoded = tokenizer(list(part), add_special_tokens=False, verbose=False)
        for word, encoding in zip(part, encoded.encodings, strict=True):
            tokens[word] = (encoding.ids, encoding.tokens)
    contexts = {}
    for text, (words, word_at) in split.items():
        found = [tokens[word] for word in words]
        ids = [token for word_ids, _ in found for token in word_ids]
        contexts[text] = WordContext(
            tokenizer,
            words,
            word_at,
            ids,
            [surface for _, surfaces in found for surface in surfaces],
            np.repeat(np.arange(len(words)), [len(word_ids) for word_ids, _ in found]),
            np.ones(len(ids), dtype=bool),
        )
    return contexts


def _split(text: str) -> tuple[tuple[str, ...], Indices]:
    """The words between whitespace, and for each character the word that it belongs to."""
    inside = np.fromiter((c not in _WHITESPACE for c in text), dtype=bool, count=len(text))
    before = np.concatenate([[False], inside[:-1]]) if len(text) else inside
    starts, ends = inside & ~before, np.append(before & ~inside, inside[-1:])
    words = tuple(
        text[a:b] for a, b in zip(np.flatnonzero(starts), np.flatnonzero(ends), strict=True)
    )
    return words, np.asarray(starts.cumsum() - 1, dtype=np.int64)


def final_text(pieces: str, words: str) -> str:
    """The part of `words` that `pieces`, a tokenised text, stand for; else all of `words`.

    The rule of BERT's `get_final_text`: `pieces` are looked for in `words` as BERT's basic
    tokenizer splits them; the place found is carried over by counting characters but spaces, which
    must be as many in both.
    """
    tokenised = " ".join(basic_tokens(words))
    start = tokenised.find(pieces)
    if start < 0 or not pieces:
        return words
    places = [place for place, character in enumerate(words) if character != " "]
    if len(places) != len(tokenised) - tokenised.count(" "):
        return words
    first = start - tokenised.count(" ", 0, start)
    size = len(pieces) - pieces.count(" ")
    return words[places[first] : places[first + size - 1] + 1]


def basic_tokens(text: str) -> list[str]:
    """BERT's basic tokenizer, cased: CJK characters and punctuation alone, controls dropped.

    As in the library's versions of XTREME's time: later ones also compose characters (NFC).
    """
    return "".join(map(_spaced, text)).split()


@cache
def _spaced(character: str) -> str:
    """A character with spaces around it, as a space, as nothing, or as it is."""
    point, category = ord(character), unicodedata.category(character)
    if character in " \t\n\r" or category == "Zs":
        return " "
    if point in (0, 0xFFFD) or category.startswith("C"):
        return ""
    symbol = character.isascii() and not character.isalnum()
    if symbol or category.startswith("P") or any(low <= point <= high for low, high in _CJK):
        return f" {character} "
    return character
