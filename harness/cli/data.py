"""`xstilts data`: what data the catalog asks for (ls), and reading all of it (check)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from harness.catalog import Backbone, Source
from harness.cli.data_check import check
from harness.cli.data_options import data_context, json_option, suite_option
from harness.cli.log import print_log
from harness.cli.options import catalog_option, data_option, hub_option, load_catalog
from harness.data import DataContext, Owner, adapter_files, hub_datasets, owners, splits


@click.group()
def command() -> None:
    """What data there is, what is missing and how to get it. Changes nothing."""
    print_log()


@command.command()
@suite_option
@data_option
@hub_option
@catalog_option
@json_option
def ls(
    suites: tuple[str, ...], data_folder: Path | None, hub: bool,
    catalog_folders: tuple[Path, ...], as_json: bool,
) -> None:  # fmt: skip
    """List sources, targets and backbones with their data, and which of their files are there."""
    catalog = load_catalog(catalog_folders, hub=hub)
    context = data_context(catalog, data_folder, "refuse")
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


command.add_command(check)


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
