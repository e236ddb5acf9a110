"""The meaning of labelled examples: which propositions, in which relation, before any language.

`content` is what makes two drafts the same example; it is hashable and independent of language.
"""

from __future__ import annotations

import random
from collections.abc import Hashable
from typing import NamedTuple

from harness.data.world.grammar import Role
from harness.data.world.inference import (
    NLI_NEGATION,
    about_another,
    contradicted,
    entailed,
    unrelated,
)
from harness.data.world.semantics import (
    NOUN_CATEGORIES,
    ROLE_CATEGORY,
    SENSES,
    SYNONYMS,
    NounPhrase,
    Proposition,
    Split,
    split_of,
)
from harness.data.world.world import World

_CONTINUATIONS = 4
_REVERSIBLE = 0.4
"""Share of paraphrase pairs, of either label, whose participants could change places."""


class PairDraft(NamedTuple):
    """Two propositions and the label of their relation."""

    first: Proposition
    second: Proposition
    label: str

    @property
    def content(self) -> tuple[Proposition, ...]:
        """Both propositions: the label follows from them."""
        return (self.first, self.second)


class SentencesDraft(NamedTuple):
    """One or two sentences to tag."""

    content: tuple[Proposition, ...]


class ChoiceDraft(NamedTuple):
    """A context (a question if `asked`) and its possible continuations; `label` is an index."""

    context: Proposition
    asked: Role | None
    choices: tuple[Proposition, ...]
    label: int

    @property
    def content(self) -> tuple[Proposition, ...]:
        """Context and choices."""
        return (self.context, *self.choices)


class BitextDraft(NamedTuple):
    """A proposition and the same one with a free choice of synonym."""

    original: Proposition
    translated: Proposition

    @property
    def content(self) -> tuple[Hashable, ...]:
        """The meaning: no two rows of a retrieval set are translations of each other."""
        return self.original.meaning


def draw_nli(world: World, rng: random.Random, split: Split) -> PairDraft:
    """A premise of the split and a hypothesis; the three labels are equally likely."""
    premise = world.semantics.proposition(rng, split, negation=NLI_NEGATION, transitive=True)
    label = rng.choice(("entailment", "neutral", "contradiction"))
    if label == "entailment":
        return PairDraft(premise, entailed(rng, premise), label)
    if label == "neutral":
        return PairDraft(premise, unrelated(rng, world.semantics, premise), label)
    return PairDraft(premise, contradicted(rng, premise), label)


def draw_paraphrase(world: World, rng: random.Random, split: Split) -> PairDraft:
    """Two sentences of much the same words: paraphrases, or with a swap or another word.

    Synonyms, voice and reversibility are drawn in the same way for both labels, so that neither
    sentence alone tells.
    """
    reversible = rng.random() < _REVERSIBLE
    first = (
        _reversible(world, rng, split)
        if reversible
        else world.semantics.proposition(rng, split, transitive=True)
    )
    synonym, passive = rng.choice(((1, False), (1, False), (0, True), (1, True)))
    second = first._replace(synonym=first.synonym ^ synonym, passive=passive)
    if rng.random() < 0.5:
        return PairDraft(first, second, "1")
    if reversible and first.object is not None and isinstance(first.subject, NounPhrase):
        second = second._replace(subject=first.object, object=first.subject)
    elif rng.random() < 0.5:
        second = second._replace(sense=first.sense ^ 1)
    else:
        second = about_another(rng, world.semantics, second)
    return PairDraft(first, second, "0")


def draw_sentences(world: World, rng: random.Random, split: Split) -> SentencesDraft:
    """One or two sentences, active or (30 % of the transitive ones) passive."""
    drawn = [world.semantics.proposition(rng, split) for _ in range(rng.choice((1, 2)))]
    return SentencesDraft(
        tuple(one._replace(passive=one.object is not None and rng.random() < 0.3) for one in drawn)
    )


def draw_continuation(world: World, rng: random.Random, split: Split) -> ChoiceDraft:
    """An event and four next events of the same subject, one of which the script allows."""
    context = world.semantics.proposition(rng, split, negation=0)
    right = world.semantics.successors[context.sense]
    wrong = [sense for sense in range(SENSES) if sense not in right]
    label = rng.randrange(_CONTINUATIONS)
    choices = tuple(
        world.semantics.proposition(
            rng,
            None,
            sense=rng.choice(right if index == label else wrong),
            subject=context.subject,
            richness=0.3,
            negation=0,
        )
        for index in range(_CONTINUATIONS)
    )
    return ChoiceDraft(context, None, choices, label)


def draw_plausible(world: World, rng: random.Random, split: Split) -> ChoiceDraft:
    """A question for the object and two answers, only one of which the verb allows."""
    semantics = world.semantics
    right = semantics.proposition(rng, split, negation=0, transitive=True, richness=0.5)
    allowed = semantics.object_categories[right.sense]
    unfit = [one for one in range(1, NOUN_CATEGORIES) if one not in allowed]
    wrong = right._replace(object=semantics.noun(rng, rng.choice(unfit), 0.5))
    label = rng.randrange(2)
    context = right._replace(synonym=rng.randrange(SYNONYMS))
    return ChoiceDraft(context, "object", (wrong, right) if label else (right, wrong), label)


def draw_bitext(world: World, rng: random.Random, split: Split) -> BitextDraft:
    """A sentence and its translation with a free choice of synonym."""
    original = world.semantics.proposition(rng, split)
    return BitextDraft(original, original._replace(synonym=rng.randrange(SYNONYMS)))


def _reversible(world: World, rng: random.Random, split: Split) -> Proposition:
    """A proposition of the split whose subject and object are two different roles."""
    while True:
        subject, target = (world.semantics.noun(rng, ROLE_CATEGORY, 0.5) for _ in range(2))
        drawn = world.semantics.proposition(rng, None, subject=subject, transitive=True)
        drawn = drawn._replace(object=target)
        if subject.noun != target.noun and split_of(drawn) == split:
            return drawn
