"""Sets of id pairs: counts by hand; what is exported scores as the format scores it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.catalog import Catalog
from harness.data import MiningExample
from harness.errors import InputError
from harness.formats import BitextMining, Statistics
from harness.formats.scoring import precision_recall_f1
from harness.submission import FilePair, Row, score_task, xtreme_task
from harness.submission.pairs import Pairs, pair_statistics
from tests.submission.checker import problems

GOLD = [("de-1", "en-7"), ("de-2", "en-9"), ("de-2", "en-8"), ("de-4", "en-4")]
GIVEN = [("de-2", "en-9"), ("de-1", "en-7"), ("de-1", "en-7"), ("de-1", "en-9"), ("de-3", "en-1")]


def _scores(rows: Statistics) -> dict[str, float]:
    return precision_recall_f1(*rows.sum(axis=0))


def test_counts_are_per_first_id_and_of_sets() -> None:
    rows = pair_statistics(GIVEN, GOLD).tolist()
    # de-1: one of two right; de-2: one of one, two in gold; de-3: wrong; de-4: missed
    assert rows == [[1, 2, 1], [1, 1, 2], [0, 1, 0], [0, 0, 1]]


def test_scores_by_hand() -> None:
    scores = _scores(pair_statistics(GIVEN, GOLD))
    assert scores == pytest.approx({"f1": 50.0, "precision": 50.0, "recall": 50.0})
    some = _scores(pair_statistics(GIVEN, GOLD)[:2])
    assert some == pytest.approx({"f1": 200 / 3, "precision": 200 / 3, "recall": 200 / 3})
    one = _scores(pair_statistics(GIVEN, GOLD)[:1])
    assert one == pytest.approx({"f1": 200 / 3, "precision": 50.0, "recall": 100.0})


@pytest.mark.parametrize(("given", "gold"), [([], GOLD), (GIVEN, []), ([], [])])
def test_nothing_right_is_0(given: list[tuple[str, str]], gold: list[tuple[str, str]]) -> None:
    scores = _scores(pair_statistics(given, gold))
    assert scores == {"f1": 0.0, "precision": 0.0, "recall": 0.0}


def _corpora() -> list[MiningExample]:
    partners = {"de-01": ("en-07",), "de-02": ("en-09", "en-08"), "de-03": (), "de-04": ("en-04",)}
    foreign = [
        MiningExample(f"de:{key}", "de", None, key, "foreign", key, found)
        for key, found in partners.items()
    ]
    english = [
        MiningExample(f"en:{key}", "de", None, key, "english", key, ())
        for key in ("en-04", "en-07", "en-08", "en-09")
    ]
    return foreign + english


def test_what_is_exported_scores_as_the_format_scores_it(tmp_path: Path) -> None:
    task, examples = xtreme_task(Catalog.load(), "bucc2018"), _corpora()
    predictions = ["en-07", "en-08", "en-09", None, None, None, None, None]
    rows = [Row(one.id, found) for one, found in zip(examples, predictions, strict=True)]
    layout = Pairs()
    files = [tmp_path / side / "bucc2018" / "test-de.tsv" for side in ("gold", "pred")]
    texts = (layout.gold_text(examples, task), layout.predictions_text(rows, examples, task))
    for file, text in zip(files, texts, strict=True):
        file.parent.mkdir(parents=True)
        file.write_text(text)
    assert texts[1] == "de-01\ten-07\nde-02\ten-08\nde-03\ten-09\n"
    assert problems(tmp_path / "pred", {"bucc2018": ["de"]}) == []
    format_ = BitextMining()
    expected = format_.aggregate(format_.statistics(predictions, examples))
    assert expected["precision"] == pytest.approx(200 / 3) and expected["recall"] == 50.0
    found = score_task(task, [FilePair("de", *files)])
    assert found.averages == pytest.approx(expected, abs=1e-9, rel=0)
    assert found.score == pytest.approx(format_.task_score(expected), abs=1e-9, rel=0)


def test_no_pair_at_all_is_no_submission() -> None:
    task, examples = xtreme_task(Catalog.load(), "bucc2018"), _corpora()
    with pytest.raises(InputError, match="no pair was found"):
        Pairs().predictions_text([Row(one.id, None) for one in examples], examples, task)
