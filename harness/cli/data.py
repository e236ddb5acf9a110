"""`xstilts data`: what data the catalog asks for (ls), and reading all of it (check)."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from harness.catalog import Backbone, Catalog, Source
from harness.cli.common import show_log
from harness.cli.data_external import check_adapter
from harness.cli.data_markdown import markdown
from harness.cli.options import (
    bad_rows_option,
    catalog_option,
    check_folder,
    data_option,
    hub_option,
    load_catalog,
)
from harness.data import (
    DataContext,
    Finding,
    Owner,
    Split,
    adapter_files,
    check_splits,
    hub_datasets,
    owners,
    reads_files,
    splits,
)
from harness.errors import InputError

_suite = click.option("--suite", "suites", multiple=True, metavar="NAME",
                      help="Only what this suite reads; may be repeated.")  # fmt: skip
_UNDEFINED = "–"
_NOT_ROWS = ("answers_dropped", "blank_tokens_dropped", "overlap_dropped")
_LEGEND = """examples: as used, without what overlaps
bad: malformed rows; mended, dropped: answers whose offset was wrong; left out: rows without a
usable label or answer; all of them in the whole files, also where a split is a part (why: --json)
overlap: training rows that are also scored, or kept out by a target"""
_json = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")


@click.group()
def command() -> None:
    """What data there is, what is missing and how to get it. Changes nothing."""
    show_log()


@command.command()
@_suite
@data_option
@hub_option
@catalog_option
@_json
def ls(
    suites: tuple[str, ...], data_folder: Path | None, hub: bool,
    catalog_folders: tuple[Path, ...], as_json: bool,
) -> None:  # fmt: skip
    """List sources, targets and backbones with their data, and which of their files are there."""
    catalog = load_catalog(catalog_folders, hub=hub)
    context = _context(catalog, data_folder, "refuse")
    chosen = owners(catalog, [catalog.suite(name) for name in suites])
    if not suites:
        chosen += [*(s for s in catalog.sources.values() if s.world),
                   *(t for t in catalog.targets.values() if t.world)]  # fmt: skip
    rows = [_describe(owner, context) for owner in chosen]
    if as_json:
        click.echo(json.dumps({"data": data_folder and str(data_folder), "rows": rows}, indent=2))
        return
    click.echo(
        tabulate(
            [[r["kind"], r["name"], r["format"], _languages(r["languages"]), r["split"],
              _presence(r, data_folder), r["licence"]] for r in rows],
            headers=["kind", "name", "format", "languages", "split", "files", "licence"],
            maxcolwidths=[None] * 6 + [40],
        )
    )  # fmt: skip


@command.command()
@_suite
@data_option
@hub_option
@bad_rows_option
@catalog_option
@click.option(
    "--markdown",
    "as_markdown",
    is_flag=True,
    help="Print counts per target and language as Markdown tables.",
)
@_json
def check(
    suites: tuple[str, ...], data_folder: Path | None, hub: bool, bad_rows: str,
    catalog_folders: tuple[Path, ...], as_markdown: bool, as_json: bool,
) -> None:  # fmt: skip
    """Read every split: rows, what befell them, fingerprints as in records.

    Without --suite everything that reads files. Exit code 2 if anything is missing or wrong.
    """
    if as_json and as_markdown:
        raise InputError("--json and --markdown: choose one of them")
    catalog = load_catalog(catalog_folders, hub=hub)
    chosen = owners(catalog, [catalog.suite(name) for name in suites])
    filed = [owner.name for owner in chosen if reads_files(owner)]
    if data_folder is None and filed:
        raise InputError(f"--data is missing; give the folder with the files of {filed[0]}")
    context = _context(catalog, data_folder, bad_rows)
    wanted = [split for owner in chosen for split in splits(owner)]
    findings = check_splits(wanted, context, _show)
    findings += [check_adapter(one) for one in chosen if isinstance(one, Source) and one.adapter]
    if sys.stderr.isatty():
        click.echo("\r" + " " * 60 + "\r", err=True, nl=False)
    rows = [_row(finding) for finding in findings]
    missing = _missing(findings)
    if as_json:
        document = {"data": data_folder and str(data_folder), "rows": rows, "missing": missing}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo(markdown(findings, catalog) if as_markdown else _table(rows))
        for how, files in _by_source(missing).items():
            click.echo("\n".join(f"missing: {file}" for file in files))
            click.echo(f"  get {'it' if len(files) == 1 else 'them'}: {how}")
        for finding in findings:
            if finding.problem:
                click.echo(f"wrong: {finding.problem}")
    wrong = sum(bool(finding.problem) for finding in findings)
    if missing or wrong:
        bad = sum(not finding.ok for finding in findings)
        where = f"{data_folder}: " if data_folder else ""  # the world lies in no folder
        raise InputError(
            f"{where}{len(missing)} files missing, {wrong} splits wrong; "
            f"{bad} of {len(findings)} splits cannot be used"
        )


def _context(catalog: Catalog, root: Path | None, bad_rows: str) -> DataContext:
    if root is not None:
        check_folder(root)
    return DataContext(root, bad_rows, catalog.language_iso3())


def _describe(owner: Owner, context: DataContext) -> dict[str, Any]:
    found = [file for split in splits(owner) for file in split.files(context)]
    hub = [f"{name}@{revision}" for name, revision in hub_datasets(owner)]
    adapter = owner.adapter if isinstance(owner, Source) else None
    if adapter is not None:
        found += adapter_files(adapter)
        hub += [adapter.place] if adapter.place else []
    if isinstance(owner, Backbone):
        assert owner.pretrain is not None
        texts = owner.pretrain.texts
        languages = sorted({code for text in texts for code in text.languages})
    else:
        languages = [owner.language] if isinstance(owner, Source) else list(owner.languages)
    return {
        "kind": type(owner).__name__.lower(),
        "name": owner.name,
        "format": "masked_lm" if isinstance(owner, Backbone) else owner.format,
        "languages": languages,
        "split": "texts" if isinstance(owner, Backbone) else "adapter" if adapter else owner.split,
        "licence": owner.licence,
        "get": owner.get,
        "hub": hub,
        "files": [{"file": name, "present": there} for name, there in dict(found).items()],
    }


def _languages(codes: Sequence[str]) -> str:
    return " ".join(codes) if len(codes) <= 3 else f"{len(codes)} languages"


def _presence(row: dict[str, Any], root: Path | None) -> str:
    files = row["files"]
    if not files:
        return "hub" if row["hub"] else "built in"
    if root is None:
        return f"{len(files)} needed"
    return f"{sum(file['present'] for file in files)} of {len(files)}"


def _show(split: Split) -> None:
    if sys.stderr.isatty():
        text = f"{split.owner}/{split.split} ({split.language})"
        click.echo("\r" + text[:60].ljust(60), err=True, nl=False)


def _row(finding: Finding) -> dict[str, Any]:
    split, dataset = finding.split, finding.dataset
    counts = dict(dataset.counts) if dataset is not None else {}
    left_out = [
        count
        for name, count in counts.items()
        if (name.endswith("_dropped") or name == "rows_without_gold") and name not in _NOT_ROWS
    ]
    return {
        "name": split.owner,
        "split": split.split,
        "language": split.language,
        "status": "ok" if finding.ok else "missing" if finding.missing else "wrong",
        "examples": len(dataset) if dataset is not None else None,
        "bad": counts.get("bad_rows_skipped", 0),
        "mended": counts.get("answers_mended", 0),
        "dropped": counts.get("answers_dropped", 0),
        "left_out": sum(left_out),
        "overlap": counts.get("overlap_dropped", 0),
        "fingerprint": dataset.fingerprint if dataset is not None else finding.digest or None,
        "counts": counts,
        "missing": list(finding.missing),
        "problem": finding.problem,
    }


def _missing(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Each missing file once, with who needs it and how to get it."""
    needed: dict[str, list[Split]] = {}
    for finding in findings:
        for name in finding.missing:
            needed.setdefault(name, []).append(finding.split)
    return [
        {
            "file": name,
            "needed_by": list(dict.fromkeys(f"{split.owner}/{split.split}" for split in found)),
            "get": next((split.get for split in found if split.get), ""),
        }
        for name, found in needed.items()
    ]


def _by_source(missing: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Missing files by how to get them; one paragraph may serve dozens."""
    found: dict[str, list[str]] = {}
    for entry in missing:
        how = entry["get"] or f"the catalog does not say; see {', '.join(entry['needed_by'])}"
        found.setdefault(how, []).append(entry["file"])
    return found


def _table(rows: Sequence[dict[str, Any]]) -> str:
    shown = ("name", "split", "language", "examples", "bad", "mended", "dropped", "left_out",
             "overlap")  # fmt: skip
    body = [
        [*(row[key] for key in shown), (row["fingerprint"] or row["status"])[:12]] for row in rows
    ]
    header = [*(name.replace("_", " ") for name in shown), "fingerprint"]
    return f"{tabulate(body, headers=header, missingval=_UNDEFINED)}\n\n{_LEGEND}\n"
