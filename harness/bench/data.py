"""The data of a suite: training, dev and scored sets; training without rows that are scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.bench.steps import SourceWork
from harness.canonical import digest
from harness.catalog import Backbone, Catalog, Source, Suite, Target, Training
from harness.data import (
    CountTokens,
    DataContext,
    Dataset,
    DrawError,
    Example,
    Overlap,
    draw_rows,
    drop_overlap,
    flag_overlap,
    load_scored,
    load_source,
    load_split,
    make_dataset,
    with_labels,
)
from harness.formats import EncodeOptions, get_format
from harness.model import OpenedAdapter, load_tokenizer, open_adapter


@dataclass(slots=True)
class SuiteData:
    """Loads each data set once per process. Training and dev rows never overlap a scored row.

    Nor do they overlap what a target keeps out. What counts are all targets of the suite, also
    those that `--only` leaves out, so that a source adapter does not depend on which part of a
    suite is run.
    """

    catalog: Catalog
    suite: Suite
    context: DataContext
    _scored: Overlap | None = None
    _cache: dict[tuple[str, str], Dataset] = field(default_factory=dict)
    _labelled: dict[str, Source] = field(default_factory=dict)

    def texts(self, backbone: Backbone) -> Dataset:
        """The text a backbone is pretrained on, without anything that stands in a scored set."""
        assert backbone.pretrain is not None, f"{backbone.name} is not pretrained here"
        key = (f"{backbone.name}/texts", "*")
        if key not in self._cache:
            examples: list[Example] = []
            counts: Counter[str] = Counter()
            for text in backbone.pretrain.texts:
                for language in text.languages:
                    name = f"{backbone.name}/texts"
                    part = load_split(text.split, language, (), self.context, name)
                    examples.extend(part.examples)
                    counts.update(part.counts)
            whole = make_dataset(f"{backbone.name}/texts", "*", examples, counts)
            self._cache[key] = drop_overlap(whole, self.scored())
        return self._cache[key]

    def portable(self) -> SuiteData:
        """The same without data read from files, which a worker process reads as it needs them."""
        return SuiteData(self.catalog, self.suite, self.context.portable())

    def source(self, source: Source, split: str) -> Dataset:
        """A source's `train` or `dev` set."""
        key = (f"{source.name}/{split}", source.language)
        if key not in self._cache:
            whole = load_source(self.labelled(source), split, self.context)
            self._cache[key] = drop_overlap(whole, self.scored())
        return self._cache[key]

    def labelled(self, source: Source) -> Source:
        """The source with its labels, where they come from its training rows; else as it is."""
        if source.name not in self._labelled:
            self._labelled[source.name] = with_labels(source, self.context)
        return self._labelled[source.name]

    def adapter(self, source: Source) -> OpenedAdapter:
        """The adapter of a source from elsewhere, which may have to be fetched."""
        return open_adapter(source)

    def drawn(self, work: SourceWork) -> Dataset:
        """The rows of a source that train, as its set takes them; dev is always whole."""
        whole = self.source(work.source, "train")
        if work.draw.all:
            return whole
        drawn = [work.draw, work.seed]
        if work.draw.tokens is not None:
            drawn += [work.training, work.backbone.digest]  # how rows are cut, and by what
        key = (f"{work.name}/train", digest(drawn))
        if key not in self._cache:
            self._cache[key] = draw_rows(whole, work.draw, work.seed, _token_counter(work))
        return self._cache[key]

    def target(self, target: Target, split: str) -> Dataset:
        """A target's `train` or `dev` set, in its training language."""
        spec = target.train if split == "train" else target.dev
        assert spec is not None, f"{target.name} has no {split} set"
        key = (f"{target.name}/{split}", target.train_language)
        if key not in self._cache:
            whole = load_split(spec, key[1], target.labels, self.context, key[0])
            self._cache[key] = drop_overlap(whole, self.scored())
        return self._cache[key]

    def test(self, target: Target, language: str) -> Dataset:
        """The scored set of a target in one language; an official one must be whole."""
        key = (f"{target.name}/test", language)
        if key not in self._cache:
            self._cache[key] = load_scored(target, language, self.context)
        return self._cache[key]

    def tuning(self, target: Target, language: str) -> Dataset:
        """The dev set, in one language, of a target that is not trained.

        Nothing is dropped from it, as an official protocol tunes on all of it; its counts say how
        many of its rows are also scored in that language.
        """
        assert target.dev is not None, f"{target.name} has no dev set"
        key = (f"{target.name}/dev", language)
        if key not in self._cache:
            name = f"{target.name}/dev"
            whole = load_split(target.dev, language, target.labels, self.context, name)
            self._cache[key] = flag_overlap(whole, Overlap((self.test(target, language),)))
        return self._cache[key]

    def tunings(self, target: Target) -> dict[str, Dataset]:
        """The sets on which the target's predictions are tuned, by language; mostly none."""
        if not get_format(target.format).tuned:
            return {}
        return {language: self.tuning(target, language) for language in target.languages}

    def tests(self, target: Target) -> dict[str, Dataset]:
        """The scored sets of all languages of a target."""
        return {language: self.test(target, language) for language in target.languages}

    def scored(self) -> Overlap:
        """What identifies the rows of the suite's targets that are scored, or kept out as if."""
        if self._scored is None:
            names = sorted({name for block in self.suite.blocks for name in block.targets})
            found: list[Dataset] = []
            for target in map(self.catalog.target, names):
                found += self.tests(target).values()
                found += (
                    load_split(spec, code, target.labels, self.context, f"{target.name}/keep_out")
                    for code, spec in target.kept_out()
                )
            self._scored = Overlap(tuple(found))
        return self._scored


def _token_counter(work: SourceWork) -> CountTokens | None:
    """Counts the tokens that examples have as they are encoded for training."""
    if work.draw.tokens is None:
        return None
    if work.backbone.folder is None:
        raise DrawError(
            f"budget: {work.draw.limit()} of {work.name}: the tokenizer of backbone "
            f"'{work.backbone.name}' is made by the run itself; give the budget in examples"
        )
    tokenizer = load_tokenizer(work.backbone.folder)
    task_format, options = get_format(work.source.format), encode_options(work.training)

    def count(examples: Sequence[Example]) -> list[int]:
        sizes = [0] * len(examples)
        for feature in task_format.encode(
            examples, tokenizer, work.source.labels, options, training=True
        ):
            sizes[feature.example] += sum(map(len, feature.rows))
        return sizes

    return count


def encode_options(training: Training) -> EncodeOptions:
    """How long the inputs of a training may be."""
    return EncodeOptions(max_length=training.max_length, doc_stride=training.doc_stride)


def scored_sets(data: SuiteData, target: Target) -> dict[str, Dataset]:
    """What a target is scored and tuned on, by the names that records have for them."""
    sets = {"test": data.tests(target), "dev": data.tunings(target)}
    return {
        f"{target.name}/{split}/{code}": dataset
        for split, found in sets.items()
        for code, dataset in found.items()
    }


def data_summary(datasets: Mapping[str, Dataset]) -> dict[str, Any]:
    """Fingerprints and row counts of data sets, for keys and records."""
    return {
        "fingerprints": {name: dataset.fingerprint for name, dataset in datasets.items()},
        "counts": {
            name: {"examples": len(dataset), **dataset.counts} for name, dataset in datasets.items()
        },
    }
