"""`xstilts data check --overlap`: training rows that are also scored, by target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tabulate import tabulate

from harness.catalog import Catalog
from harness.cli.data_markdown import markdown_table
from harness.data import Compared, Matrix

_LEGEND = """rows of a training or dev set, as the files have them, that a target also scores, in
any language: by id, by row of a parallel set, by normalised text; empty: none"""


def matrix_json(matrix: Matrix, catalog: Catalog) -> dict[str, Any]:
    """All counts; what is zero is left out."""
    return {
        "targets": [
            {
                "name": name,
                "rows": {
                    one.finding.split.language: one.rows
                    for one in matrix.scored
                    if one.rows and one.finding.split.split == "test"
                    and one.finding.split.owner == name
                },
            }
            for name in matrix.targets()
        ],
        "overlap": [
            {
                **_line(one, catalog),
                "fingerprint": one.fingerprint,
                "targets": {name: asdict(shared) for name, shared in one.shared.items()},
            }
            for one in matrix.trained
            if one.rows
        ],
    }  # fmt: skip


def matrix_table(matrix: Matrix, catalog: Catalog, *, as_markdown: bool) -> str:
    """A line per training set that could be read, a column per target that shares rows."""
    shared, none = overlapping(matrix)
    body = []
    for one in matrix.trained:
        if one.rows:
            line = _line(one, catalog)
            counts = [scored_rows(one, name) for name in shared]
            texts = (str(line[key]) for key in ("name", "split", "language"))
            body.append([*texts, f"{one.rows:,}", *(f"{n:,}" if n else "" for n in counts)])
    header = ["trains on", "split", "language", "rows", *shared]
    note = f"no training row of: {', '.join(none)}" if none else ""
    parts = [render(header, body, as_markdown, texts=3), "", _LEGEND, note]
    return "\n".join(parts).rstrip()


def overlapping(
    matrix: Matrix, lines: Sequence[Compared] | None = None
) -> tuple[list[str], list[str]]:
    """The targets that share a row with a training set (of `lines`), and those that do not."""
    chosen = matrix.trained if lines is None else lines
    found = {name: any(scored_rows(one, name) for one in chosen) for name in matrix.targets()}
    return [name for name in found if found[name]], [name for name in found if not found[name]]


def scored_rows(one: Compared, target: str) -> int:
    """How many rows of a training set the target scores."""
    return one.shared[target].rows.get("any", 0) if target in one.shared else 0


def render(
    header: Sequence[str], body: Sequence[Sequence[str]], as_markdown: bool, texts: int
) -> str:
    """A table whose first `texts` columns are text; names of targets break at hyphens."""
    if as_markdown:
        narrow = [*header[:texts], *(name.replace("-", "-<br>") for name in header[texts:])]
        return markdown_table(narrow, body, right=range(texts, len(header)))
    align = ["left"] * texts + ["right"] * (len(header) - texts)
    narrow = [name.replace("-", "-\n") for name in header]
    return tabulate(body, headers=narrow, colalign=align, disable_numparse=True)


def _line(one: Compared, catalog: Catalog) -> dict[str, Any]:
    split = one.finding.split
    return {
        "name": split.owner,
        "kind": "source" if split.owner in catalog.sources else "target",
        "split": split.split,
        "language": split.language,
        "rows": one.rows,
    }
