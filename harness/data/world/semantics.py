"""Propositions of the synthetic world, how they are drawn, and which split each one belongs to."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Hashable
from typing import Literal, NamedTuple

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")

NOUN_CATEGORIES = 6
NOUNS_PER_CATEGORY = 4
ROLE_CATEGORY, ANIMAL_CATEGORY = 0, 1
TRANSITIVE_SENSES = 10
INTRANSITIVE_SENSES = 4
SENSES = TRANSITIVE_SENSES + INTRANSITIVE_SENSES
SYNONYMS = 2
ADJECTIVES = 12
TIMES = 4
FIRST_NAMES = tuple(range(12))
SURNAMES = tuple(range(12, 18))
PLACES = tuple(range(18, 26))
ORGANISATIONS = tuple(range(26, 32))
AMBIGUOUS_NAMES = tuple(range(32, 38))
"""Names that serve as surname, place or organisation, so that only the context tells."""
NAMES = 38

_SPLIT_OF_BUCKET: tuple[Split, ...] = ("train",) * 8 + ("dev", "test")


class NounPhrase(NamedTuple):
    """A definite noun with an optional adjective and number; `noun` None means the hypernym."""

    category: int
    noun: int | None
    adjective: int | None = None
    number: int | None = None


class Name(NamedTuple):
    """A person, place or organisation: `kind` is PER, LOC or ORG, `parts` are name indices."""

    kind: str
    parts: tuple[int, ...]


Entity = NounPhrase | Name


class Proposition(NamedTuple):
    """What one sentence says. Senses `s` and `s ^ 1` are antonyms, and so are adjectives."""

    sense: int
    synonym: int
    subject: Entity
    object: NounPhrase | None
    place: Name | None
    time: int | None
    negated: bool
    past: bool
    passive: bool = False

    @property
    def meaning(self) -> tuple[Hashable, ...]:
        """The content without the choice of synonym and voice."""
        return (self.sense, *self[2:8])


def split_of(proposition: Proposition) -> Split:
    """The split of a meaning (80/10/10), by a stable hash: the same for every task and language."""
    digest = hashlib.blake2b(repr(tuple(proposition.meaning)).encode(), digest_size=4).digest()
    return _SPLIT_OF_BUCKET[int.from_bytes(digest, "big") % 10]


class Semantics:
    """The facts of one world: who may do what to what, what follows what, which adjective fits."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(f"world-semantics-{seed}")
        self.subject_kinds: list[list[str]] = []
        self.object_categories: list[list[int]] = []
        for _ in range(0, TRANSITIVE_SENSES, 2):
            kinds = rng.sample(["role", "animal", "PER", "ORG"], 3)
            categories = rng.sample(range(1, NOUN_CATEGORIES), 2)
            self.subject_kinds += [kinds, kinds]
            self.object_categories += [categories, categories]
        for _ in range(0, INTRANSITIVE_SENSES, 2):
            kinds = rng.sample(["role", "animal", "PER"], 2)
            self.subject_kinds += [kinds, kinds]
        circle = list(range(SENSES))
        rng.shuffle(circle)
        place = {sense: position for position, sense in enumerate(circle)}
        self.successors: list[tuple[int, int]] = [
            (circle[(place[sense] + 1) % SENSES], circle[(place[sense] + 2) % SENSES])
            for sense in range(SENSES)
        ]
        fitting: list[list[int]] = [[] for _ in range(NOUN_CATEGORIES)]
        for adjective in range(0, ADJECTIVES, 2):
            for category in rng.sample(range(NOUN_CATEGORIES), 3):
                fitting[category] += [adjective, adjective + 1]
        self.adjectives_of: list[list[int]] = [found or [0, 1] for found in fitting]

    def name(self, rng: random.Random, kind: str) -> Name:
        """A name of the kind PER, LOC or ORG; half of the last two are ambiguous between kinds."""
        if kind == "PER":
            first = rng.choice(FIRST_NAMES)
            if rng.random() < 0.5:
                return Name(kind, (first,))
            return Name(kind, (first, rng.choice(_half_ambiguous(rng, SURNAMES))))
        plain = PLACES if kind == "LOC" else ORGANISATIONS
        return Name(kind, (rng.choice(_half_ambiguous(rng, plain)),))

    def noun(self, rng: random.Random, category: int, richness: float = 1.0) -> NounPhrase:
        """A noun of the category, with an adjective (35 % x richness) and a number (25 %)."""
        adjective = number = None
        if rng.random() < 0.35 * richness:
            adjective = rng.choice(self.adjectives_of[category])
        if rng.random() < 0.25 * richness:
            number = rng.randint(2, 9)
        return NounPhrase(category, rng.randrange(NOUNS_PER_CATEGORY), adjective, number)

    def subject(self, rng: random.Random, sense: int, richness: float = 1.0) -> Entity:
        """A subject that the sense allows."""
        kind = rng.choice(self.subject_kinds[sense])
        if kind == "role":
            return self.noun(rng, ROLE_CATEGORY, richness)
        if kind == "animal":
            return self.noun(rng, ANIMAL_CATEGORY, richness)
        return self.name(rng, kind)

    def patient(self, rng: random.Random, sense: int, richness: float = 1.0) -> NounPhrase:
        """An object that the (transitive) sense allows."""
        return self.noun(rng, rng.choice(self.object_categories[sense]), richness)

    def proposition(
        self,
        rng: random.Random,
        split: Split | None,
        *,
        sense: int | None = None,
        subject: Entity | None = None,
        richness: float = 1.0,
        negation: float = 0.15,
        transitive: bool = False,
    ) -> Proposition:
        """A proposition of the split (any split if None); `richness` scales the optional parts."""
        while True:
            drawn = self._draw(rng, sense, subject, richness, negation, transitive)
            if split is None or split_of(drawn) == split:
                return drawn

    def _draw(
        self,
        rng: random.Random,
        sense: int | None,
        subject: Entity | None,
        richness: float,
        negation: float,
        transitive: bool,
    ) -> Proposition:
        if sense is None:
            sense = rng.randrange(TRANSITIVE_SENSES if transitive else SENSES)
        intransitive = sense >= TRANSITIVE_SENSES
        return Proposition(
            sense=sense,
            synonym=rng.randrange(SYNONYMS),
            subject=self.subject(rng, sense, richness) if subject is None else subject,
            object=None if intransitive else self.patient(rng, sense, richness),
            place=self.name(rng, "LOC") if intransitive or rng.random() < 0.4 * richness else None,
            time=rng.randrange(TIMES) if rng.random() < 0.3 * richness else None,
            negated=rng.random() < negation,
            past=rng.random() < 0.25,
        )


def _half_ambiguous(rng: random.Random, plain: tuple[int, ...]) -> tuple[int, ...]:
    return plain if rng.random() < 0.5 else AMBIGUOUS_NAMES
