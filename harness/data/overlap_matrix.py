"""Every training set against every scored row: what they share, per rule, target and language.

Scored rows become keys once; training sets are read one at a time and let go, so that memory holds
one of them and the keys, whatever the catalog has.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.data.dataset import Dataset
from harness.data.examples import Example
from harness.data.inventory import SCORED, Finding, Split, read_split
from harness.data.load import DataContext
from harness.data.overlap_keys import KEYS, Normal, Normaliser, context_of

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Shared:
    """What a training set shares with a target. Rules: id, group, text; any is one of them."""

    rows: Counts  # its rows that are scored in any language, by rule and any
    kept_out: int  # its rows that the target keeps out without scoring them
    # What a run with this target drops of it, also the rest of a scored context; nothing of a dev
    # set on which an untrained target is tuned.
    dropped: int
    languages: Mapping[str, Counts]  # its rows that are scored in a language, by rule and any
    scored: Mapping[str, Counts]  # rows scored in a language that stand in it, by rule and any


@dataclass(frozen=True, slots=True)
class Compared:
    """A split, what reading it found, and (of a training set) what it shares with each target."""

    finding: Finding  # its data set is let go
    rows: int = 0
    counts: Counts = field(default_factory=dict)
    fingerprint: str = ""
    shared: Mapping[str, Shared] = field(default_factory=dict)  # only where there is something


@dataclass(frozen=True, slots=True)
class Matrix:
    """The scored splits, then the training sets that were compared with all of them."""

    scored: tuple[Compared, ...]
    trained: tuple[Compared, ...]

    def targets(self) -> tuple[str, ...]:
        """The targets of which rows were there to compare with."""
        found = (one.finding.split for one in self.scored if one.rows)
        return tuple(dict.fromkeys(split.owner for split in found if split.split == "test"))


def overlap_matrix(
    trained: Iterable[Split],
    scored: Iterable[Split],
    context: DataContext,
    on_split: Callable[[Split], None],
) -> Matrix:
    """Compare the training and dev sets of the first with the scored rows of the second.

    `on_split` hears of each. Nothing stops it: what is missing or wrong stands in the finding.
    """
    index = ScoredIndex()
    rows, lines = [], []
    for finding in _read((one for one in scored if one.split in SCORED), context, on_split):
        if finding.dataset is not None:
            index.add(finding.split, finding.dataset)
        rows.append(_let_go(finding))
    for finding in _read((one for one in trained if one.split not in SCORED), context, on_split):
        shared = {} if finding.dataset is None else index.compare(finding.dataset)
        if finding.split.whole:
            shared = {name: replace(one, dropped=0) for name, one in shared.items()}
        lines.append(replace(_let_go(finding), shared=shared))
    return Matrix(tuple(rows), tuple(lines))


@dataclass(slots=True)
class ScoredIndex:
    """The rows that hold each key, keys as digests (a context may have thousands of letters)."""

    _splits: list[Split] = field(default_factory=list)
    _split_of: array[int] = field(default_factory=lambda: array("l"))  # of each row
    _rows: defaultdict[bytes, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, split: Split, dataset: Dataset) -> None:
        """Rows that are scored, or kept out, as the split says."""
        normal = Normaliser()
        for example in dataset.examples:
            for _, key in _digests(example, normal):
                self._rows[key].append(len(self._split_of))
            self._split_of.append(len(self._splits))
        self._splits.append(split)

    def compare(self, train: Dataset) -> dict[str, Shared]:
        """What a training set shares with each target that it shares anything with."""
        normal = Normaliser()
        known: dict[bytes, tuple[str, tuple[int, ...]]] = {}  # its rule, the splits that have it
        hits = [self._hits(example, normal, known) for example in train.examples]
        tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
        for row, (example, found) in enumerate(zip(train.examples, hits, strict=True)):
            for target, by_split in _by_target(found, self._splits).items():
                tallies[target].add(row, example, by_split, self._splits)
        for row, rules in self._scored_rows(known).items():
            split = self._splits[self._split_of[row]]
            if split.split == "test":
                tallies[split.owner].scored[split.language].update([*rules, "any"])
        mates = _context_mates(train.examples, tallies)
        return {name: tally.shared(mates[name]) for name, tally in tallies.items()}

    def _hits(
        self, example: Example, normal: Normal, known: dict[bytes, tuple[str, tuple[int, ...]]]
    ) -> dict[int, set[str]]:
        """The splits in which the example is a row, each with the rules that say so."""
        found: dict[int, set[str]] = {}
        for rule, key in _digests(example, normal):
            if key not in self._rows:
                continue
            if key not in known:
                known[key] = (rule, tuple({self._split_of[row] for row in self._rows[key]}))
            for split in known[key][1]:
                found.setdefault(split, set()).add(rule)
        return found

    def _scored_rows(
        self, known: Mapping[bytes, tuple[str, tuple[int, ...]]]
    ) -> dict[int, set[str]]:
        rows: dict[int, set[str]] = {}
        for key, (rule, _) in known.items():
            for row in self._rows[key]:
                rows.setdefault(row, set()).add(rule)
        return rows


@dataclass(slots=True)
class _Tally:
    """Counts of one training set against one target."""

    rows: Counter[str] = field(default_factory=Counter)
    kept_out: int = 0
    found: set[int] = field(default_factory=set)  # numbers of the rows
    contexts: set[str] = field(default_factory=set)
    languages: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    scored: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(
        self, row: int, example: Example, by_split: Mapping[int, set[str]], splits: Sequence[Split]
    ) -> None:
        """One training row that the target has in these splits."""
        rules: set[str] = set()
        for number, found in by_split.items():
            if splits[number].split == "test":
                self.languages[splits[number].language].update([*found, "any"])
                rules |= found
        self.rows.update([*rules, "any"] if rules else [])
        self.kept_out += len(rules) == 0
        self.found.add(row)
        self.contexts.update(context_of(example))

    def shared(self, context_mates: int) -> Shared:
        """The counts, with `context_mates` more rows that stand on the same contexts."""
        return Shared(
            dict(self.rows),
            self.kept_out,
            len(self.found) + context_mates,
            {code: dict(counts) for code, counts in self.languages.items()},
            {code: dict(counts) for code, counts in self.scored.items()},
        )


def _by_target(
    found: Mapping[int, set[str]], splits: Sequence[Split]
) -> dict[str, dict[int, set[str]]]:
    targets: dict[str, dict[int, set[str]]] = {}
    for number, rules in found.items():
        targets.setdefault(splits[number].owner, {})[number] = rules
    return targets


def _context_mates(examples: Sequence[Example], tallies: Mapping[str, _Tally]) -> Counter[str]:
    """How many more rows stand on a context of which a row is scored, by target."""
    mates: Counter[str] = Counter()
    asked = {name: tally for name, tally in tallies.items() if tally.contexts}
    for row, example in enumerate(examples if asked else ()):
        contexts = context_of(example)
        mates.update(
            name
            for name, tally in asked.items()
            if row not in tally.found and not tally.contexts.isdisjoint(contexts)
        )
    return mates


def _digests(example: Example, normal: Normal) -> Iterator[tuple[str, bytes]]:
    for rule, find in KEYS.items():
        for key in find(example, normal):
            text = f"{rule}\0{key}".encode()
            yield rule, hashlib.blake2b(text, digest_size=16).digest()


def _read(
    splits: Iterable[Split], context: DataContext, on_split: Callable[[Split], None]
) -> Iterator[Finding]:
    for split in splits:
        on_split(split)
        # A cache of its own: the data set is let go once it was compared.
        yield read_split(split, replace(context, _cache={}))


def _let_go(finding: Finding) -> Compared:
    data = finding.dataset
    if data is None:
        return Compared(finding)
    return Compared(replace(finding, dataset=None), len(data), data.counts, data.fingerprint)
