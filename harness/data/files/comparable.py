"""Comparable corpora as BUCC publishes them: two files of `id TAB sentence`, one of gold pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.dataset import ReadRequest
from harness.data.examples import MiningExample
from harness.data.files.options import Options
from harness.data.files.rows import place, read_lines
from harness.errors import InputError

_OPTIONS: Mapping[str, Any] = {"gold": "given", "share": None}
_SIDES = ("foreign", "english")
Pairs = dict[tuple[str, str], None]  # in the order of the file


def read_comparable(request: ReadRequest) -> Iterator[MiningExample]:
    """Sentences of both corpora (files: foreign, English, gold pairs `foreign-id TAB english-id`).

    `gold: withheld` says that there is no third file. `share: [i, n]` keeps every n-th gold pair
    from the i-th (0-based) on, and of either corpus every n-th sentence without a partner: the n
    shares have no line in common. Pairs that have an id in common are one, so that none is lost.
    """
    options = Options("comparable", request.options, _OPTIONS)
    known = not options.withheld()
    if len(request.files) != 2 + known:
        got = ", ".join(map(str, request.files)) or "none"
        allowed = "3 files (foreign, English, gold)" if known else "2 files (foreign, English)"
        raise InputError(f"reader 'comparable' takes {allowed}, got: {got}")
    corpora = [_corpus(request, file) for file in request.files[:2]]
    pairs = _pairs(request, request.files[2], corpora) if known else {}
    names = [request.file_name(file) for file in request.files]
    gold = pairs if known else None
    yield from mining_examples(request.language, corpora, gold, names, share_of(options))


def mining_examples(
    language: str,
    corpora: list[dict[str, str]],
    gold: Pairs | None,
    names: Sequence[str],
    share: tuple[int, int] | None,
) -> Iterator[MiningExample]:
    """Two corpora (id to sentence: foreign, English) as examples, ids after their `names`."""
    pairs = gold or {}
    if share is not None:
        corpora, pairs = _divide(corpora, pairs, *share)
    partners: dict[str, list[str]] = {}
    for foreign, english in pairs:
        partners.setdefault(foreign, []).append(english)
    for side, name, corpus in zip(_SIDES, names, corpora, strict=False):
        for key, sentence in corpus.items():
            own = tuple(partners.get(key, ())) if side == "foreign" else ()
            yield MiningExample(
                id=f"{name}:{key}",
                language=language,
                group=None,
                key=key,
                side=side,
                sentence=sentence,
                partners=None if gold is None else own,
            )


def _corpus(request: ReadRequest, file: Path) -> dict[str, str]:
    """Id to sentence, in the file's order; the sentence as it stands, white space included."""
    corpus: dict[str, str] = {}
    for line in read_lines(file):
        key, tab, sentence = line.text.partition("\t")
        problem = line.problem
        if not tab or not key.strip():
            problem = problem or "no id before a TAB; a line is: id TAB sentence"
        elif not sentence.strip():
            problem = problem or f"id '{key}' has an empty sentence"
        elif key in corpus:
            problem = problem or f"id '{key}' stands here a second time"
        if problem:
            request.report.bad(place(file, line.number), problem)
        else:
            corpus[key] = sentence
    return corpus


def _pairs(request: ReadRequest, file: Path, corpora: list[dict[str, str]]) -> Pairs:
    pairs: Pairs = {}
    for line in read_lines(file):
        cells = tuple(cell.strip() for cell in line.text.split("\t"))
        problem = line.problem
        if len(cells) != 2:
            problem = problem or f"{len(cells)} columns, expected 2: foreign id TAB English id"
        elif cells in pairs:
            problem = problem or f"the pair {cells[0]}, {cells[1]} stands here a second time"
        else:
            for key, corpus, other in zip(cells, corpora, request.files, strict=False):
                if key not in corpus:
                    problem = problem or f"id '{key}' is not in {other}"
        if problem:
            request.report.bad(place(file, line.number), problem)
        else:
            pairs[cells[0], cells[1]] = None
    return pairs


def share_of(options: Options) -> tuple[int, int] | None:
    """The option `share`: (i, n), or None for the whole corpora."""
    value = options.value("share")
    if value is None:
        return None
    whole = isinstance(value, list | tuple) and len(value) == 2
    if not whole or not all(type(number) is int for number in value):
        raise options.bad("share", "[i, n], two whole numbers")
    index, of = value
    if not 0 <= index < of:
        raise options.bad("share", "[i, n] with i from 0 to n - 1")
    return index, of


def _divide(
    corpora: list[dict[str, str]], pairs: Pairs, index: int, of: int
) -> tuple[list[dict[str, str]], Pairs]:
    """One of `of` shares; pairs that are linked by ids go together."""
    kept: list[dict[str, str]] = []
    for corpus, groups in zip(corpora, _linked(pairs), strict=True):
        home = {key: group % of for key, group in groups.items()}
        free = (key for key in corpus if key not in home)
        home.update((key, number % of) for number, key in enumerate(free))
        kept.append({key: text for key, text in corpus.items() if home[key] == index})
    return kept, {pair: None for pair in pairs if pair[0] in kept[0]}


def _linked(pairs: Pairs) -> tuple[dict[str, int], dict[str, int]]:
    """Per side, id to the number of its group of linked pairs, numbered by their first pairs."""
    together: dict[tuple[int, str], list[tuple[int, str]]] = {}
    for pair in pairs:
        ends = [together.setdefault(end, [end]) for end in enumerate(pair)]
        few, many = sorted(ends, key=len)
        if few is not many:
            many.extend(few)
            together.update(dict.fromkeys(few, many))
    numbers: dict[int, int] = {}
    found: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for (side, key), group in together.items():
        found[side][key] = numbers.setdefault(id(group), len(numbers))
    return found
