"""Sets of id pairs: counts by hand, resamples, nothing right."""

from __future__ import annotations

import pytest

from harness.formats import Statistics
from harness.formats.scoring import precision_recall_f1
from harness.submission.pairs import pair_statistics

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
