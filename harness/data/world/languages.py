"""The twelve languages of the synthetic world: four families of three, around the hub A0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

from harness.errors import InputError

WordOrder = Literal["SVO", "SOV", "VSO"]
Script = Literal["latin", "cyrillic", "thai"]
ResourceLevel = Literal["hub", "high", "mid", "low"]


@dataclass(frozen=True, slots=True)
class Language:
    """One language: its grammar, its place in the pretraining text and what it shares with the hub.

    `text_share` and `parallel_share` are weights among all languages. `coverage` is the share of
    the lexicon whose embeddings start from the shared concept: the declared alignment knob.
    """

    name: str
    family: str
    level: ResourceLevel
    order: WordOrder
    adjective_after_noun: bool
    text_share: float
    parallel_share: float
    loan_rate: float
    replacement_rate: float
    coverage: float
    script: Script
    postpositions: bool
    article: bool
    accusative: bool
    negation_after_verb: bool
    fronted_question_word: bool
    question_particle: bool

    @property
    def member(self) -> int:
        """Place in the family: 0 is the head, 1 and 2 are further and further away from it."""
        return int(self.name[1])

    @property
    def sound_changes(self) -> int:
        """Number of letters changed since the proto forms of the family."""
        return (0, 3, 5)[self.member]

    @property
    def head(self) -> str:
        """Name of the family's best-resourced member."""
        return f"{self.family}0"


class _Family(NamedTuple):
    """What all members of a family share."""

    script: Script
    postpositions: bool = False
    article: bool = False
    accusative: bool = False
    negation_after_verb: bool = False
    fronted_question_word: bool = True
    question_particle: bool = False


_FAMILIES = {
    "A": _Family("latin", article=True),
    "B": _Family("latin", True, False, True, True, False, True),
    "C": _Family("cyrillic", negation_after_verb=True),
    "D": _Family("thai", True, False, True, False, False, True),
}

# name, level, order, adjective after noun; shares of text and of parallel text; rates of loans
# and of replaced words; coverage
_ROWS: tuple[tuple[str, ResourceLevel, WordOrder, bool, float, float, float, float, float], ...] = (
    ("A0", "hub", "SVO", False, 0.24, 0.0, 0.0, 0.0, 1.0),
    ("A1", "high", "SVO", False, 0.12, 0.12, 0.0, 0.15, 0.95),
    ("A2", "mid", "SVO", True, 0.06, 0.06, 0.0, 0.25, 0.85),
    ("B0", "high", "SOV", False, 0.14, 0.12, 0.12, 0.0, 0.9),
    ("B1", "mid", "SOV", False, 0.06, 0.05, 0.08, 0.15, 0.75),
    ("B2", "low", "SOV", True, 0.015, 0.01, 0.04, 0.25, 0.5),
    ("C0", "high", "VSO", True, 0.12, 0.1, 0.08, 0.0, 0.9),
    ("C1", "mid", "VSO", True, 0.05, 0.04, 0.05, 0.15, 0.75),
    ("C2", "low", "SVO", True, 0.015, 0.01, 0.03, 0.25, 0.5),
    ("D0", "high", "SOV", False, 0.09, 0.08, 0.08, 0.0, 0.9),
    ("D1", "mid", "SOV", True, 0.03, 0.02, 0.05, 0.2, 0.75),
    ("D2", "low", "SVO", False, 0.01, 0.005, 0.02, 0.3, 0.5),
)


def _language(
    name: str,
    level: ResourceLevel,
    order: WordOrder,
    adjective_after: bool,
    text: float,
    parallel: float,
    loans: float,
    replaced: float,
    coverage: float,
) -> Language:
    family = _FAMILIES[name[0]]
    if name == "C2":  # lost the verb-first order of its family and marks its objects instead
        family = family._replace(accusative=True)
    return Language(
        name, name[0], level, order, adjective_after, text, parallel, loans, replaced, coverage,
        *family,
    )  # fmt: skip


LANGUAGES: Mapping[str, Language] = MappingProxyType({row[0]: _language(*row) for row in _ROWS})
"""All languages by name, in the order A0, A1, ... D2."""

HUB = "A0"

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "hub": ("A0",),
        "hub family": ("A1", "A2"),
        "high": ("B0", "C0", "D0"),
        "mid": ("B1", "C1", "D1"),
        "low": ("B2", "C2", "D2"),
    }
)
"""The groups by which results are averaged: `hub family` keeps relatives apart from the rest."""


def language(name: str) -> Language:
    """The language of that name; raises InputError with the names that exist."""
    try:
        return LANGUAGES[name]
    except KeyError:
        known = ", ".join(LANGUAGES)
        raise InputError(f"world language {name!r} is unknown; choose one of: {known}") from None
