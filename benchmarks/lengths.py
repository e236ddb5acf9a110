"""Row lengths in subwords as XTREME's test rows have them, estimated from characters.

XLM-R's tokenizer is not at hand offline: a subword is taken as 4 characters, one of Chinese,
Japanese and Korean as 1.5; a word to be tagged has at least one. A question and its context are
one row, cut at the maximum (XTREME makes several windows of a longer one).
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Kind:
    """Rows of one shape: where they are, how many XTREME's test sets have, how long they may be."""

    maximum: int
    specials: int
    files: Mapping[str, int]  # pattern: rows in XTREME

    @property
    def rows(self) -> int:
        """In XTREME's test sets, all languages."""
        return sum(self.files.values())


KINDS = {
    "pairs": Kind(128, 4, {"xnli/test-*.tsv": 75_150, "pawsx/test-*.tsv": 14_000}),
    "tags": Kind(128, 2, {"panx/test-*.tsv": 262_300, "udpos/test-*.tsv": 99_666}),
    # of XQuAD, MLQA and TyDiQA; only the first is whole in the files at hand
    "questions": Kind(384, 4, {"xquad/xquad.*.json": 60_412}),
}
# Every 5th percentile of draws from such files, for where they are not: `python
# benchmarks/lengths.py DIR` prints them.
# fmt: off
QUANTILES: dict[str, tuple[int, ...]] = {
    "pairs": (6, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 39, 41, 44, 47, 50, 54, 57, 63, 72, 128),
    "tags": (3, 7, 7, 8, 8, 9, 9, 10, 10, 11, 12, 13, 14, 16, 18, 20, 23, 27, 34, 46, 128),
    "questions": (41, 108, 130, 143, 154, 162, 169, 176, 185, 193, 202, 211, 220, 232, 244, 261,
                  280, 305, 332, 373, 384),
}
# fmt: on
_EAST_ASIAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def shares(rows: int) -> dict[str, int]:
    """So many rows in all, by kind, in XTREME's proportions."""
    total = sum(kind.rows for kind in KINDS.values())
    return {name: max(1, round(rows * kind.rows / total)) for name, kind in KINDS.items()}


def lengths(name: str, count: int, folder: Path | None, seed: int = 0) -> list[int]:
    """Lengths of `count` rows in random order: of rows in the files, or by the quantiles.

    A task is drawn by its rows in XTREME, then one of its files (a language each), then a row.
    """
    rng = random.Random(f"{name}/{seed}")
    if folder is None:
        return [_between(QUANTILES[name], rng.random()) for _ in range(count)]
    kind = KINDS[name]
    tasks = [_task(folder, pattern, kind) for pattern in kind.files]
    drawn = rng.choices(tasks, weights=list(kind.files.values()), k=count)
    return [rng.choice(rng.choice(task)) for task in drawn]


def subwords(text: str) -> int:
    """About how many subwords XLM-R cuts a text into."""
    east_asian = len(_EAST_ASIAN.findall(text))
    return max(1, round(east_asian / 1.5 + (len(text) - east_asian) / 4))


def _task(folder: Path, pattern: str, kind: Kind) -> list[list[int]]:
    """The lengths of all rows, by file."""
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise SystemExit(f"{folder}: no {pattern}; leave --data out for stored quantiles")
    return [
        [min(kind.maximum, kind.specials + sum(map(subwords, texts))) for texts in _rows(path)]
        for path in paths
    ]


def _rows(path: Path) -> Iterator[list[str]]:
    """The texts of each row: two, or the words of a sentence."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        for article in json.loads(text)["data"]:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    yield [question["question"], paragraph["context"]]
    elif path.parent.name in ("panx", "udpos"):
        for sentence in text.replace("\r", "").split("\n\n"):
            if sentence.strip():
                yield [line.split("\t")[0] for line in sentence.strip("\n").split("\n")]
    else:
        for line in text.replace("\r", "").strip("\n").split("\n"):
            yield line.split("\t")[:2]


def _between(quantiles: tuple[int, ...], place: float) -> int:
    """The value at a place from 0 to 1, on straight lines between the quantiles."""
    position = place * (len(quantiles) - 1)
    low = min(int(position), len(quantiles) - 2)
    rest = position - low
    return round(quantiles[low] * (1 - rest) + quantiles[low + 1] * rest)


def quantiles(found: list[int]) -> tuple[int, ...]:
    """Every 5th percentile."""
    ordered = sorted(found)
    return tuple(ordered[round(place * (len(ordered) - 1) / 20)] for place in range(21))


if __name__ == "__main__":
    import sys

    for one in KINDS:
        print(one, quantiles(lengths(one, 100_000, Path(sys.argv[1]))))
