"""Records joined over seeds: one row per recipe and source set, one cell per target."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.canonical import digest
from harness.results.rows import Record, RowOf, group_rows, row_label
from harness.results.statistics import Spread, mean_and_spread


@dataclass(frozen=True, slots=True)
class Cell:
    """A score per seed, in percent. Cells are compared only where their `key` is equal.

    `above` of the `scored` scores (language x seed) beat their floor with 95 % confidence;
    `floor_languages` are those in which most seeds do not (over targets: on any of them).
    """

    per_seed: tuple[tuple[int, float], ...]
    languages: tuple[str, ...]
    key: str
    above: int
    scored: int
    floor_languages: tuple[str, ...] = ()
    comparable: bool = True
    best: bool = False

    @property
    def spread(self) -> Spread:
        """Mean, sd and range over the seeds."""
        return mean_and_spread(score for _, score in self.per_seed)

    @property
    def at_floor(self) -> bool:
        """True unless most of the scores beat their floor."""
        return 2 * self.above <= self.scored


@dataclass(frozen=True, slots=True)
class Row:
    """One recipe and source set: a cell per target (None: not defined), averages, costs."""

    name: str
    cells: Mapping[str, Cell | None]
    overall: Cell | None
    low_resource: Cell | None
    n_targets: int
    trainable_parameters: int  # the largest over the targets
    seconds: float  # wall seconds per target and seed


@dataclass(frozen=True, slots=True)
class Summary:
    """What `summary_table` prints and `summary_json` gives."""

    rows: tuple[Row, ...]
    targets: tuple[str, ...]
    seeds: tuple[int, ...]
    splits: Mapping[str, tuple[str, ...]]
    left_out: Mapping[str, tuple[str, ...]]  # target: languages that only some rows score zero-shot
    low_resource: tuple[str, ...]  # definitions in words; more than one only where records disagree


def summarise(
    records: Iterable[Record],
    *,
    row_of: RowOf = row_label,
    rows: Sequence[str] = (),
    targets: Sequence[str] = (),
) -> Summary:
    """Join records over seeds; `rows` and `targets` give an order to names that are there.

    Averages are over the languages that are zero-shot in every row, so that a row whose
    sources have the task in some language is compared with the others on the rest.
    """
    records = list(records)
    groups = group_rows(records, row_of, rows)
    seen = dict.fromkeys(r["target"]["name"] for r in records)
    names = tuple(dict.fromkeys([*(t for t in targets if t in seen), *seen]))
    by_target = {t: [r for r in records if r["target"]["name"] == t] for t in names}
    zero_shot = {t: common_languages(group, "zero_shot") for t, group in by_target.items()}
    joined = [_row(name, group, zero_shot) for name, group in groups.items()]
    overall = mark_best([row.overall for row in joined])
    low = mark_best([row.low_resource for row in joined])
    columns = {target: mark_best([row.cells[target] for row in joined]) for target in names}
    found = [
        replace(
            row,
            cells={target: column[i] for target, column in columns.items()},
            overall=overall[i],
            low_resource=low[i],
        )
        for i, row in enumerate(joined)
    ]
    definitions = (r["averages"]["low_resource_definition"] for r in records)
    return Summary(
        rows=tuple(found),
        targets=names,
        seeds=tuple(sorted({r["seed"] for r in records})),
        splits={
            t: tuple(dict.fromkeys(r["target"]["split"] for r in group))
            for t, group in by_target.items()
        },
        left_out={t: _left_out(group, zero_shot[t]) for t, group in by_target.items()},
        low_resource=tuple(dict.fromkeys(d["text"] for d in definitions if d)),
    )


def common_languages(records: Sequence[Record], average: str) -> tuple[str, ...]:
    """The languages of an average that all records of a target have in it, in their order."""
    blocks = [r["averages"][average] for r in records if r["averages"][average]]
    first = blocks[0]["languages"] if blocks else ()
    return tuple(c for c in first if all(c in block["languages"] for block in blocks))


def score_cell(
    records: Sequence[Record], average: str, languages: Sequence[str] = ()
) -> Cell | None:
    """The cell of one row and target; None where no record has the average.

    The mean is over `languages`; without any, over the languages of each record's own average.
    """
    have = sorted((r for r in records if r["averages"][average]), key=lambda r: int(r["seed"]))
    if not have:
        return None
    per_seed, key = [], list[Any]()
    marks: dict[str, list[bool]] = {}
    for record in have:
        codes = languages or record["averages"][average]["languages"]
        entries = [record["scores"][code] for code in codes]
        score = mean_and_spread(entry["score"] for entry in entries).mean
        per_seed.append((int(record["seed"]), score))
        for code, entry in zip(codes, entries, strict=True):
            marks.setdefault(code, []).append(entry["above_floor"]["beats"])
        # Where one of these differs, two means are not about the same thing.
        target = record["target"]
        key.append([record["seed"], target["split"], target["options"], sorted(codes)])
    return Cell(
        per_seed=tuple(per_seed),
        languages=tuple(marks),
        key=digest(key),
        above=sum(sum(beats) for beats in marks.values()),
        scored=sum(len(beats) for beats in marks.values()),
        floor_languages=tuple(c for c, beats in marks.items() if 2 * sum(beats) <= len(beats)),
    )


def mark_best(cells: Sequence[Cell | None]) -> list[Cell | None]:
    """The cells, the best of the largest comparable group marked, and what is outside it."""
    keys = [cell.key for cell in cells if cell]
    if not keys:
        return list(cells)
    main = max(dict.fromkeys(keys), key=keys.count)  # the first of equally large groups
    means = [round(cell.spread.mean, 1) for cell in cells if cell and cell.key == main]
    return [
        # Equal as printed is equally good; a best of one row says nothing.
        cell
        and replace(
            cell,
            comparable=cell.key == main,
            best=cell.key == main and len(means) > 1 and round(cell.spread.mean, 1) == max(means),
        )
        for cell in cells
    ]


def _row(name: str, records: Sequence[Record], languages: Mapping[str, Sequence[str]]) -> Row:
    cells, low = {}, {}
    for target, common in languages.items():
        group = [r for r in records if r["target"]["name"] == target]
        cells[target] = score_cell(group, "zero_shot", common)
        low[target] = _low_cell(group, common)
    defined = [cell for cell in cells.values() if cell]
    seconds = [r["costs"]["wall_seconds"] for r in records]
    return Row(
        name=name,
        cells=cells,
        overall=_over_targets(cells),
        low_resource=_over_targets(low),
        n_targets=len(defined),
        trainable_parameters=max(r["costs"]["trainable_parameters"] for r in records),
        seconds=math.fsum(seconds) / len(seconds),
    )


def _low_cell(records: Sequence[Record], common: Sequence[str]) -> Cell | None:
    # Low-resource languages are zero-shot ones: those of them that every row has.
    codes = [c for c in common_languages(records, "low_resource") if not common or c in common]
    return score_cell(records, "low_resource", codes) if codes else None


def _left_out(records: Sequence[Record], common: Sequence[str]) -> tuple[str, ...]:
    blocks = (r["averages"]["zero_shot"] for r in records)
    found = dict.fromkeys(c for block in blocks if block for c in block["languages"])
    return tuple(c for c in found if common and c not in common)


def _over_targets(cells: Mapping[str, Cell | None]) -> Cell | None:
    have = {t: cell for t, cell in cells.items() if cell}
    per_target = [dict(cell.per_seed) for cell in have.values()]
    # Only seeds that every target has: a mean over other targets per seed would not be a spread.
    seeds = sorted(set.intersection(*map(set, per_target))) if per_target else []
    if not seeds:
        return None
    return Cell(
        per_seed=tuple((s, math.fsum(t[s] for t in per_target) / len(per_target)) for s in seeds),
        languages=tuple(dict.fromkeys(c for cell in have.values() for c in cell.languages)),
        key=digest(sorted((t, cell.key) for t, cell in have.items())),
        above=sum(cell.above for cell in have.values()),
        floor_languages=tuple(dict.fromkeys(c for f in have.values() for c in f.floor_languages)),
        scored=sum(cell.scored for cell in have.values()),
    )
