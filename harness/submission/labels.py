"""Pair classification (XNLI, PAWS-X): one label per line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from harness.catalog import Target
from harness.data import PairExample
from harness.data.files.rows import place
from harness.errors import InputError
from harness.formats import PairClassification, Statistics
from harness.submission.layout import Given, Layout, Row, check_count
from harness.submission.text import read_rows, shown


class Labels(Layout[list[PairExample]]):
    """`entailment` per line, in the order of the test file."""

    format: ClassVar[str] = PairClassification.name
    main: ClassVar[tuple[str, ...]] = PairClassification.metrics

    def read_gold(self, file: Path, task: Target, language: str) -> list[PairExample]:
        """Examples without texts."""
        labels = _read(file, task)
        return [
            PairExample(str(i), language, None, "", "", label) for i, label in enumerate(labels)
        ]

    def read_predictions(
        self, file: Path, gold: list[PairExample], gold_file: Path, task: Target
    ) -> Given:
        """As many labels as the gold has."""
        labels = _read(file, task)
        check_count(file, len(labels), gold_file, len(gold), "labels")
        return Given(labels)

    def size(self, gold: list[PairExample]) -> int:
        """Examples."""
        return len(gold)

    def statistics(self, given: Given, gold: list[PairExample], task: Target) -> Statistics:
        """1 where the label is right."""
        return PairClassification().statistics(given.predictions, gold)

    def predictions_text(
        self, rows: Sequence[Row], examples: Sequence[PairExample], task: Target
    ) -> str:
        """A line per row."""
        return _text([check_label(row.prediction, row.id, task) for row in rows])

    def gold_text(self, examples: Sequence[PairExample], task: Target) -> str:
        """A line per example."""
        return _text([check_label(example.label, example.id, task) for example in examples])


def check_label(label: object, example: str, task: Target) -> str:
    """The label if it is one that XTREME's task has, else InputError: labels may be named apart."""
    if label not in task.labels:
        raise InputError(
            f"example '{example}': label {label!r} is none of {task.name}'s: "
            f"{', '.join(task.labels)}; it cannot stand in a submission"
        )
    return str(label)


def known_label(file: Path, line: int, label: str, task: Target) -> str:
    """A label that a file may have; InputError with the line for another one or none."""
    if label not in task.labels:
        problem = f"label {shown(label)} is unknown" if label else "the line is blank"
        raise InputError(
            f"{place(file, line)}: {problem}; {task.name} has one of "
            f"{', '.join(task.labels)} per line"
        )
    return label


def _read(file: Path, task: Target) -> list[str]:
    return [known_label(file, n, row, task) for n, row in enumerate(read_rows(file), start=1)]


def _text(labels: Sequence[str]) -> str:
    return "".join(f"{label}\n" for label in labels)
