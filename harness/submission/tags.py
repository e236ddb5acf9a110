"""Tagging (UDPOS, PAN-X): one tag per line, a blank line between sentences, no words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from harness.catalog import Target
from harness.data import TaggingExample
from harness.data.files.rows import place
from harness.errors import InputError
from harness.formats import Statistics, Tagging
from harness.formats.scoring import precision_recall_f1
from harness.submission.labels import check_label, known_label
from harness.submission.layout import Given, Layout, Row, check_count
from harness.submission.text import read_rows

Sentence = tuple[int, tuple[str, ...]]  # line of its first tag, tags


class Tags(Layout[list[TaggingExample]]):
    """Tags of sentences; two blank lines are an empty sentence, as XTREME's `read_tag` has it."""

    format: ClassVar[str] = Tagging.name
    main: ClassVar[tuple[str, ...]] = Tagging.metrics

    def read_gold(self, file: Path, task: Target, language: str) -> list[TaggingExample]:
        """Examples whose words are their tags."""
        sentences = _read(file, task)
        return [TaggingExample(str(i), language, None, t, t) for i, (_, t) in enumerate(sentences)]

    def read_predictions(
        self, file: Path, gold: list[TaggingExample], gold_file: Path, task: Target
    ) -> Given:
        """As many sentences as the gold has, each as long as there."""
        sentences = _read(file, task)
        for number, ((line, tags), example) in enumerate(
            zip(sentences, gold, strict=False), start=1
        ):
            if len(tags) != len(example.tokens):
                raise InputError(
                    f"{place(file, line)}: sentence {number} has {len(tags)} tags, in {gold_file} "
                    f"it has {len(example.tokens)}; give one tag per word and a blank line "
                    "between sentences"
                )
        check_count(file, len(sentences), gold_file, len(gold), "sentences")
        return Given([tags for _, tags in sentences])

    def size(self, gold: list[TaggingExample]) -> int:
        """Sentences."""
        return len(gold)

    def statistics(self, given: Given, gold: list[TaggingExample], task: Target) -> Statistics:
        """Chunks that are right, predicted, gold."""
        return Tagging().statistics(given.predictions, gold)

    def metrics(self, statistics: Statistics) -> dict[str, float]:
        """F1, and precision and recall, which no record has."""
        return precision_recall_f1(*statistics.sum(axis=0))

    def signature(self, task: Target) -> dict[str, str]:
        """Which chunks count."""
        return {"chunks": Tagging().signature()["chunks"]}

    def predictions_text(
        self, rows: Sequence[Row], examples: Sequence[TaggingExample], task: Target
    ) -> str:
        """A block of lines per row."""
        return _text([(row.id, row.prediction) for row in rows], task)

    def gold_text(self, examples: Sequence[TaggingExample], task: Target) -> str:
        """A block of lines per example."""
        return _text([(example.id, example.tags or ()) for example in examples], task)


def _read(file: Path, task: Target) -> list[Sentence]:
    found: list[Sentence] = []
    begin, tags = 1, list[str]()
    for number, row in enumerate(read_rows(file), start=1):
        if row:
            tags.append(known_label(file, number, row, task))
        else:
            found.append((begin, tuple(tags)))
            begin, tags = number + 1, []
    if tags:
        found.append((begin, tuple(tags)))
    return found


def _text(sentences: Sequence[tuple[str, Sequence[str]]], task: Target) -> str:
    blocks = []
    for example, tags in sentences:
        if not tags:
            raise InputError(f"example '{example}' has no tags; it cannot stand in a submission")
        blocks.append("".join(f"{check_label(tag, example, task)}\n" for tag in tags))
    return "\n".join(blocks)
