"""What identifies an example as a scored one, per rule: its id, its parallel row, its text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import singledispatch
from itertools import chain

from harness.data.examples import (
    BitextExample,
    ChoiceExample,
    Example,
    MiningExample,
    PairExample,
    SpanExample,
    TaggingExample,
    TextExample,
)
from harness.data.files.groups import context_group, is_local
from harness.data.files.text import pieces, text_segments

RULES = ("id", "group", "text")
_LOCAL_ID = re.compile(r"\d{1,15}")  # a bare number counts rows of its own file, never compared
Normal = Callable[[str], str]
_MIN_PIECE = 20  # characters without spaces; shorter pieces ("Yes.") prove nothing


@dataclass(slots=True)
class Normaliser:
    """Normalised text: NFKC, case folded, no white space; remembered, as contexts repeat."""

    known: dict[str, str] = field(default_factory=dict)

    def __call__(self, text: str) -> str:
        if text not in self.known:
            folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
            self.known[text] = "".join(folded.split())
        return self.known[text]


def context_of(example: Example) -> tuple[str, ...]:
    """The context that an example stands on, if others may stand on it too."""
    if isinstance(example, SpanExample):
        return (context_group(example.context),)
    if isinstance(example, TextExample) and (example.group or "").startswith("context:"):
        return (str(example.group),)
    return ()


def _id_keys(example: Example, normal: Normal) -> Iterator[str]:
    # Running text has the id of its example and the number of the piece.
    name = example.id.rpartition("#")[0] if isinstance(example, TextExample) else example.id
    if not _LOCAL_ID.fullmatch(name):
        yield name


def _group_keys(example: Example, normal: Normal) -> Iterator[str]:
    if example.group is not None and not is_local(example.group):
        yield example.group


def _text_keys(example: Example, normal: Normal) -> Iterator[str]:
    key = "\t".join(normal(text) for text in _identity(example))
    if key.strip():
        yield key


def piece_keys(example: Example, normal: Normal) -> Iterator[str]:
    """The sentences of an example, to compare running text with."""
    for segments in text_segments(example):
        for piece in chain.from_iterable(map(pieces, segments)):
            key = normal(piece)
            if len(key) >= _MIN_PIECE:
                yield key


KEYS: Mapping[str, Callable[[Example, Normal], Iterator[str]]] = {
    "id": _id_keys,
    "group": _group_keys,
    "text": _text_keys,
}


@singledispatch
def _identity(example: Example) -> tuple[str, ...]:
    """The texts that together make an example the same as another one."""
    raise TypeError(type(example))


@_identity.register
def _pair(example: PairExample) -> tuple[str, ...]:
    return (example.premise, example.hypothesis)


@_identity.register
def _tagging(example: TaggingExample) -> tuple[str, ...]:
    return ("".join(example.tokens),)


@_identity.register
def _span(example: SpanExample) -> tuple[str, ...]:
    return (example.context,)


@_identity.register
def _choice(example: ChoiceExample) -> tuple[str, ...]:
    return (example.context,)


@_identity.register
def _bitext(example: BitextExample) -> tuple[str, ...]:
    return (example.sentence,)


@_identity.register
def _mining(example: MiningExample) -> tuple[str, ...]:
    return (example.sentence,)


@_identity.register
def _text(example: TextExample) -> tuple[str, ...]:
    return example.segments
