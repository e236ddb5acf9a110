"""Tables from records: what a run prints and the report shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tabulate import tabulate

from harness.results.contrasts import Answer, answer_contrasts, difference_name
from harness.results.rows import Record, RowOf, group_rows, row_label
from harness.results.statistics import Spread, mean_and_spread
from harness.results.summary import Cell, Summary, summarise

if TYPE_CHECKING:
    from harness.catalog.sets import Contrast

_UNDEFINED = "–"
_BEST = "*"
_FLOOR = "~"
_OTHER = "^"
_FLOOR_LEGEND = f"{_FLOOR} most of these scores do not beat their floor (chance or majority class)"
_CONFIDENT = "with 95 % confidence"
_SAME = "without ±: the same in every seed (nothing is trained)"
_LISTED = 5  # more languages than these are only counted


def summary_table(
    records: Iterable[Record],
    *,
    markdown: bool = False,
    row_of: RowOf = row_label,
    rows: Sequence[str] = (),
    targets: Sequence[str] = (),
    seed_note: str = "",
) -> str:
    """Rows: recipe x source set; columns: zero-shot average per target, over targets, costs."""
    summary = summarise(records, row_of=row_of, rows=rows, targets=targets)
    low = bool(summary.low_resource)
    header = [
        "recipe [source set]",
        *summary.targets,
        "average",
        *(["low-resource"] if low else []),
    ]
    body = [
        [
            row.name,
            *(_score(row.cells[t], summary.seeds) for t in summary.targets),
            _score(row.overall, summary.seeds),
            *([_score(row.low_resource, summary.seeds)] if low else []),
            str(row.n_targets),
            _count(row.trainable_parameters),
            _seconds(row.seconds),
        ]
        for row in summary.rows
    ]
    header += ["targets", "trainable", "seconds"]
    legend = _summary_legend(summary, seed_note, " ".join(c for line in body for c in line[1:]))
    return _table(header, body, legend, markdown, right=3)


def per_language_table(
    records: Iterable[Record],
    target: str,
    *,
    markdown: bool = False,
    row_of: RowOf = row_label,
    rows: Sequence[str] = (),
) -> str:
    """One target. Rows: recipe x source set; columns: languages, with the mean score over seeds."""
    chosen = [r for r in records if r["target"]["name"] == target]
    languages = list(dict.fromkeys(c for r in chosen for c in r["target"]["languages"]))
    body, marks = [], ""
    for name, group in group_rows(chosen, row_of, rows).items():
        cells = [_language_cell(group, code) for code in languages]
        marks += "".join(cells)
        body.append([name, *cells])
    seeds = sorted({r["seed"] for r in chosen})
    homes = dict.fromkeys(r["target"]["train_language"] for r in chosen)
    legend = [
        f"{target}, {_join(dict.fromkeys(r['target']['split'] for r in chosen))}: task score in "
        f"percent, {_seeds(seeds, 'mean')}; trained in {_join(homes)}",
        *([f"{_FLOOR_LEGEND} {_CONFIDENT}"] if _FLOOR in marks else []),
        *(["s: not zero-shot: a source has this task in this language"] if "s" in marks else []),
        *(["d: not zero-shot: the sources contain scored examples"] if "d" in marks else []),
    ]
    return _table(["recipe [source set]", *languages], body, legend, markdown)


def contrast_table(
    contrasts: Iterable[Contrast],
    records: Iterable[Record],
    *,
    markdown: bool = False,
    seed_note: str = "",
) -> str:
    """The suite's questions: difference per seed in points, its mean, seeds that agree."""
    answers = answer_contrasts(contrasts, records)
    variants = any(answer.variant for answer in answers)
    body = [
        [
            answer.contrast.name,
            *([answer.variant] if variants else []),
            answer.contrast.target,
            difference_name(answer.contrast),
            " ".join(_signed(d) for _, d in answer.per_seed) or _UNDEFINED,
            _difference(answer),
            f"{answer.agree} of {len(answer.per_seed)}" if answer.per_seed else _UNDEFINED,
        ]
        for answer in answers
    ]
    header = ["contrast", *(["variant"] if variants else []), "target", "better − worse"]
    header += ["per seed", "mean ± sd", "seeds > 0"]
    seeds = sorted({seed for answer in answers for seed, _ in answer.per_seed})
    legend = [
        f"differences of mean task scores in percentage points, {_seeds(seeds)}{_note(seed_note)}",
        *([f"{_FLOOR} on neither side most scores beat their floor {_CONFIDENT}"]
          if any(a.at_floor for a in answers) else []),
        *dict.fromkeys(
            f"{a.contrast.name}: {a.contrast.question} ({_compared_on(a)})" for a in answers
        ),
        *dict.fromkeys(f"{a.contrast.name}: {text}" for a in answers for text in a.notes),
    ]  # fmt: skip
    return _table(header, body, legend, markdown)


def _score(cell: Cell | None, seeds: Sequence[int]) -> str:
    if cell is None:
        return _UNDEFINED
    text = f"{cell.spread.mean:.1f}" if _is_same(cell) else _spread(cell.spread)
    if len(cell.per_seed) < len(seeds):
        text += f" (n={len(cell.per_seed)})"
    marks = (_BEST, cell.best), (_FLOOR, cell.at_floor), (_OTHER, not cell.comparable)
    shown = "".join(mark for mark, on in marks if on)
    return f"{text} {shown}".rstrip()


def _language_cell(records: Sequence[Record], code: str) -> str:
    entries = [r["scores"][code] for r in records if code in r["scores"]]
    if not entries:
        return _UNDEFINED
    spread = mean_and_spread(entry["score"] for entry in entries)
    beats = sum(entry["above_floor"]["beats"] for entry in entries)
    home = all(code == r["target"]["train_language"] for r in records)
    seen = {entry["seen"] for entry in entries} if not home else set()
    marks = (_FLOOR, 2 * beats <= len(entries)), ("s", "task" in seen), ("d", "data" in seen)
    shown = "".join(mark for mark, on in marks if on)
    return f"{spread.mean:.1f} {shown}".rstrip()


def _summary_legend(summary: Summary, seed_note: str, cells: str) -> list[str]:
    splits = (f"{target} {_join(names)}" for target, names in summary.splits.items())
    texts = {
        _BEST: "best of the rows with the same targets, split, languages and seeds",
        _OTHER: "other targets, split, languages or seeds than most rows: not compared with them",
        _UNDEFINED: "not defined for this recipe, or not run",
    }
    return [
        "zero-shot average of task scores over languages, in percent; "
        f"{_seeds(summary.seeds)}{_note(seed_note)}",
        "split: " + "; ".join(splits),
        *(
            f"{target}: without {_join(codes)}, where the sources of some row have the task"
            for target, codes in summary.left_out.items()
            if codes
        ),
        "average: mean over the row's targets; their number is under targets",
        *(f"low-resource: {text}" for text in summary.low_resource),
        "trainable: parameters, the largest of the row's targets; "
        "seconds: wall time per target and seed",
        *(f"{mark} {text}" for mark, text in texts.items() if mark in cells),
        *([f"{_FLOOR_LEGEND} {_CONFIDENT}"] if _FLOOR in cells else []),
        *_floor_lines(summary),
        *([_SAME] if any(_is_same(c) for row in summary.rows for c in row.cells.values()) else []),
    ]


def _floor_lines(summary: Summary) -> list[str]:
    """Per target, the languages in which a row does not beat the floor in most seeds."""
    lines = []
    for target in summary.targets:
        found = []
        for row in summary.rows:
            cell = row.cells[target]
            if cell and cell.floor_languages:
                few = len(cell.floor_languages) <= _LISTED
                which = " ".join(cell.floor_languages) if few else len(cell.floor_languages)
                found.append(f"{row.name} {which} of {len(cell.languages)}")
        if found:
            lines.append(f"{target}, languages not above their floor: " + "; ".join(found))
    return lines


def _is_same(cell: Cell | None) -> bool:
    return cell is not None and len(cell.per_seed) > 1 and cell.spread.sd == 0.0


def _table(
    header: Sequence[str],
    body: Sequence[Sequence[str]],
    legend: Sequence[str],
    markdown: bool,
    right: int = 0,
) -> str:
    if markdown:
        header, *body = [[_plain_markdown(cell) for cell in line] for line in (header, *body)]
        legend = [f"- {_plain_markdown(line)}" for line in legend]
    align = ["left"] * (len(header) - right) + ["right"] * right
    text = tabulate(
        body,
        headers=header,
        tablefmt="github" if markdown else "simple",
        disable_numparse=True,
        colalign=align if body else None,
    )
    return "\n".join([text, "", *legend]) + "\n"


def _plain_markdown(text: str) -> str:
    for special in "\\|*~^<`":
        text = text.replace(special, f"\\{special}")
    return text


def _spread(spread: Spread) -> str:
    return f"{spread.mean:.1f}" + ("" if spread.sd is None else f" ± {spread.sd:.1f}")


def _difference(answer: Answer) -> str:
    spread = answer.spread
    if spread is None:
        return _UNDEFINED
    sd = "" if spread.sd is None else f" ± {spread.sd:.1f}"
    return _signed(spread.mean) + sd + (f" {_FLOOR}" if answer.at_floor else "")


def _compared_on(answer: Answer) -> str:
    better, worse = _join(answer.languages), _join(answer.worse_languages)
    return (better if better == worse else f"{better} against {worse}") or "no languages"


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _seeds(seeds: Sequence[int], what: str = "mean ± sd") -> str:
    if not seeds:
        return "no seeds"
    if len(seeds) == 1:
        return f"one seed ({seeds[0]}), no spread"
    return f"{what} over {len(seeds)} seeds ({_join(seeds)})"


def _note(seed_note: str) -> str:
    return f"; seeds vary: {seed_note}" if seed_note else ""


def _join(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values)


def _count(number: int) -> str:
    for limit, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= limit:
            return f"{number / limit:.1f}{unit}"
    return str(number)


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}"
