"""Comparable corpora on the hub: one row holds both corpora and the gold pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.data.dataset import ReadRequest
from harness.data.examples import MiningExample
from harness.data.files.comparable import Pairs, mining_examples, share_of
from harness.data.files.options import Options
from harness.data.files.rows import RowProblem, list_of, text_of
from harness.data.hub_table import Place, rows
from harness.errors import InputError


def read_mining(
    request: ReadRequest, options: Options, place: Place, columns: Mapping[str, str]
) -> Iterator[MiningExample]:
    """Sentences of both corpora; ids are made of their line numbers, which gold pairs name.

    A malformed sentence or pair is what a malformed line is in a file: refused, or skipped.
    """
    found = list(rows(place, tuple(columns.values()), {}))
    if len(found) != 1:
        raise InputError(f"{place}: {len(found)} rows; expected one with both corpora")
    (row,) = found
    try:
        lists = {name: list_of(row[column], column) for name, column in columns.items()}
    except RowProblem as problem:
        raise InputError(f"{place}: {problem}") from problem
    codes = {"foreign": request.language, "english": "en"}
    corpora = [
        _corpus(request, f"{place}, {columns[side]}", code, lists[side])
        for side, code in codes.items()
    ]
    gold = _pairs(request, f"{place}, {columns['gold']}", list(codes.values()), lists["gold"],
                  corpora)  # fmt: skip
    names = [f"{place.row_prefix}/{side}" for side in codes]
    yield from mining_examples(request.language, corpora, gold, names, share_of(options))


def _corpus(
    request: ReadRequest, where: str, code: str, sentences: Sequence[Any]
) -> dict[str, str]:
    """Id to sentence, as it stands; the number in an id is the line's."""
    corpus: dict[str, str] = {}
    for number, sentence in enumerate(sentences, start=1):
        try:
            if not text_of(sentence, "sentence").strip():
                raise RowProblem("empty sentence")
        except RowProblem as problem:
            request.report.bad(f"{where} {number}", str(problem))
            continue
        corpus[_id(code, number)] = sentence
    return corpus


def _pairs(
    request: ReadRequest,
    where: str,
    codes: Sequence[str],
    gold: Sequence[Any],
    corpora: Sequence[Mapping[str, str]],
) -> Pairs:
    pairs: Pairs = {}
    for number, numbers in enumerate(gold, start=1):
        problem = None
        if not isinstance(numbers, list) or [type(n) for n in numbers] != [int, int]:
            problem = f"gold pair {numbers} is not two line numbers, foreign and English"
        else:
            one, two = (_id(code, n) for code, n in zip(codes, numbers, strict=True))
            if one not in corpora[0] or two not in corpora[1]:
                problem = f"gold pair {numbers} is beyond the corpora"
        if problem:
            request.report.bad(f"{where} {number}", problem)
        else:
            pairs[one, two] = None
    return pairs


def _id(code: str, number: int) -> str:
    return f"{code}-{number:09d}"
