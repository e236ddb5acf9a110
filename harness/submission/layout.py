"""What XTREME's submission layout is for one format: its files read, scored and written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from harness.catalog import Target
from harness.errors import InputError
from harness.formats import Statistics, get_format

G = TypeVar("G")


@dataclass(frozen=True, slots=True)
class Given:
    """The predictions of a file, and counts of what the scorer accepts but people should know."""

    predictions: Any
    notes: Mapping[str, int] = field(default_factory=dict)


class Layout(ABC, Generic[G]):
    """The official files `test-LANG.EXT` of one format; G is the gold of one such file."""

    format: ClassVar[str]
    extension: ClassVar[str] = "tsv"
    main: ClassVar[tuple[str, ...]]  # the metrics whose mean is the task's score
    needs_examples: ClassVar[bool] = False  # whether predictions_text() needs the scored data

    def file_name(self, language: str) -> str:
        """The official name of a language's file."""
        return f"test-{language}.{self.extension}"

    @abstractmethod
    def read_gold(self, file: Path, task: Target, language: str) -> G:
        """The gold of a label file; InputError with file and line for every fault."""

    @abstractmethod
    def read_predictions(self, file: Path, gold: G, gold_file: Path, task: Target) -> Given:
        """The predictions of a file that fits the gold; InputError with file and line."""

    @abstractmethod
    def size(self, gold: G) -> int:
        """How many things are scored: examples, sentences, questions or gold pairs."""

    @abstractmethod
    def statistics(self, given: Given, gold: G, task: Target) -> Statistics:
        """Statistics in the columns of the format, whose sums give the metrics; a row per example.

        Of mining, where files name pairs alone, a row per first id.
        """

    def metrics(self, statistics: Statistics) -> dict[str, float]:
        """Every metric that XTREME gives, in percent."""
        return get_format(self.format).aggregate(statistics)

    def signature(self, task: Target) -> dict[str, str]:
        """What beside the files the numbers depend on."""
        return {}

    @abstractmethod
    def predictions_text(self, rows: Sequence[Row], examples: Sequence[Any], task: Target) -> str:
        """The prediction file of rows in the order of the examples; InputError if it cannot be.

        `examples` may be empty unless `needs_examples`.
        """

    @abstractmethod
    def gold_text(self, examples: Sequence[Any], task: Target) -> str:
        """The label file of examples that have gold."""


@dataclass(frozen=True, slots=True)
class Row:
    """One prediction of a run: the example's id and what was predicted."""

    id: str
    prediction: Any


def check_count(file: Path, given: int, gold_file: Path, wanted: int, noun: str) -> None:
    """InputError unless a file has as many rows as the gold: XTREME's scorer asserts the same."""
    if given != wanted:
        raise InputError(
            f"{file}: the number of {noun} is {given}, in {gold_file} it is {wanted}; "
            "give one per example, in the order of the gold"
        )
