"""`xstilts data check`: reads everything and says what it found."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from harness.catalog import Backbone, Catalog
from harness.cli.data_external import check_adapter, external_sources
from harness.cli.data_findings import finding_row, findings_table
from harness.cli.data_markdown import markdown
from harness.cli.data_options import choose, data_context, json_option, suite_option, to_compare
from harness.cli.data_overlap import matrix_json, matrix_table
from harness.cli.data_problems import missing_files, missing_lines, problems
from harness.cli.data_sources import sources_json, sources_table
from harness.cli.options import (
    bad_rows_option,
    catalog_option,
    data_option,
    hub_option,
    load_catalog,
)
from harness.data import Finding, Matrix, Owner, Split, check_splits, overlap_matrix, reads_files
from harness.data import splits as splits_of
from harness.errors import InputError


@click.command()
@suite_option
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="NAME",
    help="Only this source, or those that fit a pattern such as '*.sw'; may be repeated.",
)
@click.option("--target", "targets", multiple=True, metavar="NAME", help="The same for targets.")
@click.option(
    "--overlap",
    is_flag=True,
    help="Print how many training rows are also scored: each source by each target.",
)
@click.option("--sources", "table", is_flag=True, help="Print a table of the sources.")
@data_option
@hub_option
@bad_rows_option
@catalog_option
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown tables.")
@json_option
def check(
    suites: tuple[str, ...], sources: tuple[str, ...], targets: tuple[str, ...],
    overlap: bool, table: bool, data_folder: Path | None, hub: bool, bad_rows: str,
    catalog_folders: tuple[Path, ...], as_markdown: bool, as_json: bool,
) -> None:  # fmt: skip
    """Read every split: rows, what befell them, fingerprints as in records.

    Without --suite, --source and --target everything that reads files. Exit code 2 if anything is
    missing or wrong. With --overlap or --sources what is missing is listed, and is no error.
    """
    for one, other, both in (("json", "markdown", as_json and as_markdown),
                             ("overlap", "sources", overlap and table)):  # fmt: skip
        if both:
            raise InputError(f"--{one} and --{other}: choose one of them")
    catalog = load_catalog(catalog_folders, hub=hub)
    chosen = choose(catalog, suites, sources, targets)
    if overlap or table:
        trained, scored = to_compare(catalog, suites, sources, targets)
        chosen = list({owner.name: owner for owner in (*trained, *scored)}.values())
    filed = [owner.name for owner in chosen if reads_files(owner)]
    if data_folder is None and filed:
        raise InputError(f"--data is missing; give the folder with the files of {filed[0]}")
    context = data_context(catalog, data_folder, bad_rows)
    if not overlap and not table:
        wanted = [split for owner in chosen for split in splits_of(owner)]
        findings = check_splits(wanted, context, _show)
        findings += [check_adapter(one) for one in external_sources(chosen)]
        _hide()
        _report(findings, catalog, data_folder, as_markdown, as_json)
        return
    matrix = overlap_matrix(_of(trained), _of(scored), context, _show)
    _hide()
    unknown = [source.name for source in external_sources(chosen)]
    _report_compared(matrix, catalog, data_folder, unknown, table, as_markdown, as_json)


def _report(
    findings: Sequence[Finding], catalog: Catalog, data: Path | None, as_markdown: bool,
    as_json: bool,
) -> None:  # fmt: skip
    rows = [finding_row(finding) for finding in findings]
    missing = missing_files(findings)
    if as_json:
        _echo_json(data, {"rows": rows, "missing": missing})
    else:
        click.echo(markdown(findings, catalog) if as_markdown else findings_table(rows))
        for line in (*missing_lines(missing), *(f"wrong: {one}" for one in problems(findings))):
            click.echo(line)
    wrong = sum(bool(finding.problem) for finding in findings)
    if missing or wrong:
        bad = sum(not finding.ok for finding in findings)
        raise InputError(
            f"{_where(data)}{len(missing)} files missing, {wrong} splits wrong; "
            f"{bad} of {len(findings)} splits cannot be used"
        )


def _report_compared(
    matrix: Matrix, catalog: Catalog, data: Path | None, unknown: Sequence[str], table: bool,
    as_markdown: bool, as_json: bool,
) -> None:  # fmt: skip
    findings = [one.finding for one in (*matrix.scored, *matrix.trained)]
    missing = missing_files(findings)
    wrong = problems([finding for finding in findings if not finding.cut])
    part = problems([finding for finding in findings if finding.cut])
    if as_json:
        found = (
            {"sources": sources_json(matrix, catalog)} if table else matrix_json(matrix, catalog)
        )
        more = {"missing": missing, "in_part": part, "wrong": wrong, "unknown": list(unknown)}
        _echo_json(data, {**found, **more})
    else:
        show = sources_table if table else matrix_table
        click.echo(show(matrix, catalog, as_markdown=as_markdown))
        notes = [f"wrong: {one}" for one in wrong]
        if unknown:
            notes.append(f"not known, as they come from elsewhere: rows of {', '.join(unknown)}")
        if not as_markdown:  # there the tables say what is missing, and stand in a document
            notes = [*missing_lines(missing), *(f"in part: {one}" for one in part), *notes]
        if notes:
            click.echo("\n" + "\n".join(notes))
    if wrong:
        raise InputError(f"{_where(data)}{len(wrong)} splits wrong; the counts are without them")
    if not table and not (matrix.targets() and any(one.rows for one in matrix.trained)):
        raise InputError(
            f"{_where(data)}nothing to compare: no scored or no training rows are here; "
            f"{len(missing)} files are missing (listed above)"
        )


def _echo_json(data: Path | None, document: dict[str, Any]) -> None:
    click.echo(json.dumps({"data": data and str(data), **document}, indent=2, ensure_ascii=False))


def _where(data: Path | None) -> str:
    return f"{data}: " if data else ""  # the world lies in no folder


def _of(owners: Sequence[Owner]) -> list[Split]:
    return [split for owner in owners if not isinstance(owner, Backbone)
            for split in splits_of(owner)]  # fmt: skip


def _show(split: Split) -> None:
    if sys.stderr.isatty():
        text = f"{split.owner}/{split.split} ({split.language})"
        click.echo("\r" + text[:60].ljust(60), err=True, nl=False)


def _hide() -> None:
    if sys.stderr.isatty():
        click.echo("\r" + " " * 60 + "\r", err=True, nl=False)
