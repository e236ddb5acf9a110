"""From a split's spec to its data set: the reader, the files of a language, the part, a cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from harness.canonical import digest
from harness.catalog.specs import Part, SplitSpec
from harness.data.dataset import Dataset, Reader, ReadReport, ReadRequest, make_dataset
from harness.data.examples import Example
from harness.data.files import (
    read_auto,
    read_choices,
    read_comparable,
    read_conllu,
    read_delimited,
    read_jsonl,
    read_parallel,
    read_squad,
    read_tagged,
    text_reader,
)
from harness.data.hub import read_hub
from harness.data.world_reader import read_world
from harness.errors import InputError, reading

_PLAIN_READERS: Mapping[str, Reader] = {
    "auto": read_auto,
    "choices": read_choices,
    "comparable": read_comparable,
    "conllu": read_conllu,
    "delimited": read_delimited,
    "hub": read_hub,
    "jsonl": read_jsonl,
    "parallel": read_parallel,
    "squad": read_squad,
    "tagged": read_tagged,
    "world": read_world,
}
READERS: Mapping[str, Reader] = {**_PLAIN_READERS, "text": text_reader(_PLAIN_READERS)}
_WITHOUT_FILES = ("hub", "world")


class MissingFileError(InputError):
    """A file that a split names is not in the data folder."""


@dataclass(frozen=True, slots=True)
class DataContext:
    """Where data lies, whether bad rows refuse or are skipped, three-letter codes, the world.

    `how_to_get` says, by the name of a source, target or backbone, where its files come from.
    """

    root: Path | None = None
    bad_rows: str = "refuse"
    language_iso3: Mapping[str, str] = field(default_factory=dict)
    world_seed: int | None = None  # the world of a backbone made for another one than the shipped
    how_to_get: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    _cache: dict[str, Dataset] = field(default_factory=dict, compare=False, repr=False)
    _made: dict[str, Dataset] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.bad_rows not in ("refuse", "skip"):
            raise InputError(f"--bad-rows is '{self.bad_rows}'; must be one of: refuse, skip")

    def portable(self) -> DataContext:
        """The same with data sets that were made, not read, as making them takes the longest."""
        return replace(self, _cache={})


def load_split(
    spec: SplitSpec,
    language: str,
    labels: Sequence[str] | None,
    context: DataContext,
    name: str,
) -> Dataset:
    """The data set of a split in a language, `name` standing in messages; read once per context.

    Labels that are None are not known yet: whatever label a row has is taken.
    """
    known = None if labels is None else tuple(labels)
    key = digest([spec, language, known, name])
    cache = context._made if spec.reader == "world" else context._cache
    if key not in cache:
        report = ReadReport(context.bad_rows)
        examples: list[Example] = []
        try:
            for piece in spec.pieces(language):
                examples += _read(piece, language, known, context, report)
        except InputError as error:
            how = context.how_to_get.get(name.rpartition("/")[0], "")
            more = f"; {how}" if how and isinstance(error, MissingFileError) else ""
            raise InputError(f"{name} ({language}): {error}{more}") from error
        if not examples:
            pieces = spec.pieces(language)
            found = [file for piece in pieces for file in resolve_files(piece, language, context)]
            files = ", ".join(str(file) for file in found)
            raise InputError(
                f"{name} ({language}): no examples{' in ' if files else ''}{files}; "
                "check that the file has rows and that its part is not empty"
            )
        cache[key] = make_dataset(name, language, examples, report.counts)
    return cache[key]


def resolve_files(spec: SplitSpec, language: str, context: DataContext) -> tuple[Path, ...]:
    """The files of a spec (without overrides) in a language; MissingFileError.

    `{language}` and `{iso3}` are filled in; what `*` matches comes sorted by file name, as XTREME
    joins the treebanks of a language.
    """
    if not spec.files:
        return ()
    if context.root is None:
        raise InputError(
            f"needs {', '.join(spec.files)} but no data folder was given; "
            "pass --data DIR (`xstilts data ls` says what belongs there)"
        )
    with reading(context.root):
        there = context.root.is_dir()
    if not there:
        raise InputError(f"data folder {context.root} does not exist; pass --data DIR")
    files: list[Path] = []
    for pattern, found in find_files(spec, language, context):
        if not found:
            problem = "nothing matches" if "*" in pattern else "no file"
            raise MissingFileError(
                f"{problem} {pattern} in data folder {context.root}; "
                "`xstilts data check` lists all that is missing"
            )
        files += found
    return tuple(files)


def find_files(
    spec: SplitSpec, language: str, context: DataContext
) -> Iterator[tuple[str, tuple[Path, ...]]]:
    """Each file template of a spec (without overrides) filled in, and what of it is there."""
    fill = _filler(language, context)
    for template in spec.files:
        pattern = fill(template)
        if context.root is None:
            yield pattern, ()
        else:
            with reading(context.root / pattern):
                found = _matches(context.root, pattern)
            yield pattern, found


def _matches(root: Path, pattern: str) -> tuple[Path, ...]:
    if "*" not in pattern:
        return (root / pattern,) if (root / pattern).is_file() else ()
    above = root / pattern.partition("*")[0].rpartition("/")[0]
    if above.is_dir():
        os.listdir(above)  # glob passes over a folder that it may not read
    found = (path for path in root.glob(pattern) if path.is_file())
    return tuple(sorted(found, key=lambda path: (path.name, path)))


def select_part(examples: Sequence[Example], part: Part) -> list[Example]:
    """The examples of a part, in order; a fraction falls the same way for start and stop."""
    if part.unit == "row":
        return list(examples[_bounds(part, len(examples))])
    if part.unit != "group":
        raise InputError(f"part: unit '{part.unit}' is unknown; must be one of: row, group")
    groups: dict[str, None] = {}
    for example in examples:
        if example.group is None:
            raise InputError("part: unit is 'group', but the rows have no group; use unit: row")
        groups[example.group] = None
    chosen = frozenset(list(groups)[_bounds(part, len(groups))])
    return [example for example in examples if example.group in chosen]


def _read(
    spec: SplitSpec,
    language: str,
    labels: tuple[str, ...] | None,
    context: DataContext,
    report: ReadReport,
) -> list[Example]:
    if spec.reader not in READERS:
        names = ", ".join(sorted(READERS))
        raise InputError(f"reader '{spec.reader}' is unknown; must be one of: {names}")
    if not spec.files and not _needs_no_files(spec):
        raise InputError(f"reader '{spec.reader}' needs files, but the split names none")
    request = ReadRequest(
        files=resolve_files(spec, language, context),
        language=language,
        labels=labels,
        options=_options(spec, language, context),
        report=report,
        root=context.root,
    )
    examples = list(READERS[spec.reader](request))
    return examples if spec.part is None else select_part(examples, spec.part)


def _options(spec: SplitSpec, language: str, context: DataContext) -> Mapping[str, Any]:
    filled: Mapping[str, Any] = _filled(spec.options, _filler(language, context))
    if spec.reader == "world" and context.world_seed is not None:
        return {**filled, "world_seed": context.world_seed}
    return filled


def _needs_no_files(spec: SplitSpec) -> bool:
    return spec.reader in _WITHOUT_FILES or spec.options.get("reader") in _WITHOUT_FILES


def _filler(language: str, context: DataContext) -> Callable[[str], str]:
    def fill(template: str) -> str:
        text = template.replace("{language}", language)
        if "{iso3}" in text:
            if language not in context.language_iso3:
                raise InputError(
                    f"'{template}' needs a three-letter code; the table has none for '{language}'"
                )
            text = text.replace("{iso3}", context.language_iso3[language])
        return text

    return fill


def _filled(value: Any, fill: Callable[[str], str]) -> Any:
    """Options with the templates in their texts filled in (a column may be named by language)."""
    if isinstance(value, str):
        return fill(value)
    if isinstance(value, Mapping):
        return {key: _filled(entry, fill) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(entry, fill) for entry in value]
    return value


def _bounds(part: Part, count: int) -> slice:
    return slice(
        _border(part.start, count), None if part.stop is None else _border(part.stop, count)
    )


def _border(value: float | int, count: int) -> int:
    """A row number (negative: from the end) or, as a float from 0.0 to 1.0, a fraction."""
    if isinstance(value, int):
        return value
    if not 0.0 <= value <= 1.0:
        raise InputError(f"part: {value} is no fraction; must be from 0.0 to 1.0, or a row number")
    # Exact decimals: 0.29 * 100 is 28.999... in floating point.
    return int(Fraction(str(value)) * count)
