"""The data of a suite: training, dev and scored sets; training without rows that are scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.catalog import Backbone, Catalog, Source, SplitSpec, Suite, Target
from harness.data import (
    DataContext,
    Dataset,
    Example,
    Overlap,
    drop_overlap,
    flag_overlap,
    load_scored,
    load_split,
    make_dataset,
)
from harness.formats import get_format


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
        """The same without loaded data, to send to a worker process, which reads what it needs."""
        return SuiteData(self.catalog, self.suite, replace(self.context, _cache={}))

    def source(self, source: Source, split: str) -> Dataset:
        """A source's `train` or `dev` set."""
        spec = source.train if split == "train" else source.dev
        assert spec is not None, f"{source.name} is an adapter from elsewhere, without rows"
        return self._training(source.name, split, spec, source.language, source.labels)

    def target(self, target: Target, split: str) -> Dataset:
        """A target's `train` or `dev` set, in its training language."""
        spec = target.train if split == "train" else target.dev
        assert spec is not None, f"{target.name} has no {split} set"
        return self._training(target.name, split, spec, target.train_language, target.labels)

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

    def _training(
        self, owner: str, split: str, spec: SplitSpec, language: str, labels: Sequence[str]
    ) -> Dataset:
        key = (f"{owner}/{split}", language)
        if key not in self._cache:
            name = f"{owner}/{split}"
            whole = load_split(spec, language, tuple(labels), self.context, name)
            self._cache[key] = drop_overlap(whole, self.scored())
        return self._cache[key]


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
