"""Scores equal those of XTREME's own scripts, on its mock submission and on damaged real gold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.submission.conftest import Command

CLOSE = 1e-9


def test_mock_submission(shared_data: Path, xstilts: Command) -> None:
    root = shared_data / "xtreme-official-mock"
    expected = json.loads((root / "expected_averages.json").read_text())
    folders = ("--gold", root / "labels", "--pred", root / "predictions")
    found = xstilts("score", "--all", "--json", *folders).json
    assert set(found["tasks"]) == set(expected) and len(expected) == 9
    for task, averages in expected.items():
        got = {key: v for key, v in found["tasks"][task].items() if key.startswith("avg_")}
        assert got == pytest.approx(averages, abs=CLOSE, rel=0), task

    # The averages of averages, by hand from the expected ones.
    def task_score(task: str) -> float:
        averages = expected[task]
        if "avg_exact_match" in averages:
            return float(averages["avg_exact_match"] + averages["avg_f1"]) / 2
        return float(averages.get("avg_f1", averages.get("avg_accuracy")))

    groups = {
        "classification": ("xnli", "pawsx"),
        "tagging": ("udpos", "panx"),
        "qa": ("xquad", "mlqa", "tydiqa"),
        "retrieval": ("bucc2018", "tatoeba"),
    }
    means = {name: sum(map(task_score, tasks)) / len(tasks) for name, tasks in groups.items()}
    assert found["groups"] == pytest.approx(means, abs=CLOSE, rel=0)
    overall = sum(map(task_score, expected)) / 9
    assert found["all_task"] == pytest.approx(overall, abs=CLOSE, rel=0)
    assert list(found["groups"]) == list(groups)


TASKS = ["udpos", "panx", "xnli", "pawsx", "xquad", "mlqa", "tatoeba", "bucc2018"]


def _official(root: Path, task: str) -> dict[str, dict[str, float]]:
    scores: dict[str, dict[str, float]] = json.loads((root / "official_scores.json").read_text())[
        task
    ]
    assert scores
    return scores


def _metrics(language: dict[str, Any]) -> dict[str, Any]:
    counts = ("n", "unanswered", "repeated")
    return {key: value for key, value in language.items() if key not in counts}


@pytest.mark.parametrize("task", TASKS)
def test_parity_of_a_task(shared_data: Path, xstilts: Command, task: str) -> None:
    root = shared_data / "xtreme-parity"
    folders = ("--gold", root / "labels", "--pred", root / "predictions" / task)
    found = xstilts("score", task, "--json", *folders).json
    official = _official(root, task)
    assert set(found["languages"]) == set(official)
    for code, expected in official.items():
        got = _metrics(found["languages"][code])
        assert got == pytest.approx(expected, abs=CLOSE, rel=0), code
    assert "|version:" in found["signature"]


@pytest.mark.parametrize("task", TASKS)
def test_parity_of_a_file(shared_data: Path, xstilts: Command, tmp_path: Path, task: str) -> None:
    root = shared_data / "xtreme-parity"
    code, expected = list(_official(root, task).items())[-1]
    files = []
    for side in ("labels", "predictions"):
        (file,) = (root / side / task).glob(f"test-{code}.*")
        files.append(tmp_path / side)  # a name that says nothing
        files[-1].write_bytes(file.read_bytes())
    options = ("--gold", files[0], "--pred", files[1], "--lang", code)
    found = xstilts("score", task, "--json", *options).json
    (got,) = found["languages"].values()
    assert _metrics(got) == pytest.approx(expected, abs=CLOSE, rel=0)


def test_partial_gives_no_average_of_what_is_incomplete(
    shared_data: Path, xstilts: Command
) -> None:
    root = shared_data / "xtreme-parity"
    folders = ("--gold", root / "labels", "--pred", root / "predictions")
    found = xstilts("score", "--all", "--partial", "--json", *folders).json
    assert found["all_task"] is None
    groups = found["groups"]
    assert groups["tagging"] is None and groups["qa"] is None and groups["retrieval"] is None
    scores = [
        sum(one["accuracy"] for one in _official(root, task).values()) / count
        for task, count in (("xnli", 15), ("pawsx", 7))
    ]
    assert groups["classification"] == pytest.approx(sum(scores) / 2, abs=CLOSE, rel=0)
    assert not found["tasks"]["xquad"]["official_languages"]
    assert found["tasks"]["xnli"]["official_languages"]


def test_the_gold_stands_in_the_signature(
    shared_data: Path, xstilts: Command, tmp_path: Path
) -> None:
    root = shared_data / "xtreme-official-mock"
    gold = root / "labels/xnli/test-de.tsv"
    other = tmp_path / "test-de.tsv"
    other.write_text(gold.read_text().replace("neutral", "entailment"))
    pred = ("--pred", root / "predictions/xnli/test-de.tsv", "--json")
    signatures = [
        xstilts("score", "xnli", "--gold", f, *pred).json["signature"] for f in (gold, other)
    ]
    parts = [dict(part.split(":", 1) for part in text.split("|")) for text in signatures]
    assert parts[0].pop("gold") != parts[1].pop("gold")
    assert parts[0] == parts[1]
    assert parts[0]["task"] == "xnli"


def test_tables_name_what_stands_in_them(shared_data: Path, xstilts: Command) -> None:
    root = shared_data / "xtreme-official-mock"
    folders = ("--gold", root / "labels", "--pred", root / "predictions")
    whole = xstilts("score", "--all", *folders)
    assert whole.code == 0
    assert "udpos" in whole.out and "70.22" in whole.out and "all tasks" in whole.out
    one = xstilts("score", "mlqa", *folders)
    assert "span_qa.normalisation:mlqa" in one.out and "69.46" in one.out
    some = root.parent / "xtreme-parity"
    few = xstilts("score", "xquad", "--gold", some / "labels", "--pred", some / "predictions")
    assert "2 of its 11 languages are not here (th, tr)" in few.out
    assert "warning: xquad (ar): 1 question is unanswered and scores 0" in few.err
    assert "warning: xquad (de): 5 questions are unanswered and score 0" in few.err
