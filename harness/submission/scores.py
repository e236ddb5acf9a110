"""Scores of files in XTREME's layout, and its averages: task, group, all tasks; in percent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Any

import harness
from harness.canonical import file_digest
from harness.catalog import Catalog, Target
from harness.errors import InputError, reading
from harness.results import files_signature
from harness.submission.answers import Answers
from harness.submission.indices import Indices
from harness.submission.labels import Labels
from harness.submission.layout import Layout
from harness.submission.pairs import Pairs
from harness.submission.tags import Tags

LAYOUTS: Mapping[str, Layout[Any]] = MappingProxyType(
    {layout.format: layout for layout in (Labels(), Tags(), Answers(), Indices(), Pairs())}
)
GROUPS = ("classification", "tagging", "qa", "retrieval")  # XTREME's, in the order of its tables


@dataclass(frozen=True, slots=True)
class FilePair:
    """The label and the prediction file of a task in a language."""

    language: str
    gold: Path
    predictions: Path


@dataclass(frozen=True, slots=True)
class LanguageScore:
    """The metrics of one file, how many things were scored, what people should know of it."""

    metrics: Mapping[str, float]
    n: int
    notes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TaskScore:
    """Languages, each metric's mean over them, and the task's score, the mean of the main ones."""

    task: str
    group: str
    languages: Mapping[str, LanguageScore]
    averages: Mapping[str, float]
    score: float
    absent: tuple[str, ...]  # official languages that were not scored
    strange: tuple[str, ...]  # scored ones that XTREME does not have
    signature: str

    @property
    def official(self) -> bool:
        """Whether the score is XTREME's: over its languages, all of them and no other."""
        return not self.absent and not self.strange


@dataclass(frozen=True, slots=True)
class SubmissionScore:
    """All tasks; group and overall means, which are None where a task or language is absent."""

    tasks: Mapping[str, TaskScore]
    groups: Mapping[str, float | None]
    overall: float | None
    signature: str


def xtreme_tasks(catalog: Catalog) -> dict[str, Target]:
    """The tasks of XTREME by name, group by group: the catalog's targets that have a group."""
    tasks = [target for target in catalog.targets.values() if target.group]
    return {task.name: task for task in sorted(tasks, key=lambda task: GROUPS.index(task.group))}


def xtreme_task(catalog: Catalog, name: str) -> Target:
    """The task of that name; InputError with all names."""
    tasks = xtreme_tasks(catalog)
    if name not in tasks:
        raise InputError(f"task '{name}' is none of XTREME's; allowed: {', '.join(tasks)}")
    return tasks[name]


def layout_of(task: Target) -> Layout[Any]:
    """How the task's files look."""
    return LAYOUTS[task.format]


def score_task(task: Target, pairs: Sequence[FilePair]) -> TaskScore:
    """Score each pair of files; InputError for any fault in one of them."""
    layout = layout_of(task)
    languages = {pair.language: _score_file(layout, task, pair) for pair in pairs}
    names = next(iter(languages.values())).metrics
    averages = {name: fmean(one.metrics[name] for one in languages.values()) for name in names}
    return TaskScore(
        task=task.name,
        group=task.group,
        languages=languages,
        averages=averages,
        score=fmean(averages[name] for name in layout.main),
        absent=tuple(code for code in task.languages if code not in languages),
        strange=tuple(code for code in languages if code not in task.languages),
        signature=files_signature(
            task=task.name,
            languages=list(languages),
            gold={pair.language: file_digest(pair.gold) for pair in pairs},
            options={f"{task.format}.{key}": v for key, v in layout.signature(task).items()},
            version=harness.__version__,
        ),
    )


def score_submission(
    catalog: Catalog, gold: Path, predictions: Path, *, partial: bool = False
) -> SubmissionScore:
    """Score two folders of TASK/test-LANG.EXT; every file of every task must be in both.

    `partial`: what the gold folder has, without averages over what is then incomplete.
    """
    tasks = list(xtreme_tasks(catalog).values())
    chosen = {task.name: _languages(catalog, task, gold, partial) for task in tasks}
    _refuse_missing(
        (folder / task.name, task, chosen[task.name])
        for task in tasks
        for folder in (gold, predictions)
    )
    if not any(chosen.values()):
        raise InputError(f"{gold}: no label files here; expected TASK/test-LANG.tsv or .json")
    scores = {
        task.name: score_task(task, _pairs(task, gold, predictions, chosen[task.name]))
        for task in tasks
        if chosen[task.name]
    }
    whole = [one for one in scores.values() if one.official]
    groups: dict[str, float | None] = {}
    for group in dict.fromkeys(task.group for task in tasks):
        groups[group] = _mean([scores.get(task.name) for task in tasks if task.group == group])
    return SubmissionScore(
        tasks=scores,
        groups=groups,
        overall=_mean([scores.get(task.name) for task in tasks]),
        signature=files_signature(
            task="xtreme" if len(whole) == len(tasks) else "xtreme-partial",
            languages=[f"{one.task}.{code}" for one in scores.values() for code in one.languages],
            gold={name: one.signature for name, one in scores.items()},
            options={},
            version=harness.__version__,
        ),
    )


def folder_pairs(
    task: Target, gold: Path, predictions: Path, only: str | None = None
) -> list[FilePair]:
    """The files of all languages that the gold folder has (or only one); both must have them.

    A folder is the task's own, or that of a submission, in which the task's is.
    """
    gold, predictions = (_own(folder, task) for folder in (gold, predictions))
    layout = layout_of(task)
    codes = languages_in(gold, task)
    if not codes:
        raise InputError(f"{gold}: no label files here; expected {layout.file_name('LANG')}")
    if only is not None:
        if only not in codes:
            raise InputError(f"--lang {only}: {gold} has only {', '.join(codes)}")
        codes = [only]
    _refuse_missing([(predictions, task, codes)])
    strange = (
        []
        if only is not None
        else [code for code in languages_in(predictions, task) if code not in codes]
    )
    if strange:
        raise InputError(
            f"{predictions / layout.file_name(strange[0])}: {gold} has no gold for it; "
            "remove the file or add the gold"
        )
    return [
        FilePair(code, gold / layout.file_name(code), predictions / layout.file_name(code))
        for code in codes
    ]


def languages_in(folder: Path, task: Target) -> list[str]:
    """Languages of the files in a task's folder, official ones first and in their order."""
    pattern = re.compile(rf"test-(.+)\.{layout_of(task).extension}")
    with reading(folder):
        found = {m[1] for path in folder.iterdir() if (m := pattern.fullmatch(path.name))}
    official = [code for code in task.languages if code in found]
    return official + sorted(found.difference(official))


def _refuse_missing(wanted: Iterable[tuple[Path, Target, Sequence[str]]]) -> None:
    """InputError that names every file that a task's folder lacks, in one line."""
    lacking = []
    for folder, task, codes in wanted:
        names = [layout_of(task).file_name(code) for code in codes]
        with reading(folder):
            absent = [name for name in names if not (folder / name).is_file()]
        if absent:
            shown = f"all {len(names)} files" if absent == names else ", ".join(absent)
            lacking.append(f"{folder}: {shown}")
    if lacking:
        raise InputError(
            f"missing: {'; '.join(lacking)}; add these: every language must be there, and of a "
            "whole submission every task"
        )


def _own(folder: Path, task: Target) -> Path:
    inside = folder / task.name
    with reading(folder):
        return inside if inside.is_dir() else folder


def check_language(catalog: Catalog, task: Target, file: Path, code: str) -> None:
    """InputError for a language that nobody knows; one that XTREME has not for a task is told."""
    if code not in catalog.languages:
        raise InputError(
            f"{file}: language '{code}' is unknown; {task.name} has {', '.join(task.languages)}"
        )


def _languages(catalog: Catalog, task: Target, gold: Path, partial: bool) -> list[str]:
    folder = gold / task.name
    if not partial:
        return list(task.languages)
    with reading(gold):
        codes = languages_in(folder, task) if folder.is_dir() else []
    for code in codes:
        check_language(catalog, task, folder / layout_of(task).file_name(code), code)
    return codes


def _pairs(task: Target, gold: Path, predictions: Path, codes: Sequence[str]) -> list[FilePair]:
    names = {code: Path(task.name) / layout_of(task).file_name(code) for code in codes}
    return [FilePair(code, gold / name, predictions / name) for code, name in names.items()]


def _score_file(layout: Layout[Any], task: Target, pair: FilePair) -> LanguageScore:
    gold = layout.read_gold(pair.gold, task, pair.language)
    given = layout.read_predictions(pair.predictions, gold, pair.gold, task)
    statistics = layout.statistics(given, gold, task)
    return LanguageScore(layout.metrics(statistics), layout.size(gold), dict(given.notes))


def _mean(scores: Sequence[TaskScore | None]) -> float | None:
    """The mean of task scores; None unless every task is there in all its languages."""
    whole = [one.score for one in scores if one is not None and one.official]
    return fmean(whole) if whole and len(whole) == len(scores) else None
