"""Labelled examples of the synthetic world: drawn as meaning first, then said in a language.

A draft is free of language, so dev and test sets are parallel over the languages (`group` names
the row), while each language has its own train drafts. The propositions that a draft is built on
all belong to its split (see `split_of`): splits are disjoint across languages and tasks as well.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from harness.data.examples import (
    Answer,
    BitextExample,
    ChoiceExample,
    Example,
    PairExample,
    SpanExample,
    TaggingExample,
)
from harness.data.world.drafts import (
    BitextDraft,
    ChoiceDraft,
    PairDraft,
    SentencesDraft,
    draw_bitext,
    draw_continuation,
    draw_nli,
    draw_paraphrase,
    draw_plausible,
    draw_sentences,
)
from harness.data.world.grammar import IOB2, SUPERTAGS, UPOS
from harness.data.world.languages import HUB, language
from harness.data.world.reading import Reading, draw_reading, reading_text
from harness.data.world.semantics import SPLITS, Split
from harness.data.world.world import World
from harness.errors import InputError

Kind = Literal["pair", "tagging", "span", "choice", "bitext"]
_UNANSWERABLE = 0.33


class Identity(NamedTuple):
    """The fields that every example has."""

    id: str
    language: str
    group: str | None


@dataclass(frozen=True, slots=True)
class Task:
    """A task of the world: its format, labels or number of choices, and how it is made."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    choices: int
    draw: Callable[[World, random.Random, Split], Any]
    render: Callable[[World, Identity, Any], Example]


def generate(
    world: World, task: str, language_name: str, count: int, split: Split = "train", seed: int = 0
) -> Iterator[Example]:
    """The first `count` examples of an endless stream without repeated texts.

    A pure function of the arguments: more examples extend the same stream. `seed` gives another
    sample of the same split. Raises InputError for an unknown task, language or split.
    """
    if task not in TASKS:
        raise InputError(f"world task {task!r} is unknown; choose one of: {', '.join(TASKS)}")
    if split not in SPLITS:
        raise InputError(f"split {split!r} is unknown; choose one of: {', '.join(SPLITS)}")
    language(language_name)
    return _stream(world, TASKS[task], language_name, count, split, seed)


def _stream(
    world: World, task: Task, language_name: str, count: int, split: Split, seed: int
) -> Iterator[Example]:
    part = split if seed == 0 else f"{split}.{seed}"
    purpose = [task.name, split, seed]
    if split == "train":
        purpose.append(language_name)
    rng = world.rng(*purpose)
    seen: set[object] = set()
    while len(seen) < count:
        draft = task.draw(world, rng, split)
        content = draft.content
        if content in seen:
            continue
        row = f"{task.name}-{part}-{len(seen)}"
        seen.add(content)
        identity = Identity(
            f"{row}-{language_name}", language_name, None if split == "train" else row
        )
        yield task.render(world, identity, draft)


def _render_pair(world: World, identity: Identity, draft: PairDraft) -> PairExample:
    return PairExample(
        *identity,
        premise=world.text(identity.language, draft.first),
        hypothesis=world.text(identity.language, draft.second),
        label=draft.label,
    )


def _render_tags(column: int) -> Callable[[World, Identity, SentencesDraft], TaggingExample]:
    def render(world: World, identity: Identity, draft: SentencesDraft) -> TaggingExample:
        words = [
            word
            for proposition in draft.content
            for word in world.sentence(identity.language, proposition).words
        ]
        return TaggingExample(
            *identity,
            tokens=tuple(word.form for word in words),
            tags=tuple(word[column] for word in words),
        )

    return render


def _render_span(world: World, identity: Identity, draft: Reading) -> SpanExample:
    text = reading_text(world, identity.language, draft)
    answers: tuple[Answer, ...] = ()
    if text.answer is not None:
        first, last = text.answer
        start = sum(len(word) + 1 for word in text.context[:first])
        answers = (Answer(" ".join(text.context[first:last]), start),)
    return SpanExample(
        *identity,
        question=" ".join(text.question),
        context=" ".join(text.context),
        answers=answers,
        answerable=bool(answers),
    )


def _render_choice(world: World, identity: Identity, draft: ChoiceDraft) -> ChoiceExample:
    return ChoiceExample(
        *identity,
        context=world.text(identity.language, draft.context, asked=draft.asked),
        choices=tuple(world.text(identity.language, choice) for choice in draft.choices),
        label=draft.label,
    )


def _render_bitext(world: World, identity: Identity, draft: BitextDraft) -> BitextExample:
    return BitextExample(
        *identity,
        sentence=world.text(identity.language, draft.translated),
        english=world.text(HUB, draft.original),
    )


def _draw_answerable(world: World, rng: random.Random, split: Split) -> Reading:
    return draw_reading(world, rng, split)


def _draw_maybe_unanswerable(world: World, rng: random.Random, split: Split) -> Reading:
    return draw_reading(world, rng, split, unanswerable=_UNANSWERABLE)


_ALL = (
    Task("nli", "pair", ("entailment", "neutral", "contradiction"), 0, draw_nli, _render_pair),
    Task("para", "pair", ("0", "1"), 0, draw_paraphrase, _render_pair),
    Task("pos", "tagging", UPOS, 0, draw_sentences, _render_tags(1)),
    Task("ner", "tagging", IOB2, 0, draw_sentences, _render_tags(2)),
    Task("sup", "tagging", SUPERTAGS, 0, draw_sentences, _render_tags(3)),
    Task("qa", "span", (), 0, _draw_answerable, _render_span),
    Task("qa2", "span", (), 0, _draw_maybe_unanswerable, _render_span),
    Task("mc", "choice", (), 4, draw_continuation, _render_choice),
    Task("mc2", "choice", (), 2, draw_plausible, _render_choice),
    Task("ret", "bitext", (), 0, draw_bitext, _render_bitext),
)

TASKS: Mapping[str, Task] = MappingProxyType({task.name: task for task in _ALL})
"""The tasks by name. `sup`, `qa2` and `mc2` are meant as sources, `ret` has no train use."""
