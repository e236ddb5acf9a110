"""Running text for masked-LM pretraining, taken from the examples of any other reader."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import singledispatch
from typing import Any

from harness.data.dataset import Reader, ReadRequest
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
from harness.data.files.options import Options
from harness.errors import InputError

_OPTIONS: Mapping[str, Any] = {"reader": None, "options": {}}
_MAX_PIECE = 400  # characters; about 100 tokens, so that a piece fits any window
_SENTENCE_END = re.compile(r"(?<=[.!?؟।۔])\s+|(?<=[。！？])")

Texts = tuple[str, ...]


class _AnyLabel(tuple[str, ...]):
    """Labels that hold every label: text needs no gold, so nothing is checked."""

    __slots__ = ()

    def __contains__(self, label: object) -> bool:
        return True


def text_reader(readers: Mapping[str, Reader]) -> Reader:
    """A reader with options `reader` (one of `readers`) and `options` (those of that reader)."""

    def read(request: ReadRequest) -> Iterator[TextExample]:
        options = Options("text", request.options, _OPTIONS)
        inner = readers[options.choice("reader", sorted(readers))]
        plain = ReadRequest(
            request.files,
            request.language,
            _AnyLabel(),
            options.table("options"),
            request.report,
            request.root,
        )
        seen: set[Texts] = set()  # questions share contexts; each piece is read once
        for example in inner(plain):
            for text in text_examples(example):
                if text.segments not in seen:
                    seen.add(text.segments)
                    yield text

    return read


def text_examples(example: Example) -> Iterator[TextExample]:
    """The text of an example: one TextExample per run of text, with its id and group."""
    group = example.group
    if isinstance(example, SpanExample) and is_local(group):
        group = context_group(example.context)  # holds the pieces of a context together
    for number, segments in enumerate(text_segments(example)):
        kept = tuple(segment for segment in segments if segment.strip())
        if kept:
            yield TextExample(
                id=f"{example.id}#{number}",
                language=example.language,
                group=group,
                segments=kept,
            )


def pieces(text: str) -> list[str]:
    """A text cut at sentence ends; sentences over 400 characters are cut at spaces if any."""
    found: list[str] = []
    for sentence in _SENTENCE_END.split(text):
        rest = sentence.strip()
        while len(rest) > _MAX_PIECE:
            cut = rest.rfind(" ", 1, _MAX_PIECE)
            cut = cut if cut > 0 else _MAX_PIECE
            found.append(rest[:cut].strip())
            rest = rest[cut:].strip()
        found.append(rest)
    return [piece for piece in found if piece]


@singledispatch
def text_segments(example: Example) -> list[Texts]:
    """Every text of an example, as segments that belong together."""
    raise InputError(f"no text rule for {type(example).__name__}; `text` takes labelled examples")


@text_segments.register
def _of_text(example: TextExample) -> list[Texts]:
    return [example.segments]


@text_segments.register
def _of_pair(example: PairExample) -> list[Texts]:
    return [(example.premise, example.hypothesis)]


@text_segments.register
def _of_tagging(example: TaggingExample) -> list[Texts]:
    return [(" ".join(example.tokens),)]


@text_segments.register
def _of_span(example: SpanExample) -> list[Texts]:
    return [(example.question,), *((piece,) for piece in pieces(example.context))]


@text_segments.register
def _of_choice(example: ChoiceExample) -> list[Texts]:
    right = () if example.label is None else (example.choices[example.label],)
    return [(example.context, *right)]


@text_segments.register
def _of_bitext(example: BitextExample) -> list[Texts]:
    return [(example.sentence,), (example.english,)]


@text_segments.register
def _of_mining(example: MiningExample) -> list[Texts]:
    return [(example.sentence,)]
