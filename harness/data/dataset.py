"""A data set: examples of one split in one language, a fingerprint, counts of what befell rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.canonical import digest_stream
from harness.data.examples import Example
from harness.errors import InputError

_NO_USE = ("rows_without_gold", "sentences_without_text")
_KEEP_ROW = ("answers_dropped", "blank_tokens_dropped")  # of rows that stay


@dataclass(slots=True)
class ReadReport:
    """What happened to rows while reading; `bad_rows` says what a structural error does."""

    bad_rows: str = "refuse"  # refuse | skip
    counts: Counter[str] = field(default_factory=Counter)

    def bad(self, place: str, problem: str) -> None:
        """Refuse the file (InputError naming `place`), or count the row as skipped."""
        if self.bad_rows == "refuse":
            remedy = "mend the row, or skip such rows with --bad-rows skip"
            raise InputError(f"{place}: {problem}; {remedy}")
        self.counts["bad_rows_skipped"] += 1


def left_out(counts: Mapping[str, int]) -> dict[str, int]:
    """Of the counts of a data set, those of rows that are sound but of no use (no label, say)."""
    return {
        name: count
        for name, count in counts.items()
        if count and (name in _NO_USE or (name.endswith("_dropped") and name not in _KEEP_ROW))
        and not name.startswith("overlap_")
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What a reader gets: resolved files, the language, the known labels, its YAML options.

    Labels that are None are not known yet: each is taken as it stands. Ids made from row numbers
    name their file relative to `root`, so that no fingerprint holds a path of one machine.
    """

    files: tuple[Path, ...]
    language: str
    labels: tuple[str, ...] | None
    options: Mapping[str, Any]
    report: ReadReport
    root: Path | None = None

    def file_name(self, file: Path) -> str:
        """The file as ids name it: relative to `root` where it lies there, else its bare name."""
        if self.root is not None and file.is_relative_to(self.root):
            return file.relative_to(self.root).as_posix()
        return file.name


Reader = Callable[[ReadRequest], Iterator[Example]]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Examples, the SHA-256 over their canonical JSON in order, and counts for the record."""

    name: str
    language: str
    examples: tuple[Example, ...]
    fingerprint: str
    counts: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.examples)


def make_dataset(
    name: str, language: str, examples: Sequence[Example], counts: Mapping[str, int]
) -> Dataset:
    """A data set with its fingerprint; an empty one is an InputError."""
    if not examples:
        raise InputError(f"{name}: no examples for '{language}'; check the files and the part")
    fingerprint = digest_stream(examples)
    return Dataset(name, language, tuple(examples), fingerprint, dict(sorted(counts.items())))
