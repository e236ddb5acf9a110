"""The `data` block of a record: what went in, and which scored rows the trainings contain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from harness.bench.data import SuiteData, data_summary, scored_sets
from harness.bench.plan import Cell
from harness.bench.steps import ExternalWork, SourceWork
from harness.catalog import Target
from harness.data import Dataset, Overlap, count_overlap


@dataclass(slots=True)
class RecordData:
    """Describes the data of cells; what is costly is computed once per data set and target.

    A data set is known by its fingerprint: by sets and seeds, others are drawn under one name.
    """

    data: SuiteData
    _clean: dict[str, bool] = field(default_factory=dict)
    _counts: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)

    def block(self, cell: Cell) -> dict[str, Any]:
        """Fingerprints, counts of rows, overlap of each training with each scored language."""
        target = cell.target
        scored = scored_sets(self.data, target)
        trained = self._trained_on(cell)
        found = {name: self._overlap(dataset, target) for name, dataset in trained.items()}
        external = _from_elsewhere(cell)
        return {
            **data_summary({**scored, **trained}),
            **({"external": external} if external else {}),
            "overlap": {
                code: {name: counts[code] for name, counts in found.items()}
                for code in target.languages
            },
        }

    def _trained_on(self, cell: Cell) -> dict[str, Dataset]:
        """What weights were trained on and chosen on: of the sources, the target, the backbone."""
        datasets: dict[str, Dataset] = {}
        if cell.backbone.step is not None:
            spec = self.data.catalog.backbone(cell.backbone.name)
            datasets[f"{spec.name}/texts"] = self.data.texts(spec)
        if cell.fit and cell.target.train is not None:
            for split in ("train", "dev"):
                datasets[f"{cell.target.name}/{split}"] = self.data.target(cell.target, split)
        for ref in cell.sources:
            if isinstance(ref.work, SourceWork):
                datasets[f"{ref.name}/train"] = self.data.drawn(ref.work)
                datasets[f"{ref.name}/dev"] = self.data.source(ref.source, "dev")
        return datasets

    def _overlap(self, dataset: Dataset, target: Target) -> dict[str, int]:
        """Language to number of the target's scored examples that the data set contains."""
        key = (dataset.fingerprint, target.name)
        if key not in self._counts:
            tests = self.data.tests(target)
            if self._is_clean(dataset):
                self._counts[key] = dict.fromkeys(tests, 0)
            else:
                own = Overlap((dataset,))
                self._counts[key] = {
                    code: count_overlap(own, test)["any"] for code, test in tests.items()
                }
        return self._counts[key]

    def _is_clean(self, dataset: Dataset) -> bool:
        """Whether it shares no key with any scored row of the suite.

        Almost always so, as such rows were dropped; then nothing has to be counted one by one.
        """
        key = dataset.fingerprint
        if key not in self._clean:
            own, scored = Overlap((dataset,)), self.data.scored()
            self._clean[key] = all(
                own.keys[rule].isdisjoint(scored.keys[rule]) for rule in own.rules
            ) and (not own.running or own.pieces.isdisjoint(scored.pieces))
        return self._clean[key]


def _from_elsewhere(cell: Cell) -> dict[str, Any]:
    """What is known of adapters that were trained elsewhere, on rows that are not known."""
    found = {}
    for work in (ref.work for ref in cell.sources):
        if isinstance(work, ExternalWork):
            assert work.source.adapter is not None
            found[work.name] = {
                "digest": work.digest,
                "hub": work.source.adapter.place,
                "licence": work.source.licence,
            }
    return found
