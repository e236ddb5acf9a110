"""A suite on this machine, in this process and its workers: progress, tables, records."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import click

from harness.bench import Bench, Cell, Plan, Store, record_path
from harness.catalog import Contrast
from harness.cli import stop_code
from harness.cli.common import fit_workers, make_bench, show_log
from harness.cli.progress import TerminalProgress, duration
from harness.results import contrast_table, per_language_table, summary_json, summary_table


def run_here(
    suite: str, options: dict[str, Any], *, as_json: bool, languages: bool, quiet: bool
) -> None:
    """Run the suite and print what `xstilts bench` prints."""
    show_log(quiet=quiet)
    started = time.monotonic()
    bench, workers = make_bench(suite, options)
    plan = bench.plan()
    done = plan.done(Store(bench.settings.store))
    missing = [step for step_id, step in plan.steps.items() if step_id not in done]
    if options["workers"] is None:
        workers = fit_workers(workers, bench, plan, missing)
    if not quiet:
        numerics = bench.settings.numerics
        click.echo(
            f"{suite}: {len(plan.cells)} results from {len(plan.steps)} steps, {len(done)} done; "
            f"{workers or 1} worker(s) on {numerics.device}, {numerics.threads} thread(s) each; "
            f"results go to {bench.out}",
            err=True,
        )
    progress = TerminalProgress(plan, len(done), sum(step.cost for step in missing), quiet)
    try:
        records = bench.run(plan, progress, workers)
    except KeyboardInterrupt as stop:
        progress.close()
        click.echo(
            "xstilts: stopped; what is finished is kept. Run the same command again to go on.",
            err=True,
        )
        raise SystemExit(stop_code(stop)) from None
    finally:
        progress.close()
    if as_json:
        click.echo(json.dumps(_summary(bench, plan, records, languages), indent=2))
    else:
        click.echo(render(bench, plan, records, languages=languages))
    if not (as_json or quiet):
        click.echo(
            f"{len(records)} records in {bench.out / 'records'} "
            f"({duration(time.monotonic() - started)}); check them: xstilts validate {bench.out}",
            err=True,
        )


def render(
    bench: Bench, plan: Plan, records: list[dict[str, Any]], *, languages: bool = False
) -> str:
    """All tables of a run as text."""
    rows = _Rows(plan)
    targets = list(dict.fromkeys(cell.target.name for cell in plan.cells))
    note = bench.suite.seed_note
    parts = [
        summary_table(
            records,
            row_of=rows,
            rows=rows.order,
            targets=targets,
            seed_note=note,
        )
    ]
    if languages:
        parts += [
            per_language_table(records, target, row_of=rows, rows=rows.order) for target in targets
        ]
    contrasts = _answerable(bench, plan)
    if contrasts:
        parts.append(contrast_table(contrasts, records, seed_note=note))
    return "\n".join(parts)


def _answerable(bench: Bench, plan: Plan) -> list[Contrast]:
    """The suite's contrasts that the plan can answer: `--only` may have left a side out."""
    sides = {
        (cell.target.name, cell.recipe.name, *([cell.source_set.name] if cell.source_set else []))
        for cell in plan.cells
    }
    return [
        contrast
        for contrast in bench.suite.contrasts
        if {(contrast.target, *contrast.better), (contrast.target, *contrast.worse)} <= sides
    ]


class _Rows:
    """The row of each record in the summary, as its cell in the plan has it, and their order."""

    def __init__(self, plan: Plan) -> None:
        self._of = {_cell_key(cell): cell.row for cell in plan.cells}
        self.order = list(dict.fromkeys(cell.row for cell in plan.cells))

    def __call__(self, record: Mapping[str, Any]) -> str:
        source_set = record["source_set"]
        name = source_set["name"] if source_set else None
        return self._of[record["recipe"]["name"], name, record["target"]["name"]]


def _cell_key(cell: Cell) -> tuple[str, str | None, str]:
    name = cell.source_set.name if cell.source_set else None
    return (cell.recipe.name, name, cell.target.name)


def _summary(
    bench: Bench, plan: Plan, records: list[dict[str, Any]], languages: bool
) -> dict[str, Any]:
    rows = _Rows(plan)
    return summary_json(
        records,
        row_of=rows,
        rows=rows.order,
        targets=list(dict.fromkeys(cell.target.name for cell in plan.cells)),
        seed_note=bench.suite.seed_note,
        contrasts=_answerable(bench, plan),
        languages=languages,
    ) | {
        "records": [
            str(record_path(bench.out, cell, record["id"]))
            for cell, record in zip(plan.cells, records, strict=True)
        ]
    }
