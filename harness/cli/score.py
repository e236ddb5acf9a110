"""`xstilts score`: XTREME's official metrics on prediction files, without a model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from harness.catalog import Catalog, Target
from harness.errors import InputError, reading
from harness.submission import (
    FilePair,
    SubmissionScore,
    TaskScore,
    check_language,
    folder_pairs,
    score_submission,
    score_task,
    xtreme_task,
)

_UNDEFINED = "–"
_NOTES = {  # what a count means, for one and for several
    "unanswered": ("question is unanswered and scores 0", "questions are unanswered and score 0"),
    "repeated": ("line repeats a pair and counts once", "lines repeat a pair and count once"),
}
_path = click.Path(path_type=Path)


@click.command()
@click.argument("task", required=False)
@click.option("--gold", type=_path, required=True, metavar="F|DIR", help="Label file or folder.")
@click.option(
    "--pred", type=_path, required=True, metavar="F|DIR", help="Prediction file or folder."
)
@click.option("--lang", metavar="L", help="The language of a file; of folders, only this one.")
@click.option("--all", "everything", is_flag=True, help="All tasks: folders of TASK/test-LANG.EXT.")
@click.option("--partial", is_flag=True, help="With --all: only what --gold has.")
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON, unrounded.")
def command(
    task: str | None, gold: Path, pred: Path, lang: str | None, everything: bool, partial: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Score prediction files in XTREME's submission layout, as its evaluate.py does.

    TASK (xnli, pawsx, udpos, panx, xquad, mlqa, tydiqa, bucc2018, tatoeba) scores a file, with
    --lang, or all languages in a folder. --all scores a whole submission, with XTREME's averages;
    every language of every task must then be there.
    """
    _check_usage(task, lang, everything, partial)
    catalog = Catalog.load()
    if task is None:
        whole = score_submission(catalog, gold, pred, partial=partial)
        _warn(list(whole.tasks.values()))
        click.echo(_dump(_submission_json(whole)) if as_json else _submission_table(whole))
        return
    spec = xtreme_task(catalog, task)
    score = score_task(spec, _file_pairs(catalog, spec, gold, pred, lang))
    _warn([score])
    click.echo(_dump(_task_json(score)) if as_json else _task_table(score, spec))


def _check_usage(task: str | None, lang: str | None, everything: bool, partial: bool) -> None:
    if everything == (task is not None):
        raise click.UsageError("give either a TASK or --all")
    if everything and lang is not None:
        raise click.UsageError("--lang goes with a TASK, not with --all")
    if partial and not everything:
        raise click.UsageError("--partial goes with --all; a TASK is scored in what --gold has")


def _file_pairs(
    catalog: Catalog, task: Target, gold: Path, pred: Path, lang: str | None
) -> list[FilePair]:
    """The files to score; both paths are files, or both are folders."""
    kinds = []
    for path in (gold, pred):
        with reading(path):
            path.stat()
            kinds.append(path.is_dir())
    if kinds[0] != kinds[1]:
        raise InputError(f"{gold} and {pred}: one is a folder, one a file; give two of a kind")
    if kinds[0]:
        pairs = folder_pairs(task, gold, pred, lang)
    else:
        pairs = [FilePair(_language(gold, pred, lang), gold, pred)]
    for pair in pairs:
        check_language(catalog, task, pair.gold, pair.language)
    return pairs


def _language(gold: Path, pred: Path, lang: str | None) -> str:
    """The language of two files: what is asked for, which their names may not deny."""
    named = {}
    for file in (gold, pred):
        if match := re.fullmatch(r"test-(.+)\.(tsv|json)", file.name):
            named[file] = match[1]
    for file, code in named.items():
        if lang not in (None, code):
            raise InputError(
                f"{file}: its name says '{code}', --lang '{lang}'; correct one of them"
            )
    found = set(named.values()) if lang is None else {lang}
    if len(found) > 1:
        raise InputError(f"{gold} and {pred}: their names say two languages; add --lang L")
    if gold not in named and lang is None:
        raise InputError(f"{gold}: its name does not say its language; add --lang L")
    return found.pop()


def _warn(tasks: Sequence[TaskScore]) -> None:
    for task in tasks:
        for code, one in task.languages.items():
            for name, count in one.notes.items():
                if count:
                    text = _NOTES[name][count > 1]
                    click.echo(f"warning: {task.task} ({code}): {count} {text}", err=True)


def _task_json(score: TaskScore) -> dict[str, Any]:
    return {
        "task": score.task,
        "group": score.group,
        "score": score.score,
        **{f"avg_{name}": value for name, value in score.averages.items()},
        "languages": {
            code: {**one.metrics, "n": one.n, **one.notes} for code, one in score.languages.items()
        },
        "official_languages": score.official,
        "signature": score.signature,
    }


def _submission_json(score: SubmissionScore) -> dict[str, Any]:
    return {
        "all_task": score.overall,
        "groups": dict(score.groups),
        "tasks": {name: _task_json(one) for name, one in score.tasks.items()},
        "signature": score.signature,
    }


def _dump(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def _task_table(score: TaskScore, task: Target) -> str:
    metrics = list(score.averages)
    rows = [
        [code, *(f"{one.metrics[name]:.2f}" for name in metrics), one.n]
        for code, one in score.languages.items()
    ]
    rows.append(["average", *(f"{score.averages[name]:.2f}" for name in metrics), ""])
    lines = [
        f"{score.task}: {', '.join(metrics)} in percent",
        "",
        _table(rows, ["language", *metrics, "n"]),
        "",
        f"score: {score.score:.2f}",
    ]
    if score.absent:
        count = len(task.languages)
        lines.append(
            f"not XTREME's average: {len(score.absent)} of its {count} languages are not here "
            f"({', '.join(score.absent)})"
        )
    if score.strange:
        lines.append(f"not XTREME's average: it does not have {', '.join(score.strange)}")
    return "\n".join([*lines, score.signature])


def _submission_table(score: SubmissionScore) -> str:
    rows = [
        [
            one.task,
            one.group,
            f"{len(one.languages)}" + ("" if one.official else "*"),
            "  ".join(f"{name} {value:.2f}" for name, value in one.averages.items()),
            f"{one.score:.2f}",
        ]
        for one in score.tasks.values()
    ]
    means = [[name, _percent(value)] for name, value in score.groups.items()]
    means.append(["all tasks", _percent(score.overall)])
    lines = [
        "XTREME, in percent: the mean over all languages of each task, English included",
        "",
        _table(rows, ["task", "group", "languages", "averages", "score"], left=("averages",)),
        "",
        _table(means, ["group", "score"]),
    ]
    if not all(one.official for one in score.tasks.values()):
        lines += ["", "*: fewer languages than XTREME has; such a task is in no mean of tasks"]
    signatures = [one.signature for one in score.tasks.values()]
    return "\n".join([*lines, "", *signatures, score.signature])


def _percent(value: float | None) -> str:
    return _UNDEFINED if value is None else f"{value:.2f}"


def _table(rows: Sequence[Sequence[Any]], header: list[str], left: Sequence[str] = ()) -> str:
    align = ["left" if name in ("group", *left) else "right" for name in header]
    return tabulate(rows, headers=header, disable_numparse=True, colalign=["left", *align[1:]])
