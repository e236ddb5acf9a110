"""All nine metrics: bounds, order, perfect predictions, and a direct computation beside them."""

from __future__ import annotations

import json
import string
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from harness.catalog import Catalog
from harness.submission import FilePair, layout_of, score_task, xtreme_task

CATALOG = Catalog.load()
LANGUAGE = "de"
Rows = list[tuple[Any, Any]]  # gold and prediction of each example (None: unanswered)
UPOS = ["NOUN", "VERB", "SCONJ", "SYM", "INTJ", "X", "ADJ"]
IOB = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
WORDS = ["the", "Cat", "cat.", "die", "dog", "of", "...", "der", "a"]
_ids = st.tuples(st.integers(0, 5).map("de-{}".format), st.integers(0, 5).map("en-{}".format))


def _rows(row: st.SearchStrategy[Any], given_: st.SearchStrategy[Any] | None = None) -> Any:
    return st.lists(st.tuples(row, row if given_ is None else given_), min_size=1, max_size=8)


def _tagged(tags: list[str]) -> Any:
    pairs = st.lists(st.tuples(*[st.sampled_from(tags)] * 2), min_size=1, max_size=7)
    sentence = pairs.map(lambda rows: tuple([tag for tag, _ in rows]) + tuple(
        tag for _, tag in rows))  # fmt: skip
    return st.lists(
        sentence.map(lambda s: (s[: len(s) // 2], s[len(s) // 2 :])), min_size=1, max_size=6
    )


_text = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
_answers = _rows(st.lists(_text, min_size=1, max_size=3), st.none() | _text)
_indices = st.integers(1, 8).flatmap(
    lambda n: st.tuples(
        st.permutations(range(n)), st.lists(st.integers(0, n), min_size=n, max_size=n)
    ).map(lambda sides: list(zip(*sides, strict=True)))
)
# Two sets of pairs as rows: each pair of the union, and which of the two has it.
_pairs = st.tuples(*[st.sets(_ids, min_size=1, max_size=8)] * 2).map(
    lambda sets: [
        (pair if pair in sets[0] else None, pair if pair in sets[1] else None)
        for pair in sorted(sets[0] | sets[1])
    ]
)


# --- the official files, written anew here ---


def _lines(rows: Sequence[Any]) -> str:
    return "".join(f"{row}\n" for row in rows)


def _label_files(rows: Rows) -> tuple[str, str]:
    return _lines([g for g, _ in rows]), _lines([p for _, p in rows])


def _tag_files(rows: Rows) -> tuple[str, str]:
    return "\n".join(_lines(g) for g, _ in rows), "\n".join(_lines(p) for _, p in rows)


def _pair_files(rows: Rows) -> tuple[str, str]:
    sides = ([g for g, _ in rows if g], [p for _, p in rows if p])
    return _lines(["\t".join(g) for g in sides[0]]), _lines(["\t".join(p) for p in sides[1]])


def _answer_files(rows: Rows) -> tuple[str, str]:
    questions = [
        {"id": f"q{i}", "question": "?", "answers": [{"text": t, "answer_start": 0} for t in gold]}
        for i, (gold, _) in enumerate(rows)
    ]
    document = {"data": [{"paragraphs": [{"context": "", "qas": questions}]}]}
    answers = {f"q{i}": answer for i, (_, answer) in enumerate(rows) if answer is not None}
    return json.dumps(document), json.dumps(answers)


# --- the metrics, computed directly ---


def _accuracy(rows: Rows) -> dict[str, float]:
    return {"accuracy": 100 * sum(g == p for g, p in rows) / len(rows)}


def _sets(gold: set[Any], predicted: set[Any]) -> dict[str, float]:
    right = len(gold & predicted)
    if not right:
        return {"f1": 0.0, "precision": 0.0, "recall": 0.0}
    precision, recall = right / len(predicted), right / len(gold)
    f1 = 2 * precision * recall / (precision + recall)
    return {"f1": 100 * f1, "precision": 100 * precision, "recall": 100 * recall}


def _runs(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Maximal runs of one tag; a tag that begins with S is taken for a single-word chunk."""
    place = 0
    for tag, run in groupby(tags):
        length = len(list(run))
        if tag.startswith("S"):
            yield from ((tag, i, i) for i in range(place, place + length))
        else:
            yield tag, place, place + length - 1
        place += length


def _entities(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """An entity begins at B-X, and at I-X where no X goes on; it ends before the next word that is
    not I-X."""
    begin: int | None = None
    for i, tag in enumerate(tags):
        kind = tag[2:]
        goes_on = tag.startswith("I-") and begin is not None and tags[i - 1][2:] == kind
        if not goes_on:
            begin = None if tag == "O" else i
        if begin is not None:
            after = tags[i + 1] if i + 1 < len(tags) else "O"
            if after != f"I-{kind}":
                yield kind, begin, i


def _chunk_f1(find: Callable[[Sequence[str]], Any]) -> Callable[[Rows], dict[str, float]]:
    def compute(rows: Rows) -> dict[str, float]:
        sides = [
            {(number, *chunk) for number, row in enumerate(rows) for chunk in find(row[side])}
            for side in (0, 1)
        ]
        return _sets(sides[0], sides[1])

    return compute


def _pair_f1(rows: Rows) -> dict[str, float]:
    return _sets({g for g, _ in rows if g}, {p for _, p in rows if p})


def _span(articles: set[str]) -> Callable[[Rows], dict[str, float]]:
    def tokens(text: str) -> list[str]:
        words = [word.lower().strip(string.punctuation) for word in text.split()]
        return [word for word in words if word and word not in articles]

    def f1(given_: list[str], gold: list[str]) -> float:
        common = sum((Counter(given_) & Counter(gold)).values())
        return 2 * common / (len(given_) + len(gold)) if common else 0.0

    def compute(rows: Rows) -> dict[str, float]:
        exact = total = 0.0
        for golds, answer in rows:
            if answer is not None:
                exact += max(tokens(answer) == tokens(gold) for gold in golds)
                total += max(f1(tokens(answer), tokens(gold)) for gold in golds)
        return {"exact_match": 100 * exact / len(rows), "f1": 100 * total / len(rows)}

    return compute


@dataclass(frozen=True)
class Case:
    """A task's rows, its files, its metrics; whether a perfect prediction of rows can score."""

    rows: Any
    files: Callable[[Rows], tuple[str, str]]
    direct: Callable[[Rows], dict[str, float]]
    perfect: Callable[[Rows], Rows] = lambda rows: [(g, g) for g, _ in rows]


_LABELS = st.sampled_from(["entailment", "neutral", "contradiction"])
_ENGLISH, _GERMAN = {"a", "an", "the"}, {"der", "die", "das"}


def _answered(rows: Rows) -> Rows:
    """Right answers; golds that hold a word under every rule, since nothing scores no F1."""
    return [([*golds, "dog of"], "dog of") for golds, _ in rows]


CASES: Mapping[str, Case] = {
    "xnli": Case(_rows(_LABELS), _label_files, _accuracy),
    "pawsx": Case(_rows(st.sampled_from("01")), _label_files, _accuracy),
    "udpos": Case(_tagged(UPOS), _tag_files, _chunk_f1(_runs)),
    "panx": Case(_tagged(IOB), _tag_files, _chunk_f1(_entities)),
    "xquad": Case(_answers, _answer_files, _span(_ENGLISH), _answered),
    "tydiqa": Case(_answers, _answer_files, _span(_ENGLISH), _answered),
    "mlqa": Case(_answers, _answer_files, _span(_GERMAN), _answered),
    "bucc2018": Case(_pairs, _pair_files, _pair_f1, lambda rows: [(g, g) for g, _ in rows if g]),
    "tatoeba": Case(_indices, _label_files, _accuracy),
}


def _score(name: str, rows: Rows) -> dict[str, float]:
    task = xtreme_task(CATALOG, name)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / side for side in ("gold", "pred")]
        for path, text in zip(paths, CASES[name].files(rows), strict=True):
            path.write_text(text, encoding="utf-8")
        return dict(score_task(task, [FilePair(LANGUAGE, *paths)]).averages)


def _can_be_scored(rows: Rows) -> None:
    assume(any(prediction is not None for _, prediction in rows))


_SETTINGS = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("name", CASES)
@_SETTINGS
@given(data=st.data())
def test_metrics_equal_a_direct_computation(name: str, data: Any) -> None:
    rows = data.draw(CASES[name].rows)
    _can_be_scored(rows)
    found = _score(name, rows)
    assert found == pytest.approx(CASES[name].direct(rows), abs=1e-9, rel=0)
    assert all(0 <= value <= 100 + 1e-9 for value in found.values())


@pytest.mark.parametrize("name", CASES)
@_SETTINGS
@given(data=st.data())
def test_the_order_of_examples_does_not_matter(name: str, data: Any) -> None:
    rows = data.draw(CASES[name].rows)
    _can_be_scored(rows)
    shuffled = data.draw(st.permutations(rows))
    assert _score(name, shuffled) == pytest.approx(_score(name, rows), abs=1e-9, rel=0)


@pytest.mark.parametrize("name", CASES)
@_SETTINGS
@given(data=st.data())
def test_perfect_predictions_score_100(name: str, data: Any) -> None:
    rows = CASES[name].perfect(data.draw(CASES[name].rows))
    # Without a single entity there is nothing to be right about: F1 is 0 by definition.
    assume(name != "panx" or any(tag != "O" for tags, _ in rows for tag in tags))
    assert _score(name, rows) == pytest.approx(dict.fromkeys(_score(name, rows), 100.0), abs=1e-9)


@pytest.mark.parametrize("name", CASES)
@_SETTINGS
@given(data=st.data())
def test_a_task_is_the_mean_of_its_languages(name: str, data: Any) -> None:
    task = xtreme_task(CATALOG, name)
    parts = [data.draw(CASES[name].rows) for _ in range(2)]
    for rows in parts:
        _can_be_scored(rows)
    with tempfile.TemporaryDirectory() as folder:
        pairs = []
        for code, rows in zip(("de", "en"), parts, strict=True):
            paths = [Path(folder) / f"{code}-{side}" for side in ("gold", "pred")]
            for path, text in zip(paths, CASES[name].files(rows), strict=True):
                path.write_text(text, encoding="utf-8")
            pairs.append(FilePair(code, *paths))
        score = score_task(task, pairs)
    if name != "mlqa":  # whose rules differ by language
        direct = [CASES[name].direct(rows) for rows in parts]
        means = {metric: (direct[0][metric] + direct[1][metric]) / 2 for metric in direct[0]}
        assert score.averages == pytest.approx(means, abs=1e-9, rel=0)
    main = [score.averages[metric] for metric in layout_of(task).main]
    assert score.score == pytest.approx(sum(main) / len(main), abs=1e-9, rel=0)
