"""Typed examples, one frozen dataclass per format: what readers yield and formats take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """What all examples have; `group` is the parallel row or article that others may share."""

    id: str
    language: str
    group: str | None


@dataclass(frozen=True, slots=True)
class PairExample(Example):
    """Two texts and the label of their relation (None where the gold is withheld)."""

    premise: str
    hypothesis: str
    label: str | None


@dataclass(frozen=True, slots=True)
class TaggingExample(Example):
    """Words and one tag per word (None where the gold is withheld)."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer text and the character offset at which it starts in the context."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class SpanExample(Example):
    """A question on a context.

    Without `answers` it is unanswerable if `answerable` is False, else its gold is withheld.
    """

    question: str
    context: str
    answers: tuple[Answer, ...]
    answerable: bool


@dataclass(frozen=True, slots=True)
class ChoiceExample(Example):
    """A context and the texts that may follow it; `label` is the index of the right one."""

    context: str
    choices: tuple[str, ...]
    label: int | None


@dataclass(frozen=True, slots=True)
class BitextExample(Example):
    """A sentence in `language` and its English translation; the i-th pair is the gold alignment."""

    sentence: str
    english: str


@dataclass(frozen=True, slots=True)
class MiningExample(Example):
    """A sentence of one of two comparable corpora; `key` is its id in its files.

    `side` is foreign (in `language`) or english. A foreign sentence has the keys of its
    translations, mostly none; `partners` is None where the gold is withheld.
    """

    key: str
    side: str
    sentence: str
    partners: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class TextExample(Example):
    """One or two running segments of text for masked-LM pretraining."""

    segments: tuple[str, ...]
