"""Short stories with a question on one of their sentences, for QA and for pretraining text."""

from __future__ import annotations

import random
from collections.abc import Hashable
from typing import NamedTuple

from harness.data.world.grammar import Lexicon, Role, bare_span
from harness.data.world.semantics import SYNONYMS, TRANSITIVE_SENSES, Proposition, Split
from harness.data.world.world import World

_STORY_LENGTH = 2


class Reading(NamedTuple):
    """A story, a question for one role, and which sentence answers it (None: no sentence does)."""

    story: tuple[Proposition, ...]
    question: Proposition
    asked: Role
    source: int | None

    @property
    def content(self) -> tuple[Hashable, ...]:
        """Story and question: what makes two readings the same example."""
        return (self.story, self.question, self.asked)


class ReadingText(NamedTuple):
    """A reading in words; `answer` is a span (first, one past the last) of context words."""

    context: list[str]
    question: list[str]
    answer: tuple[int, int] | None


def draw_reading(
    world: World, rng: random.Random, split: Split | None, *, unanswerable: float = 0.0
) -> Reading:
    """A reading whose story belongs to the split; no two of its senses are equal or antonyms."""
    story: list[Proposition] = []
    pairs: set[int] = set()
    while len(story) < _STORY_LENGTH:
        drawn = world.semantics.proposition(rng, split, richness=0.7, negation=0, transitive=True)
        if drawn.sense // 2 not in pairs:
            pairs.add(drawn.sense // 2)
            story.append(drawn._replace(passive=rng.random() < 0.15))
    source = rng.randrange(_STORY_LENGTH)
    basis = story[source]
    roles: list[Role] = ["subject", "object"]
    if basis.place is not None:
        roles.append("place")
    asked = rng.choice(roles)
    question = basis._replace(synonym=rng.randrange(SYNONYMS), passive=False, time=None)
    if asked != "place" and rng.random() < 0.7:
        question = question._replace(place=None)
    if rng.random() >= unanswerable:
        return Reading(tuple(story), question, asked, source)
    # the same participants and another verb: word overlap alone does not tell
    others = [sense for sense in range(TRANSITIVE_SENSES) if sense // 2 not in pairs]
    return Reading(tuple(story), question._replace(sense=rng.choice(others)), asked, None)


def reading_text(
    world: World, name: str, reading: Reading, lexicon: Lexicon | None = None
) -> ReadingText:
    """The reading in a language, with the span of the bare answer in the context."""
    context: list[str] = []
    answer = None
    for index, proposition in enumerate(reading.story):
        sentence = world.sentence(name, proposition, lexicon=lexicon)
        if index == reading.source:
            first, last = bare_span(sentence, reading.asked)
            answer = (len(context) + first, len(context) + last)
        context += sentence.forms
    question = world.sentence(name, reading.question, asked=reading.asked, lexicon=lexicon)
    return ReadingText(context, question.forms, answer)
