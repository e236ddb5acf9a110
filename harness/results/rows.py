"""Which records stand in one row of a table: equal but for target and seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from harness.errors import InputError

Record = Mapping[str, Any]
RowOf = Callable[[Record], str]

# What a table never mixes, whatever its rows are: backbone, setting, device.
VARIANTS: tuple[RowOf, ...] = (
    lambda r: str(r["backbone"]["name"]),
    lambda r: str(r["setting"]["name"]),
    lambda r: f"{r['numerics']['device']} {r['numerics']['dtype']}",
)


def row_label(record: Record) -> str:
    """The default name of a record's row: `recipe [source set]`, or `recipe` without sources."""
    sources = record["source_set"]
    name = str(record["recipe"]["name"])
    return f"{name} [{sources['name']}]" if sources else name


def group_rows(
    records: Iterable[Record], row_of: RowOf = row_label, rows: Sequence[str] = ()
) -> dict[str, list[Record]]:
    """Records by row, in the order of `rows`, then of first appearance.

    Backbone, setting and device are added to the name where the records differ in them; two records
    of one row, target and seed are an InputError: their mean would pass for one over seeds.
    """
    records = list(records)
    varied = [part for part in VARIANTS if len({part(r) for r in records}) > 1]
    order = {name: index for index, name in enumerate(rows)}
    # A stable sort: what `rows` does not name keeps its order, at the end.
    records.sort(key=lambda r: order.get(row_of(r), len(order)))
    found: dict[str, list[Record]] = {}
    taken: dict[tuple[str, str, int], str] = {}
    for record in records:
        name = ", ".join([row_of(record), *(part(record) for part in varied)])
        place = (name, record["target"]["name"], record["seed"])
        if place in taken:
            raise InputError(
                f"row {name}: two records for target {place[1]} and seed {place[2]} "
                f"({taken[place][:12]}, {record['id'][:12]}); give them rows of their own"
            )
        taken[place] = record["id"]
        found.setdefault(name, []).append(record)
    return found
