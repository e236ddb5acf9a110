"""What the tables show, as plain dicts for scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.results.contrasts import Answer, answer_contrasts
from harness.results.rows import Record, RowOf, group_rows, row_label
from harness.results.statistics import Spread, mean_and_spread
from harness.results.summary import Cell, Summary, summarise

if TYPE_CHECKING:
    from harness.catalog.sets import Contrast


def summary_json(
    records: Iterable[Record],
    *,
    row_of: RowOf = row_label,
    rows: Sequence[str] = (),
    targets: Sequence[str] = (),
    seed_note: str = "",
    contrasts: Iterable[Contrast] = (),
    languages: bool = False,
) -> dict[str, Any]:
    """The data of summary_table and contrast_table as plain dicts; scores in percent, unrounded.

    With `languages`, that of per_language_table too: target to row to language.
    """
    records = list(records)
    summary = summarise(records, row_of=row_of, rows=rows, targets=targets)
    return {
        "seeds": list(summary.seeds),
        "seed_note": seed_note,
        "splits": {target: list(splits) for target, splits in summary.splits.items()},
        "left_out": {target: list(codes) for target, codes in summary.left_out.items()},
        "low_resource": list(summary.low_resource),
        "rows": [
            {
                "row": row.name,
                "targets": {t: _cell_json(row.cells[t]) for t in summary.targets},
                "average": _cell_json(row.overall),
                "low_resource": _cell_json(row.low_resource),
                "n_targets": row.n_targets,
                "trainable_parameters": row.trainable_parameters,
                "seconds": row.seconds,
            }
            for row in summary.rows
        ],
        "contrasts": [_answer_json(answer) for answer in answer_contrasts(contrasts, records)],
        **({"languages": _languages(records, summary, row_of, rows)} if languages else {}),
    }


def _languages(
    records: Sequence[Record], summary: Summary, row_of: RowOf, rows: Sequence[str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Target to row, named as in `rows`, to language; rows without the target are left out."""
    groups = group_rows(records, row_of, rows)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for target in summary.targets:
        for name, group in groups.items():
            chosen = sorted(
                (r for r in group if r["target"]["name"] == target), key=lambda r: int(r["seed"])
            )
            codes = dict.fromkeys(code for r in chosen for code in r["target"]["languages"])
            if chosen:
                found.setdefault(target, {})[name] = {
                    code: _language_json([r for r in chosen if code in r["scores"]], code)
                    for code in codes
                }
    return found


def _language_json(records: Sequence[Record], code: str) -> dict[str, Any]:
    entries: list[Mapping[str, Any]] = [r["scores"][code] for r in records]
    return {
        **_spread_json(mean_and_spread(entry["score"] for entry in entries)),
        "per_seed": {
            str(r["seed"]): entry["score"] for r, entry in zip(records, entries, strict=True)
        },
        "n": entries[0]["n"],
        "seen": entries[0]["seen"],
        "floor": entries[0]["floor"]["score"],
        "above_floor": sum(entry["above_floor"]["beats"] for entry in entries),
        "scored": len(entries),
    }


def _spread_json(spread: Spread) -> dict[str, Any]:
    return {"mean": spread.mean, "sd": spread.sd, "min": spread.min, "max": spread.max}


def _cell_json(cell: Cell | None) -> dict[str, Any] | None:
    if cell is None:
        return None
    return {
        **_spread_json(cell.spread),
        "per_seed": {str(seed): score for seed, score in cell.per_seed},
        "languages": list(cell.languages),
        "above_floor": cell.above,
        "scored": cell.scored,
        "at_floor": cell.at_floor,
        "floor_languages": list(cell.floor_languages),
        "comparable": cell.comparable,
        "best": cell.best,
    }


def _answer_json(answer: Answer) -> dict[str, Any]:
    contrast, spread = answer.contrast, answer.spread
    return {
        "name": contrast.name,
        "question": contrast.question,
        "target": contrast.target,
        "better": list(contrast.better),
        "worse": list(contrast.worse),
        "variant": answer.variant,
        "languages": list(answer.languages),
        "worse_languages": list(answer.worse_languages),
        **(_spread_json(spread) if spread else dict.fromkeys(("mean", "sd", "min", "max"))),
        "per_seed": {str(seed): difference for seed, difference in answer.per_seed},
        "agree": answer.agree,
        "at_floor": answer.at_floor,
        "notes": list(answer.notes),
    }
