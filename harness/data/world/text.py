"""Pretraining text: documents of one or two segments, code-switched ones, and parallel sentences.

Every freely drawn proposition belongs to the train split, so no dev or test premise, story or
tagged sentence of any task occurs. The exception is the second half of a restatement, which is
derived from the first by rewriting and may coincide with a proposition of another split.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from harness.data.examples import TextExample
from harness.data.world.grammar import Lexicon
from harness.data.world.inference import entailed
from harness.data.world.languages import HUB, LANGUAGES
from harness.data.world.reading import draw_reading, reading_text
from harness.data.world.semantics import SYNONYMS, Split
from harness.data.world.world import World

TRANSLATION_SHARE = 0.20
CODE_SWITCH_SHARE = 0.15
CODE_SWITCH_RATE = 0.4
DOCUMENT_SHARES = (0.25, 0.30, 0.25, 0.20)
"""Single sentence, script of events, restatement, story with a question and its answer."""

_HUB_PARTNER = 0.8
_SMALL_CODE_SWITCH_WEIGHT = 0.02


def documents(
    world: World, count: int, *, seed: int = 0, split: Split = "train", aligned: bool = True
) -> Iterator[TextExample]:
    """`count` documents: 20 % translation pairs, 15 % code-switched, the rest monolingual.

    Without `aligned` all are monolingual: the text of the control that should not transfer.
    """
    rng = world.rng("documents", split, seed)
    for index in range(count):
        choice = rng.random() if aligned else 1.0
        if choice < TRANSLATION_SHARE:
            name, segments = _translation_pair(world, rng, split, final=True)
            if rng.random() < 0.5:
                segments.reverse()
        elif choice < TRANSLATION_SHARE + CODE_SWITCH_SHARE:
            name, lexicon = _code_switching(world, rng)
            segments = _document(world, rng, name, split, lexicon)
        else:
            name = _weighted(rng, [one.text_share for one in LANGUAGES.values()])
            segments = _document(world, rng, name, split, None)
        yield TextExample(
            id=f"text-{split}-{index}",
            language=name,
            group=None,
            segments=tuple(" ".join(words) for words in segments),
        )


def parallel_sentences(
    world: World, count: int, *, seed: int = 0, split: Split = "train"
) -> Iterator[tuple[str, str]]:
    """Pairs (hub or head of the family, translation) without end punctuation."""
    rng = world.rng("parallel", split, seed)
    for _ in range(count):
        _, (first, second) = _translation_pair(world, rng, split, final=False)
        yield " ".join(first), " ".join(second)


def _weighted(rng: random.Random, weights: list[float]) -> str:
    return rng.choices(list(LANGUAGES), weights)[0]


def _translation_pair(
    world: World, rng: random.Random, split: Split, *, final: bool
) -> tuple[str, list[list[str]]]:
    """The translation's language, and the words of the original and of the translation."""
    name = _weighted(rng, [one.parallel_share for one in LANGUAGES.values()])
    one = LANGUAGES[name]
    partner = HUB if one.member == 0 or rng.random() < _HUB_PARTNER else one.head
    original = world.semantics.proposition(rng, split)
    translated = original._replace(synonym=rng.randrange(SYNONYMS))
    return name, [
        world.sentence(partner, original, final=final).forms,
        world.sentence(name, translated, final=final).forms,
    ]


def _code_switching(world: World, rng: random.Random) -> tuple[str, Lexicon]:
    weights = [
        one.parallel_share + _SMALL_CODE_SWITCH_WEIGHT * (one.name == HUB)
        for one in LANGUAGES.values()
    ]
    name = _weighted(rng, weights)
    heads = [one.name for one in LANGUAGES.values() if one.member == 0 and one.name != HUB]
    others = heads if name == HUB else [HUB, LANGUAGES[name].head]
    return name, world.code_switched(rng, name, others, CODE_SWITCH_RATE)


def _document(
    world: World, rng: random.Random, name: str, split: Split, lexicon: Lexicon | None
) -> list[list[str]]:
    """The one or two segments of a document of a random kind (see DOCUMENT_SHARES)."""
    kind = rng.choices(range(4), DOCUMENT_SHARES)[0]
    semantics = world.semantics
    if kind == 0:
        drawn = semantics.proposition(rng, split)
        return [world.sentence(name, drawn, lexicon=lexicon).forms]
    if kind == 1:
        return _script(world, rng, name, split, lexicon)
    if kind == 2:
        first = semantics.proposition(rng, split, transitive=True)
        second = entailed(rng, first)
        return [world.sentence(name, said, lexicon=lexicon).forms for said in (first, second)]
    text = reading_text(world, name, draw_reading(world, rng, split), lexicon)
    answer = text.context[slice(*text.answer)] if text.answer else []
    return [text.context, text.question + answer]


def _script(
    world: World, rng: random.Random, name: str, split: Split, lexicon: Lexicon | None
) -> list[list[str]]:
    """Two or three events of one subject, each a script successor of the one before it."""
    current = world.semantics.proposition(rng, split)
    events = [world.sentence(name, current, lexicon=lexicon).forms]
    for _ in range(rng.choice((1, 1, 2))):
        sense = rng.choice(world.semantics.successors[current.sense])
        current = world.semantics.proposition(
            rng, split, sense=sense, subject=current.subject, richness=0.5, negation=0.05
        )
        events.append(world.sentence(name, current, lexicon=lexicon).forms)
    if rng.random() < 0.5:
        return [[word for event in events for word in event]]
    return [events[0], events[-1]]
