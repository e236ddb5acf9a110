"""A whole run: plan, do what is missing, write and return the records."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.bench.backbones import common_world, declared_backbone, inspect_backbone
from harness.bench.data import SuiteData
from harness.bench.declared import DeclaredData, PlanData
from harness.bench.local import LocalExecutor, Observer
from harness.bench.plan import Plan, Selection
from harness.bench.planning import make_plan
from harness.bench.prefix_store import check_prefix
from harness.bench.records import RecordMaker
from harness.bench.steps import Settings
from harness.catalog import Backbone, Catalog, Suite
from harness.data import DataContext, owners, reads_files
from harness.errors import InputError, WorkError


@dataclass(slots=True)
class Bench:
    """One suite (or a part of it) on one store; records go to `out/records/`.

    With `from_sizes` it can only be planned: from the sizes that the catalog declares, which are
    then `declared`.
    """

    catalog: Catalog
    suite: Suite
    settings: Settings
    out: Path
    selection: Selection = field(default_factory=Selection)
    from_sizes: bool = False
    declared: DeclaredData | None = None
    _data: SuiteData | None = None
    _plan: Plan | None = None

    def __post_init__(self) -> None:
        if self.suite.needs_data and self.settings.data is None and not self.from_sizes:
            found = [one.name for one in owners(self.catalog, [self.suite]) if reads_files(one)]
            if found:
                raise InputError(
                    f"suite '{self.suite.name}' reads files ({', '.join(found[:3])}"
                    f"{', ...' if len(found) > 3 else ''}): give their folder with --data DIR "
                    "(`xstilts plan --sizes` does without)"
                )

    @property
    def backbones(self) -> list[Backbone]:
        """The selected backbone, or those of the suite."""
        if self.selection.backbone is not None:
            return [self.selection.backbone]
        return [self.catalog.backbone(name) for name in self.suite.backbones]

    def with_backbone(self, backbone: Backbone) -> Bench:
        """The same suite with this backbone alone, and the data of its world."""
        return replace(
            self, selection=replace(self.selection, backbone=backbone), _data=None, _plan=None
        )

    @property
    def data(self) -> SuiteData:
        """The suite's data, in the world that its backbones were made for."""
        if self._data is None:
            self._data = SuiteData(self.catalog, self.suite, self._context())
        return self._data

    def _context(self) -> DataContext:
        return DataContext(
            self.settings.data,
            self.settings.bad_rows,
            self.catalog.language_iso3(),
            # World 0 is what the world's tasks read unless they name another.
            common_world(self.backbones) or None,
            self.catalog.how_to_get(),
        )

    def plan(self) -> Plan:
        """The plan; reads all data, so every wrong file is found before anything is written."""
        if self._plan is None:
            check_prefix(self.settings, self.backbones)
            data: PlanData
            if self.from_sizes:
                data = self.declared = DeclaredData(self._context())
                known = [declared_backbone(spec) for spec in self.backbones]
            else:
                data = self.data
                known = [inspect_backbone(spec) for spec in self.backbones]
            self._plan = make_plan(
                self.catalog, self.suite, data, self.settings, known, self.selection
            )
            if self.declared is not None:
                self.declared.check()
        return self._plan

    def run(
        self,
        plan: Plan,
        observer: Observer,
        workers: int,
    ) -> list[dict[str, Any]]:
        """Do the missing steps, write every cell's record; returns the records in plan order."""
        assert not self.from_sizes, "there is nothing to run on"
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            LocalExecutor(self.settings, self.data, workers, observer).run(plan)
            maker = RecordMaker(self.suite, self.data, self.settings, self.out)
            return [maker.write(cell) for cell in plan.cells]
        except OSError as error:
            raise WorkError(
                f"{error.filename or self.out}: {error.strerror or error}; free space or choose "
                "another --out, then run the same command again"
            ) from error
