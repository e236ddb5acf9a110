"""Scores equal those of XTREME's own scripts, on its mock submission and on damaged real gold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.data.examples import (
    Answer,
    BitextExample,
    PairExample,
    SpanExample,
    TaggingExample,
)
from harness.formats import SpanRules, get_format

CLOSE = 1e-9


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").split("\n")


def _sentences(path: Path) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    tags: list[str] = []
    for line in [*_lines(path), ""]:
        if line.strip():
            tags.append(line.strip())
        elif tags:
            found.append(tuple(tags))
            tags = []
    return found


def _tagging(gold: Path, prediction: Path, language: str) -> dict[str, float]:
    golds, given = _sentences(gold), _sentences(prediction)
    examples = [TaggingExample(str(i), language, None, t, t) for i, t in enumerate(golds)]
    format_ = get_format("tagging")
    return format_.aggregate(format_.statistics(given, examples))


def _pairs(gold: Path, prediction: Path, language: str) -> dict[str, float]:
    golds, given = (p.read_text("utf-8").split() for p in (gold, prediction))
    examples = [PairExample(str(i), language, None, "", "", g) for i, g in enumerate(golds)]
    format_ = get_format("pair_classification")
    return format_.aggregate(format_.statistics(given, examples))


def _retrieval(gold: Path, prediction: Path, language: str) -> dict[str, float]:
    golds, given = ([int(x) for x in p.read_text().split()] for p in (gold, prediction))
    examples = [BitextExample(str(i), language, None, "", "") for i in range(len(golds))]
    # files count rows of two orders, examples are aligned: right is where both files name one row
    aligned = [i if g == p else -1 for i, (g, p) in enumerate(zip(golds, given, strict=True))]
    format_ = get_format("bitext_retrieval")
    return format_.aggregate(format_.statistics(aligned, examples))


def _spans(gold: Path, prediction: Path, language: str, rules: str) -> dict[str, float]:
    given: dict[str, Any] = json.loads(prediction.read_text("utf-8"))
    examples = [
        SpanExample(
            qa["id"],
            language,
            None,
            qa["question"],
            paragraph["context"],
            tuple(Answer(a["text"], a["answer_start"]) for a in qa["answers"]),
            True,
        )
        for article in json.loads(gold.read_text("utf-8"))["data"]
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]
    format_ = get_format("span_qa").with_options(SpanRules(rules))  # type: ignore[attr-defined]
    statistics = format_.statistics([given.get(e.id, "") for e in examples], examples)
    for row, example in zip(statistics, examples, strict=True):
        if example.id not in given:  # an unanswered question scores 0, whatever its gold
            row[:] = 0.0
    scores: dict[str, float] = format_.aggregate(statistics)
    return scores


def _score(task: str, gold: Path, prediction: Path, language: str) -> dict[str, float]:
    if task in ("udpos", "panx"):
        return _tagging(gold, prediction, language)
    if task in ("xnli", "pawsx"):
        return _pairs(gold, prediction, language)
    if task == "tatoeba":
        return _retrieval(gold, prediction, language)
    return _spans(gold, prediction, language, "mlqa" if task == "mlqa" else "squad")


@pytest.mark.parametrize("task", ["udpos", "panx", "xnli", "pawsx", "xquad", "mlqa", "tatoeba"])
def test_parity_per_language(shared_data: Path, task: str) -> None:
    root = shared_data / "xtreme-parity"
    official = json.loads((root / "official_scores.json").read_text())[task]
    assert official
    for language, expected in official.items():
        (gold,) = (root / "labels" / task).glob(f"test-{language}.*")
        (prediction,) = (root / "predictions" / task).glob(f"test-{language}.*")
        scores = _score(task, gold, prediction, language)
        for metric, value in scores.items():
            assert value == pytest.approx(expected[metric], abs=CLOSE, rel=0), (language, metric)


@pytest.mark.parametrize(
    "task", ["udpos", "panx", "xnli", "pawsx", "xquad", "mlqa", "tydiqa", "tatoeba"]
)
def test_mock_submission_average(shared_data: Path, task: str) -> None:
    root = shared_data / "xtreme-official-mock"
    expected = json.loads((root / "expected_averages.json").read_text())[task]
    golds = sorted((root / "labels" / task).iterdir())
    scores = [
        _score(task, gold, root / "predictions" / task / gold.name, gold.stem.split("-")[1])
        for gold in golds
    ]
    for metric in scores[0]:
        average = sum(s[metric] for s in scores) / len(scores)
        assert average == pytest.approx(expected[f"avg_{metric}"], abs=CLOSE, rel=0)
