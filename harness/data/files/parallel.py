"""Bitext from two files whose lines are aligned: line i of one translates line i of the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

from harness.data.dataset import ReadRequest
from harness.data.examples import BitextExample
from harness.data.files.options import Options
from harness.data.files.rows import place, read_lines
from harness.errors import InputError

_OPTIONS: Mapping[str, Any] = {"group_namespace": "row", "english": "unsorted"}
_MANY = 50  # so many aligned English lines are not in the order of their letters by chance


def read_parallel(request: ReadRequest) -> Iterator[BitextExample]:
    """Bitext examples: the first file in the language, the second in English, line by line.

    `english: sorted` reads Tatoeba as XTREME lays it out, where line i of the sorted English file
    does not translate line i of the other: a third and a fourth file, LASER's aligned ones, are the
    gold. Examples come in the order of the foreign file, whose line numbers XTREME's labels are.
    Otherwise a sorted English file is refused, unless `english: aligned` vouches for it.
    """
    options = Options("parallel", request.options, _OPTIONS)
    namespace = options.text("group_namespace")
    english = options.choice("english", ("unsorted", "aligned", "sorted"))
    count = 4 if english == "sorted" else 2
    if len(request.files) != count:
        got = ", ".join(map(str, request.files)) or "none"
        more = ", then both aligned as LASER has them" if count > 2 else ""
        raise InputError(
            f"reader 'parallel' takes {count} files (language, then English{more}), got: {got}"
        )
    if english == "sorted":
        _check_shuffled(*request.files)
    elif english == "unsorted":
        _refuse_sorted(request.files[1])
    yield from _aligned(request, namespace, *request.files[-2:])


def _aligned(
    request: ReadRequest, namespace: str, foreign: Path, english: Path
) -> Iterator[BitextExample]:
    name = request.file_name(foreign)
    for row, (one, two) in enumerate(zip_longest(read_lines(foreign), read_lines(english))):
        if one is None or two is None:
            longer = foreign if two is None else english
            raise InputError(
                f"{foreign} and {english}: not aligned, since {longer} has more than {row} lines; "
                "both must have the same number of lines"
            )
        for file, line in ((foreign, one), (english, two)):
            problem = line.problem or ("empty sentence" if not line.text.strip() else None)
            if problem:
                request.report.bad(place(file, line.number), problem)
                break
        else:
            yield BitextExample(
                id=f"{name}:{row}",
                language=request.language,
                group=f"{namespace}:{row}",
                sentence=one.text,
                english=two.text,
            )


def _check_shuffled(foreign: Path, english: Path, gold_foreign: Path, gold_english: Path) -> None:
    """InputError unless the second pair has the lines of the first, its English side unsorted."""
    one, two = _texts(foreign), _texts(gold_foreign)
    if one != two:
        row = next((i for i, pair in enumerate(zip(one, two, strict=False)) if pair[0] != pair[1]),
                   min(len(one), len(two)))  # fmt: skip
        raise InputError(
            f"{place(foreign, row + 1)}: not what {gold_foreign} has there; its gold must be the "
            "same sentences in the same order"
        )
    # XTREME's preprocessing sorts by the stripped line; equal lines stay in order.
    one, two = _texts(english), sorted(_texts(gold_english))
    if one != two:
        raise InputError(
            f"{english}: not the sorted lines of {gold_english}; its gold must be the same "
            "sentences"
        )


def _refuse_sorted(english: Path) -> None:
    texts = _texts(english)
    ordered = all(a <= b for a, b in pairwise(texts))
    if len(texts) >= _MANY and ordered and texts[0] != texts[-1]:  # equal lines have no order
        raise InputError(
            f"{english}: its lines are sorted, so they can hardly be aligned with the other file's "
            "(XTREME hands Tatoeba out like that); give the aligned files of LASER, or option "
            "english: sorted and all four, or english: aligned"
        )


def _texts(file: Path) -> list[str]:
    return [line.text.strip() for line in read_lines(file)]
