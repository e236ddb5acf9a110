"""`xstilts data check --sources`: the table of all sources."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.catalog import Catalog, Source
from harness.cli.data_overlap import overlapping, render, scored_rows
from harness.data import Compared, Matrix, left_out

_BAD = "bad_rows_skipped"
_TOLD = (_BAD, "answers_mended", "answers_dropped")
_NON_COMMERCIAL = re.compile(r"\bNC\b|non-?commercial|research", re.IGNORECASE)
_MARK = "†"
_LEGEND = f"""{_MARK} no commercial use. Rows as the files have them; "of": the published split is
larger than what is read here. What was set aside counts in the whole files, also where a split is a
part of them. Under targets: training rows + dev rows that are also scored, in any language."""


def sources_json(matrix: Matrix, catalog: Catalog) -> list[dict[str, Any]]:
    """A row per source, also of those whose files are missing."""
    found: dict[str, dict[str, Compared]] = {}
    for one in matrix.trained:
        found.setdefault(one.finding.split.owner, {})[one.finding.split.split] = one
    return [
        _row(catalog.source(name), sets, matrix, catalog)
        for name, sets in found.items()
        if name in catalog.sources
    ]


def sources_table(matrix: Matrix, catalog: Catalog, *, as_markdown: bool) -> str:
    """In Markdown a table per task, so that a hundred sources stay readable."""
    rows = sources_json(matrix, catalog)
    lines = [one for one in matrix.trained if one.finding.split.owner in catalog.sources]
    targets, none = overlapping(matrix, lines)
    notes = [_LEGEND, f"No row of a source is scored by: {', '.join(none)}" if none else ""]
    legend = "\n".join(filter(None, notes))
    if not as_markdown:
        header = [
            "source",
            "task",
            "language",
            "family",
            "format",
            "train",
            "dev",
            "rows",
            "licence",
        ]
        body = [
            [row["name"], row["task"], row["language_name"], row["family"], row["format"],
             *_cells(row, targets)]
            for row in rows
        ]  # fmt: skip
        return f"{render([*header, *targets], body, False, texts=len(header))}\n\n{legend}"
    parts = []
    for task in dict.fromkeys(row["task"] for row in rows):
        chosen = [row for row in rows if row["task"] == task]
        formats = ", ".join(dict.fromkeys(row["format"] for row in chosen))
        here = [name for name in targets if any(name in row["overlap"] for row in chosen)]
        header = [
            "source",
            "language",
            "family",
            "train",
            "dev",
            "set aside or mended",
            "licence",
            *here,
        ]
        body = [
            [f"`{row['name']}`", row["language_name"], row["family"], *_cells(row, here)]
            for row in chosen
        ]
        parts.append(f"### {task} ({formats})\n\n{render(header, body, True, texts=7)}\n")
    return "\n".join([*parts, legend])


def _row(
    source: Source, sets: Mapping[str, Compared], matrix: Matrix, catalog: Catalog
) -> dict[str, Any]:
    language = catalog.language(source.language)
    declared = {} if source.size is None else {"train": source.size.train, "dev": source.size.dev}
    overlap = {
        name: {split: count for split, one in sets.items() if (count := scored_rows(one, name))}
        for name in matrix.targets()
    }
    return {
        "name": source.name,
        "task": source.task,
        "language": source.language,
        "language_name": language.name,
        "family": language.family,
        "format": source.format,
        "licence": source.licence,
        "non_commercial": _NON_COMMERCIAL.search(source.licence) is not None,
        "stand_in": source.stand_in,
        "missing": any(one.finding.missing for one in sets.values()),
        "wrong": [one.finding.problem for one in sets.values() if one.finding.problem],
        "rows": {split: one.rows for split, one in sets.items()},
        "published": {split: count for split, count in declared.items() if count},
        "counts": {split: dict(one.counts) for split, one in sets.items()},
        "part_of_files": {split: _is_part(one) for split, one in sets.items()},
        "files_shared": _files(sets["train"]) == _files(sets["dev"]),
        "overlap": {name: counts for name, counts in overlap.items() if counts},
    }


def _files(one: Compared) -> list[str]:
    return sorted(
        file for code, spec in one.finding.split.parts
        for piece in spec.pieces(code) for file in piece.files
    )  # fmt: skip


def _is_part(one: Compared) -> bool:
    """Whether it takes some rows of a file only."""
    return any(
        piece.part is not None for code, spec in one.finding.split.parts
        for piece in spec.pieces(code)
    )  # fmt: skip


def _cells(row: Mapping[str, Any], targets: Sequence[str]) -> list[str]:
    mark = f" {_MARK}" if row["non_commercial"] else ""
    return [
        _size(row, "train"), _size(row, "dev"), _befell(row), f"{row['licence']}{mark}",
        *(_overlap(row["overlap"].get(name, {})) for name in targets),
    ]  # fmt: skip


def _size(row: Mapping[str, Any], split: str) -> str:
    """Rows that are here, and of how many that are published, where that is more.

    Published rows that were set aside are here, too; how many of them are in a part of a file
    nobody counts.
    """
    rows, published, counts = (
        row["rows"][split],
        row["published"].get(split, 0),
        row["counts"][split],
    )
    read = rows
    if not row["part_of_files"][split]:
        read += counts.get(_BAD, 0) + sum(left_out(counts).values())
    if read < published:
        return f"{rows:,} of {published:,}" if rows else f"none of {published:,}"
    return f"{rows:,}" if rows else "missing" if row["missing"] else "wrong"


def _befell(row: Mapping[str, Any]) -> str:
    """What happened to rows; once where train and dev are parts of the same files."""
    train, dev = (_told(row["counts"][split]) for split in ("train", "dev"))
    if row["files_shared"]:
        return train
    return "; ".join(text for text in (train, f"dev: {dev}" if dev else "") if text)


def _told(counts: Mapping[str, int]) -> str:
    told = {name: counts[name] for name in _TOLD if counts.get(name)} | left_out(counts)
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in told.items())


def _overlap(counts: Mapping[str, int]) -> str:
    train, dev = counts.get("train", 0), counts.get("dev", 0)
    if not train and not dev:
        return ""
    return f"{train:,} + {dev:,}" if dev else f"{train:,}"
