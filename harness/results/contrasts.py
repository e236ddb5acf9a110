"""The questions of a suite, fixed before the run, answered seed by seed from its records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import InputError
from harness.results.rows import VARIANTS, Record, row_label
from harness.results.statistics import Spread, average_scores, mean_and_spread

if TYPE_CHECKING:
    from harness.catalog.sets import Contrast


@dataclass(frozen=True, slots=True)
class Answer:
    """Mean score of `better` minus that of `worse`, per seed, in percentage points.

    `at_floor`: on neither side most scores beat their floor, so the difference says nothing.
    `notes`: what a reader must know: sides without a record, languages that are not zero-shot.
    """

    contrast: Contrast
    variant: str  # backbone, device and, where it matters, setting, if the records differ in them
    per_seed: tuple[tuple[int, float], ...]
    languages: tuple[str, ...]
    worse_languages: tuple[str, ...]
    notes: tuple[str, ...]
    at_floor: bool

    @property
    def spread(self) -> Spread | None:
        """Mean, sd and range over the seeds; None where no seed has both sides."""
        return mean_and_spread(d for _, d in self.per_seed) if self.per_seed else None

    @property
    def agree(self) -> int:
        """In how many seeds `better` is better."""
        return sum(difference > 0 for _, difference in self.per_seed)


def difference_name(contrast: Contrast) -> str:
    """`better − worse`; with their languages where these differ."""
    better, worse = side_name(contrast.better), side_name(contrast.worse)
    if not contrast.worse_languages:
        return f"{better} − {worse}"
    high, low = (" ".join(codes) for codes in (contrast.languages, contrast.worse_languages))
    if contrast.better == contrast.worse:
        return f"{better}: {high} − {low}"
    return f"{better}: {high} − {worse}: {low}"


def side_name(side: Sequence[str]) -> str:
    """`recipe` or `recipe [source set]`, as rows are called in the tables."""
    return side[0] if len(side) == 1 else f"{side[0]} [{side[1]}]"


def answer_contrasts(contrasts: Iterable[Contrast], records: Iterable[Record]) -> list[Answer]:
    """Answers in the order of the contrasts; one per backbone and device where there are more."""
    records = list(records)
    backbone, setting, device = VARIANTS
    parts = [backbone, device]
    # A contrast may be between settings (full-ft's and adapters'); only where one side has several
    # would pairing across them be arbitrary.
    cells = Counter(
        (row_label(r), r["target"]["name"], r["seed"], backbone(r), device(r)) for r in records
    )
    if any(count > 1 for count in cells.values()):
        parts.append(setting)
    varied = [part for part in parts if len({part(r) for r in records}) > 1]
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(", ".join(part(record) for part in varied), []).append(record)
    return [
        _answer(contrast, variant, group)
        for contrast in contrasts
        for variant, group in (groups or {"": []}).items()
    ]


def _answer(contrast: Contrast, variant: str, records: Sequence[Record]) -> Answer:
    sides = [_by_seed(contrast, side, records) for side in (contrast.better, contrast.worse)]
    names = (side_name(contrast.better), side_name(contrast.worse))
    notes = [f"no record of {name}" for name, side in zip(names, sides, strict=True) if not side]
    seeds = sorted(set(sides[0]) & set(sides[1]))
    one_sided = sorted(set(sides[0]) ^ set(sides[1]))
    if not notes and one_sided:
        notes.append("one side only for seeds " + ", ".join(map(str, one_sided)))
    languages = contrast.languages or _common_zero_shot(
        [r for side in sides for r in side.values()]
    )
    over = (languages, contrast.worse_languages or languages)
    per_seed, marks = [], [0, 0]
    for seed in seeds:
        pair = list(zip((side[seed] for side in sides), over, strict=True))
        means = [_mean(contrast, record, codes) for record, codes in pair]
        per_seed.append((seed, means[0] - means[1]))
        for side, (record, codes) in enumerate(pair):
            marks[side] += sum(record["scores"][c]["above_floor"]["beats"] for c in codes)
    at_floor = all(2 * n <= len(seeds) * len(codes) for n, codes in zip(marks, over, strict=True))
    return Answer(
        contrast=contrast,
        variant=variant,
        per_seed=tuple(per_seed),
        languages=tuple(over[0]),
        worse_languages=tuple(over[1]),
        notes=(*notes, *dict.fromkeys(_not_zero_shot(sides, names, over))),
        at_floor=bool(per_seed) and at_floor,
    )


def _not_zero_shot(
    sides: Sequence[Mapping[int, Record]], names: Sequence[str], over: Sequence[Sequence[str]]
) -> Iterator[str]:
    for side, name, codes in zip(sides, names, over, strict=True):
        for record in side.values():
            block = record["averages"]["zero_shot"]
            for code in codes:
                if code not in (block["languages"] if block else ()):
                    yield f"{code} is not zero-shot for {name}"


def _by_seed(
    contrast: Contrast, side: Sequence[str], records: Sequence[Record]
) -> dict[int, Record]:
    found = [
        r
        for r in records
        if r["target"]["name"] == contrast.target and r["recipe"]["name"] == side[0]
    ]
    if len(side) > 1:
        found = [r for r in found if r["source_set"] and r["source_set"]["name"] == side[1]]
    result: dict[int, Record] = {}
    for record in found:
        if record["seed"] in result:
            raise InputError(
                f"contrast {contrast.name}: {side_name(side)} names {row_label(record)} and "
                f"{row_label(result[record['seed']])} of seed {record['seed']}; "
                "allowed are [recipe, source set] that one record matches"
            )
        result[record["seed"]] = record
    return result


def _common_zero_shot(records: Sequence[Record]) -> tuple[str, ...]:
    blocks = [r["averages"]["zero_shot"] for r in records]
    if not blocks or not all(blocks):
        return ()
    return tuple(c for c in blocks[0]["languages"] if all(c in b["languages"] for b in blocks))


def _mean(contrast: Contrast, record: Record, languages: Sequence[str]) -> float:
    scores = {code: float(entry["score"]) for code, entry in record["scores"].items()}
    try:
        mean = average_scores(scores, languages)
    except ValueError as error:
        raise InputError(
            f"contrast {contrast.name}: target {contrast.target}: {error}; "
            "allowed are languages of the target"
        ) from error
    if mean is None:
        raise InputError(
            f"contrast {contrast.name}: no language is zero-shot on both sides; name languages"
        )
    return mean
