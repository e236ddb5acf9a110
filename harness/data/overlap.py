"""Training rows that are also scored: found by id, by parallel row and by text, across languages.

Rows are the same if one of the rules says so. `id`: the files give them the same id, which is more
than a number (ids made from row numbers name their file and match nothing else). `group`: they are
the same row of a parallel set; only groups with a namespace of their own are compared. `text`:
equal after normalisation, whatever their language.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from harness.data.dataset import Dataset, make_dataset
from harness.data.examples import Example, TextExample
from harness.data.overlap_keys import KEYS, RULES, Normal, Normaliser, context_of, piece_keys
from harness.errors import InputError


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
        normal = Normaliser()
        return {
            rule: frozenset(key for example in self._examples() for key in find(example, normal))
            for rule, find in KEYS.items()
            if rule in self.rules
        }

    @cached_property
    def pieces(self) -> frozenset[str]:
        """All sentences of all texts, to compare running text with."""
        normal = Normaliser()
        return frozenset(key for example in self._examples() for key in piece_keys(example, normal))

    @cached_property
    def running(self) -> bool:
        """Whether any of the examples is running text, which is cut from what it came from."""
        return any(isinstance(example, TextExample) for example in self._examples())

    def hits(self, example: Example, normal: Normal | None = None) -> list[str]:
        """The rules by which `example` is among the examples."""
        normal = normal or Normaliser()
        hits = [
            rule
            for rule in self.rules
            if any(key in self.keys[rule] for key in KEYS[rule](example, normal))
        ]
        by_piece = "text" in self.rules and "text" not in hits
        if by_piece and (self.running or isinstance(example, TextExample)):
            hits += ["text"] if any(k in self.pieces for k in piece_keys(example, normal)) else []
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
    normal = Normaliser()
    clean: list[Example] = []
    scored_contexts: set[str] = set()
    for example in train.examples:
        hits = overlap.hits(example, normal)
        found.update(f"overlap_{rule}" for rule in hits)
        if hits:
            scored_contexts.update(context_of(example))
        else:
            clean.append(example)
    kept = [example for example in clean if scored_contexts.isdisjoint(context_of(example))]
    found["overlap_context"] = len(clean) - len(kept)
    if not kept:
        raise InputError(
            f"{train.name} ({train.language}): each row is also scored; name other training rows"
        )
    found["overlap_dropped"] = len(train.examples) - len(kept)
    counts = dict(sorted({**train.counts, **found}.items()))
    if len(kept) == len(train.examples):  # the same rows: no need to hash them again
        return replace(train, counts=counts)
    return make_dataset(train.name, train.language, kept, counts)


def flag_overlap(dataset: Dataset, scored: Overlap) -> Dataset:
    """The same examples; the counts say how many of them are also scored (`overlap_<rule>`).

    For what an official protocol fixes, such as the dev sets that thresholds are tuned on.
    """
    normal = Normaliser()
    found: Counter[str] = Counter({f"overlap_{rule}": 0 for rule in scored.rules})
    for example in dataset.examples:
        found.update(f"overlap_{rule}" for rule in scored.hits(example, normal))
    return replace(dataset, counts=dict(sorted({**dataset.counts, **found}.items())))


def count_overlap(
    train: Overlap | Sequence[Dataset], scored: Dataset, rules: Sequence[str] = RULES
) -> dict[str, int]:
    """How many examples of `scored` stand in the training sets, per rule and under `any`."""
    overlap = train if isinstance(train, Overlap) else Overlap(tuple(train), tuple(rules))
    found: Counter[str] = Counter({**dict.fromkeys(overlap.rules, 0), "any": 0})
    normal = Normaliser()
    for example in scored.examples:
        hits = overlap.hits(example, normal)
        found.update([*hits, "any"] if hits else [])
    return dict(found)
