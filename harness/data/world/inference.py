"""Rewriting a proposition so that it follows from, contradicts or is open given the first one.

Nouns are definite: a hypernym names the same thing, and a thing cannot be both of two antonyms.
Each relation changes the content first and then applies the same rewriting as entailment does, so
that length, voice and synonyms say nothing about the label.
"""

from __future__ import annotations

import random

from harness.data.world.semantics import (
    NOUNS_PER_CATEGORY,
    SYNONYMS,
    NounPhrase,
    Proposition,
    Semantics,
)

NLI_NEGATION = 0.15
_FLIPPED_POLARITY = 0.3
"""Share of contradictions by negation: low enough that a negated hypothesis is weak evidence."""


def entailed(rng: random.Random, premise: Proposition) -> Proposition:
    """A proposition that follows: synonym, passive, dropped modifiers, hypernym of the object."""
    drawn = premise._replace(synonym=rng.randrange(SYNONYMS))
    if drawn.object is not None and rng.random() < 0.3:
        drawn = drawn._replace(passive=True)
    if drawn.negated:  # under negation a shorter sentence says more, not less
        return drawn
    said = drawn.object
    if said is not None:
        if drawn.place is not None and rng.random() < 0.6:
            drawn = drawn._replace(place=None)
        drawn = drawn._replace(object=_generalised(rng, said))
    if drawn.time is not None and rng.random() < 0.6:
        drawn = drawn._replace(time=None)
    subject = drawn.subject
    if isinstance(subject, NounPhrase) and subject.adjective is not None and rng.random() < 0.5:
        drawn = drawn._replace(subject=subject._replace(adjective=None))
    return drawn


def contradicted(rng: random.Random, premise: Proposition) -> Proposition:
    """A proposition that cannot hold with the premise: polarity, antonym verb or adjective."""
    choice = rng.random()
    drawn = entailed(rng, premise)
    if premise.negated:
        return drawn._replace(negated=False)
    if choice < _FLIPPED_POLARITY:
        return drawn._replace(negated=True)
    original = premise.object
    if choice > 0.7 and original is not None and original.adjective is not None:
        # the antonym has to be said, so neither the adjective nor the noun is dropped
        return drawn._replace(object=original._replace(adjective=original.adjective ^ 1))
    return drawn._replace(sense=premise.sense ^ 1)


def unrelated(rng: random.Random, semantics: Semantics, premise: Proposition) -> Proposition:
    """A proposition about another object or subject, whose truth the premise leaves open."""
    changed = about_another(rng, semantics, premise)
    drawn = entailed(rng, changed)
    original, said = premise.object, drawn.object
    if original is None or said is None or changed.object is None:
        return drawn
    same_subject = changed.subject == premise.subject
    if same_subject and said.noun is None and said.category == original.category:
        # the shared hypernym would follow from the premise after all
        return drawn._replace(object=said._replace(noun=changed.object.noun))
    return drawn


def about_another(rng: random.Random, semantics: Semantics, original: Proposition) -> Proposition:
    """The same event with one participant replaced by another that the sense allows."""
    if original.object is not None and rng.random() < 0.5:
        other = _other_noun(rng, semantics, original.sense, original.object)
        return original._replace(object=other)
    while True:
        subject = semantics.subject(rng, original.sense)
        if subject[:2] != original.subject[:2]:
            return original._replace(subject=subject)


def _generalised(rng: random.Random, phrase: NounPhrase) -> NounPhrase:
    if phrase.adjective is not None and rng.random() < 0.5:
        phrase = phrase._replace(adjective=None)
    return phrase._replace(noun=None) if rng.random() < 0.25 else phrase


def _other_noun(
    rng: random.Random, semantics: Semantics, sense: int, original: NounPhrase
) -> NounPhrase:
    category = rng.choice(semantics.object_categories[sense])
    if category == original.category and original.noun is not None:
        noun = (original.noun + rng.randrange(1, NOUNS_PER_CATEGORY)) % NOUNS_PER_CATEGORY
        return original._replace(noun=noun)
    adjective = original.adjective
    if adjective is not None and adjective not in semantics.adjectives_of[category]:
        adjective = rng.choice(semantics.adjectives_of[category])
    return NounPhrase(category, rng.randrange(NOUNS_PER_CATEGORY), adjective, original.number)
