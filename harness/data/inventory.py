"""What data a catalog asks for, what of it is there, and what reading all of it finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.catalog import Backbone, Catalog, Source, SplitSpec, Suite, Target
from harness.data.dataset import Dataset, make_dataset
from harness.data.labels import load_source
from harness.data.load import DataContext, find_files, load_split
from harness.data.official import count_problem
from harness.data.overlap import Overlap, drop_overlap, flag_overlap
from harness.errors import InputError

Owner = Source | Target | Backbone
SCORED = ("test", "keep_out")  # what no training or dev row may overlap


@dataclass(frozen=True, slots=True)
class Split:
    """One split of a source, target or backbone; `parts` are (language, spec), read in order."""

    owner: str
    split: str  # train | dev | test | keep_out | texts
    language: str  # "*" for the texts of a backbone
    labels: tuple[str, ...]
    parts: tuple[tuple[str, SplitSpec], ...]
    get: str  # how to get its files
    licence: str
    whole: bool = False  # nothing is dropped from it: what an untrained target is tuned on
    official: tuple[str, int] | None = None  # name and number of rows of the split that it must be
    source: Source | None = None  # where its labels come from the training rows

    def files(self, context: DataContext) -> Iterator[tuple[str, bool]]:
        """Each file (or pattern) that it reads, and whether it is there."""
        labels = () if self.source is None else ((self.language, self.source.train),)
        for language, spec in (*self.parts, *labels):
            for piece in spec.pieces(language):
                for name, found in find_files(piece, language, context):
                    yield name, bool(found)

    def read(self, context: DataContext) -> Dataset:
        """Its examples as the files have them, overlap included; InputError for a wrong file."""
        if self.source is not None:
            return load_source(self.source, self.split, context)
        name = f"{self.owner}/{self.split}"
        loaded = [
            load_split(spec, language, self.labels, context, name) for language, spec in self.parts
        ]
        if len(loaded) == 1:
            return loaded[0]
        counts = sum((Counter(one.counts) for one in loaded), Counter[str]())
        examples = [example for one in loaded for example in one.examples]
        return make_dataset(name, self.language, examples, counts)


@dataclass(frozen=True, slots=True)
class Finding:
    """A split as it is used (training rows without what is scored), or what is wrong with it."""

    split: Split
    dataset: Dataset | None = None
    missing: tuple[str, ...] = ()
    problem: str = ""
    digest: str = ""  # of the files of an adapter from elsewhere, which is no data set
    cut: bool = False  # the problem is that an official split has another number of rows

    @property
    def ok(self) -> bool:
        """Whether it can be used."""
        return not self.missing and not self.problem


def owners(catalog: Catalog, suites: Sequence[Suite] = ()) -> list[Owner]:
    """What the suites read; without suites all of the catalog but the world's.

    Of a catalog `on_hub` that is the hub's rows for what is there, else files.
    """
    if not suites:
        everything: list[Owner] = [*catalog.sources.values(), *catalog.targets.values()]
        everything += [b for b in catalog.backbones.values() if b.pretrain is not None]
        return [owner for owner in everything if not owner.world]
    blocks = [block for suite in suites for block in suite.blocks]
    sets = dict.fromkeys(name for block in blocks for name in block.source_sets)
    sources = {source.name: source for one in sets for source in catalog.sources_of(one)}
    targets = dict.fromkeys(name for block in blocks for name in block.targets)
    backbones = dict.fromkeys(name for suite in suites for name in suite.backbones)
    return [
        *sources.values(),
        *map(catalog.target, targets),
        *(b for b in map(catalog.backbone, backbones) if b.pretrain is not None),
    ]


def splits(owner: Owner) -> list[Split]:
    """All splits of a source, target or backbone, those of a target's test per language."""
    if isinstance(owner, Backbone):
        assert owner.pretrain is not None
        texts = owner.pretrain.texts
        parts = tuple((code, text.split) for text in texts for code in text.languages)
        return [Split(owner.name, "texts", "*", (), parts, owner.get, owner.licence)]
    home = owner.language if isinstance(owner, Source) else owner.train_language
    untrained = isinstance(owner, Target) and owner.train is None
    ruled = owner if isinstance(owner, Source) and owner.labels_from is not None else None
    found = [
        Split(
            owner.name, name, code, owner.labels, ((code, spec),), owner.get, owner.licence,
            untrained, source=ruled,
        )
        for name, spec in (("train", owner.train), ("dev", owner.dev))
        if spec is not None
        for code in (owner.languages if isinstance(owner, Target) and untrained else (home,))
    ]  # fmt: skip
    if isinstance(owner, Target):
        found += [_scored(owner, code) for code in owner.languages]
        found += [
            Split(
                owner.name, "keep_out", code, owner.labels, ((code, spec),), owner.get,
                owner.licence,
            )
            for code, spec in owner.kept_out()
        ]  # fmt: skip
    return found


def _scored(target: Target, language: str) -> Split:
    rows = target.expected_rows(language)
    return Split(
        target.name, "test", language, target.labels, ((language, target.test),), target.get,
        target.licence, official=None if rows is None else (target.split, rows),
    )  # fmt: skip


def reads_files(owner: Owner) -> bool:
    """Whether any of its splits reads files, which are not of the hub nor of the world."""
    return any(piece.files for piece in _pieces(owner))


def hub_datasets(owner: Owner) -> list[tuple[str, str]]:
    """The data sets of the hub that it reads, each with its revision."""
    options = (piece.options for piece in _pieces(owner) if piece.reader == "hub")
    return list(dict.fromkeys((str(one["id"]), str(one["revision"])) for one in options))


def _pieces(owner: Owner) -> Iterator[SplitSpec]:
    for split in splits(owner):
        for language, spec in split.parts:
            yield from spec.pieces(language)


def check_splits(
    wanted: Iterable[Split], context: DataContext, on_split: Callable[[Split], None]
) -> list[Finding]:
    """Read every split, drop from training what is scored or kept out; `on_split` hears of each.

    Nothing stops it: what is missing or wrong stands in the finding.
    """
    findings = []
    for split in wanted:
        on_split(split)
        findings.append(read_split(split, context))
    scored = {
        (f.split.owner, f.split.language): f.dataset
        for f in findings
        if f.dataset is not None and f.split.split == "test"
    }
    every = Overlap(
        tuple(f.dataset for f in findings if f.dataset is not None and f.split.split in SCORED)
    )
    return [finding if finding.split.split in SCORED else _without(finding, scored, every)
            for finding in findings]  # fmt: skip


def read_split(split: Split, context: DataContext) -> Finding:
    """What reading a split finds. One with malformed rows is read again without them."""
    try:
        missing = tuple(dict.fromkeys(name for name, there in split.files(context) if not there))
        if missing:
            return Finding(split, missing=missing)
        dataset = split.read(context)
        problem = _wrong_count(split, dataset, context)
        return Finding(split, dataset, problem=problem, cut=bool(problem))
    except InputError as error:
        problem = str(error)
    if context.bad_rows == "skip":
        return Finding(split, problem=problem)
    lenient = replace(context, bad_rows="skip", _cache={})
    try:
        return Finding(split, split.read(lenient), problem=problem)
    except InputError:
        return Finding(split, problem=problem)


def _wrong_count(split: Split, dataset: Dataset, context: DataContext) -> str:
    if split.official is None:
        return ""
    name, rows = split.official
    return count_problem(dataset, rows, name, split.parts[0][1], context)


def _without(
    finding: Finding, scored: Mapping[tuple[str, str], Dataset], every: Overlap
) -> Finding:
    split, dataset = finding.split, finding.dataset
    if dataset is None:
        return finding
    if split.whole:  # counted as records do: against the scored rows of its language alone
        own = scored.get((split.owner, split.language))
        if own is None:  # missing or wrong, as its own finding says
            return finding
        return replace(finding, dataset=flag_overlap(dataset, Overlap((own,))))
    try:
        return replace(finding, dataset=drop_overlap(dataset, every))
    except InputError as error:  # nothing would be left
        return replace(finding, problem=finding.problem or str(error))
