"""Training rows that are also scored: found by id, by parallel row and by text, across languages.

Rows are the same if one of the rules says so. `id`: the files give them the same id, which is more
than a number (ids made from row numbers name their file and match nothing else). `group`: they are
the same row of a parallel set; only groups with a namespace of their own are compared. `text`:
equal after normalisation, whatever their language.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, singledispatch
from itertools import chain

from harness.data.dataset import Dataset, make_dataset
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
from harness.errors import InputError

RULES = ("id", "group", "text")
_LOCAL_ID = re.compile(r"\d{1,15}")  # a bare number counts rows of its own file, never compared
Normal = Callable[[str], str]
_MIN_PIECE = 20  # characters without spaces; shorter pieces ("Yes.") prove nothing


@dataclass(frozen=True)
class Overlap:
    """What identifies the examples of some data sets, per rule; build once, compare with many."""

    datasets: tuple[Dataset, ...]
    rules: tuple[str, ...] = RULES

    def __post_init__(self) -> None:
        for rule in self.rules:
            if rule not in RULES:
                allowed = ", ".join(RULES)
                raise InputError(f"overlap rule '{rule}' is unknown; must be one of: {allowed}")

    @cached_property
    def keys(self) -> Mapping[str, frozenset[str]]:
        """The keys of all examples by rule."""
        normal = _Normal()
        return {
            rule: frozenset(key for example in self._examples() for key in find(example, normal))
            for rule, find in _KEYS.items()
            if rule in self.rules
        }

    @cached_property
    def pieces(self) -> frozenset[str]:
        """All sentences of all texts, to compare running text with."""
        normal = _Normal()
        return frozenset(
            key for example in self._examples() for key in _piece_keys(example, normal)
        )

    @cached_property
    def running(self) -> bool:
        """Whether any of the examples is running text, which is cut from what it came from."""
        return any(isinstance(example, TextExample) for example in self._examples())

    def hits(self, example: Example, normal: Normal | None = None) -> list[str]:
        """The rules by which `example` is among the examples."""
        normal = normal or _Normal()
        hits = [
            rule
            for rule in self.rules
            if any(key in self.keys[rule] for key in _KEYS[rule](example, normal))
        ]
        by_piece = "text" in self.rules and "text" not in hits
        if by_piece and (self.running or isinstance(example, TextExample)):
            hits += ["text"] if any(k in self.pieces for k in _piece_keys(example, normal)) else []
        return hits

    def _examples(self) -> Iterator[Example]:
        for dataset in self.datasets:
            yield from dataset.examples


def drop_overlap(
    train: Dataset, scored: Overlap | Sequence[Dataset], rules: Sequence[str] = RULES
) -> Dataset:
    """The training set without the rows that are scored; its counts say how many each rule found.

    Where one question on a context is scored, all questions on it go (`overlap_context`): a
    translation shares ids, and its context is the scored one. Counts: `overlap_<rule>` (a row may
    count under several) and `overlap_dropped`. An InputError if nothing is left. A ready `Overlap`
    brings its own rules.
    """
    overlap = scored if isinstance(scored, Overlap) else Overlap(tuple(scored), tuple(rules))
    found: Counter[str] = Counter({f"overlap_{rule}": 0 for rule in overlap.rules})
    normal = _Normal()
    clean: list[Example] = []
    scored_contexts: set[str] = set()
    for example in train.examples:
        hits = overlap.hits(example, normal)
        found.update(f"overlap_{rule}" for rule in hits)
        if hits:
            scored_contexts.update(_context(example))
        else:
            clean.append(example)
    kept = [example for example in clean if scored_contexts.isdisjoint(_context(example))]
    found["overlap_context"] = len(clean) - len(kept)
    if not kept:
        raise InputError(
            f"{train.name} ({train.language}): each row is also scored; name other training rows"
        )
    found["overlap_dropped"] = len(train.examples) - len(kept)
    return make_dataset(train.name, train.language, kept, {**train.counts, **found})


def flag_overlap(dataset: Dataset, scored: Overlap) -> Dataset:
    """The same examples; the counts say how many of them are also scored (`overlap_<rule>`).

    For what an official protocol fixes, such as the dev sets that thresholds are tuned on.
    """
    normal = _Normal()
    found: Counter[str] = Counter({f"overlap_{rule}": 0 for rule in scored.rules})
    for example in dataset.examples:
        found.update(f"overlap_{rule}" for rule in scored.hits(example, normal))
    return make_dataset(
        dataset.name, dataset.language, dataset.examples, {**dataset.counts, **found}
    )


def count_overlap(
    train: Overlap | Sequence[Dataset], scored: Dataset, rules: Sequence[str] = RULES
) -> dict[str, int]:
    """How many examples of `scored` stand in the training sets, per rule and under `any`."""
    overlap = train if isinstance(train, Overlap) else Overlap(tuple(train), tuple(rules))
    found: Counter[str] = Counter({**dict.fromkeys(overlap.rules, 0), "any": 0})
    normal = _Normal()
    for example in scored.examples:
        hits = overlap.hits(example, normal)
        found.update([*hits, "any"] if hits else [])
    return dict(found)


@dataclass(slots=True)
class _Normal:
    """Normalised text: NFKC, case folded, no white space; remembered, as contexts repeat."""

    known: dict[str, str] = field(default_factory=dict)

    def __call__(self, text: str) -> str:
        if text not in self.known:
            folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
            self.known[text] = "".join(folded.split())
        return self.known[text]


def _context(example: Example) -> tuple[str, ...]:
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


def _piece_keys(example: Example, normal: Normal) -> Iterator[str]:
    for segments in text_segments(example):
        for piece in chain.from_iterable(map(pieces, segments)):
            key = normal(piece)
            if len(key) >= _MIN_PIECE:
                yield key


_KEYS: Mapping[str, Callable[[Example, Normal], Iterator[str]]] = {
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
