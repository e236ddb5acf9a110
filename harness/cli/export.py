"""`xstilts export`: a run's predictions in XTREME's submission layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from harness.catalog import Target
from harness.cli.options import check_folder, data_options, load_catalog
from harness.data import DataContext
from harness.submission import (
    FIELDS,
    Choice,
    check_apart,
    check_free,
    choose_records,
    make_submission,
    write_folders,
    xtreme_tasks,
)

_folder = click.Path(path_type=Path, file_okay=False)
_HELP = {
    "backbone": "of this backbone",
    "recipe": "of this recipe",
    "set": "of this source set (none: without sources)",
    "setting": "of this setting",
    "seed": "of this seed",
    "target": "of this target",
    "id": "whose id begins so",
}


def _choosing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """An option for each field that records are chosen by."""
    for name in reversed(list(FIELDS)):
        what = f"Only records {_HELP[name]}; may be repeated."
        function = click.option(f"--{name}", multiple=True, metavar="VALUE", help=what)(function)
    return function


@click.command()
@click.argument("out", type=_folder)
@click.option("--to", type=_folder, required=True, help="The folder to write; must be new.")
@click.option("--gold", type=_folder, help="Also write the gold of the same data there.")
@_choosing_options
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
@data_options
def command(
    out: Path, to: Path, gold: Path | None, as_json: bool, data_folder: Path | None, hub: bool,
    bad_rows: str, catalog_folders: tuple[Path, ...], **wanted: tuple[str, ...],
) -> None:  # fmt: skip
    """Write the predictions of a run to XTREME's layout: TASK/test-LANG.tsv or .json.

    OUT is the folder of an `xstilts bench --out`. A submission is of one model: where the records
    of several fit, the error lists them and what to add. Targets that stand for no task of XTREME
    are left out and named.
    """
    folders = [to] if gold is None else [to, gold]
    check_apart(folders)
    for folder in folders:
        check_free(folder)
    if data_folder is not None:
        check_folder(data_folder)
    catalog = load_catalog(catalog_folders, hub=hub)
    choice = choose_records(out, catalog, {name: wanted[name] for name in FIELDS})
    context = DataContext(
        data_folder, bad_rows, catalog.language_iso3(), how_to_get=catalog.how_to_get()
    )
    submission = make_submission(choice, context, with_gold=gold is not None)
    write_folders(dict(zip(folders, (submission.predictions, submission.gold), strict=False)))
    for name in choice.left_out:
        click.echo(f"left out: {name} stands for no task of XTREME", err=True)
    absent = [name for name in xtreme_tasks(catalog) if name not in _tasks(choice)]
    if absent:
        click.echo(f"not in this submission: {', '.join(absent)} (no record)", err=True)
    # The splits of files: on the hub some tasks have other rows than XTREME scores.
    rows = _rows(choice, xtreme_tasks(load_catalog(catalog_folders, hub=False)))
    click.echo(json.dumps(rows, indent=2, ensure_ascii=False) if as_json else _table(rows))


def _tasks(choice: Choice) -> list[str]:
    return [one.task.name for one in choice.chosen]


def _rows(choice: Choice, official: Mapping[str, Target]) -> list[dict[str, Any]]:
    return [
        {
            "task": one.task.name,
            "target": one.target.name,
            "languages": list(one.record["target"]["languages"]),
            "absent": [
                code for code in one.task.languages if code not in one.record["target"]["languages"]
            ],
            "split": one.record["target"]["split"],
            "official": one.record["target"]["split"] == official[one.task.name].split,
            "record": one.record["id"],
            "score": one.record["averages"]["all"]["score"],
        }
        for one in choice.chosen
    ]


def _table(rows: list[dict[str, Any]]) -> str:
    body = [
        [
            row["task"],
            row["target"],
            row["split"] + ("" if row["official"] else "~"),
            f"{len(row['languages'])}" + ("*" if row["absent"] else ""),
            f"{row['score']:.2f}",
            row["record"][:8],
        ]
        for row in rows
    ]
    header = ["task", "from target", "split", "languages", "score", "record"]
    text = tabulate(body, headers=header, disable_numparse=True)
    if not all(row["official"] for row in rows):
        text += "\n\n~: not XTREME's own rows: no score of these files belongs beside official ones"
    if any(row["absent"] for row in rows):
        text += "\n\n*: not all of XTREME's languages; its scorer wants them all"
    return text
