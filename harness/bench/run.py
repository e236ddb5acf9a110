"""A whole run: plan, do what is missing, write and return the records."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.bench.data import SuiteData
from harness.bench.local import LocalExecutor, Observer
from harness.bench.plan import Plan, Selection, make_plan
from harness.bench.records import RecordMaker
from harness.bench.steps import Settings
from harness.catalog import Backbone, Catalog, Suite
from harness.data import DataContext
from harness.errors import InputError, WorkError


@dataclass(slots=True)
class Bench:
    """One suite (or a part of it) on one store; records go to `out/records/`."""

    catalog: Catalog
    suite: Suite
    settings: Settings
    out: Path
    selection: Selection = field(default_factory=Selection)
    data: SuiteData = field(init=False)

    def __post_init__(self) -> None:
        if self.suite.needs_data and self.settings.data is None:
            raise InputError(
                f"suite '{self.suite.name}' reads files: give their folder with --data DIR"
            )
        context = DataContext(
            self.settings.data,
            self.settings.bad_rows,
            self.catalog.language_iso3(),
            world_of(self.selection.backbone),
        )
        self.data = SuiteData(self.catalog, self.suite, context)

    def plan(self) -> Plan:
        """The plan; reads all data, so every wrong file is found before anything is written."""
        return make_plan(self.catalog, self.suite, self.data, self.settings, self.selection)

    def run(
        self,
        plan: Plan,
        observer: Observer,
        workers: int,
    ) -> list[dict[str, Any]]:
        """Do the missing steps, write every cell's record; returns the records in plan order."""
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


def world_of(backbone: Backbone | None) -> int | None:
    """The seed of the world that a backbone folder was pretrained on (its world.json), if any."""
    if backbone is None or backbone.kind != "folder":
        return None
    note = Path(str(backbone.path)) / "world.json"
    return int(json.loads(note.read_bytes())["world_seed"]) if note.is_file() else None
