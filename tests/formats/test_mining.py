"""Mining against the official code's output, a naive implementation, and by its properties."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.catalog import SplitSpec
from harness.data import DataContext, MiningExample, load_split
from harness.errors import InputError, WorkError
from harness.formats import BitextMining, EncodeOptions, Feature, get_format
from harness.formats.mining import Pairs, best_threshold, mine, neighbours
from tests.mining import naive_mine, naive_neighbours, official_threshold

OPTIONS = EncodeOptions()
SIDES = ("foreign", "english")


# Whole numbers: sums are exact in any order, so that ties are ties.
def vectors(rows: int = 20) -> st.SearchStrategy[Any]:
    shape = st.tuples(st.integers(1, rows), st.just(3))
    return arrays.arrays(np.float32, shape, elements=st.integers(-3, 3).map(float))


@settings(deadline=None)
@given(x=vectors(), y=vectors(), k=st.integers(1, 6), blocks=st.tuples(*[st.integers(1, 300)] * 2))
def test_neighbours_are_the_naive_ones_ties_included(
    x: Any, y: Any, k: int, blocks: tuple[int, int]
) -> None:
    found = neighbours(x, y, k, normalise=False, blocks=blocks)
    for side, expected in zip(
        found, (naive_neighbours(x, y, k), naive_neighbours(y, x, k)), strict=True
    ):
        assert [
            list(zip(*row, strict=True))
            for row in zip(side.similarity.tolist(), side.index.tolist(), strict=True)
        ] == expected


@pytest.mark.parametrize("order", ["random", "ascending", "descending", "equal"])
@pytest.mark.parametrize("blocks", [(7, 11), (128, 128), (256, 1000), (4096, 4096)])
def test_blocks_do_not_matter(order: str, blocks: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    y = random.integers(-9, 9, size=(700, 8)).astype(np.float32)
    x = random.integers(-9, 9, size=(300, 8)).astype(np.float32)
    if order == "equal":
        y[:] = y[0]
    elif order != "random":  # every block beats, or none, what came before
        y = y[np.argsort(y @ x[0] * (1 if order == "ascending" else -1), kind="stable")]
    products = x.astype(np.float64) @ y.T.astype(np.float64)
    for side, own in zip(
        neighbours(x, y, 5, normalise=False, blocks=blocks), (products, products.T), strict=True
    ):
        expected = np.argsort(-own, axis=1, kind="stable")[:, :5]
        np.testing.assert_array_equal(side.index, expected)
        np.testing.assert_array_equal(side.similarity, np.take_along_axis(own, expected, 1))


@settings(deadline=None)
@given(n=st.integers(1, 40), m=st.integers(1, 40), seed=st.integers(0, 10**6), k=st.integers(1, 5))
def test_mining_is_the_naive_one(n: int, m: int, seed: int, k: int) -> None:
    random = np.random.default_rng(seed)
    # Positive, as sentence vectors nearly are: next to a mean of 0 rounding decides everything.
    x, y = (random.uniform(0.1, 1, size=(size, 6)).astype(np.float32) for size in (n, m))
    pairs, expected = mine(x, y, k), naive_mine(x, y, k)
    got = list(zip(pairs.foreign.tolist(), pairs.english.tolist(), strict=True))
    assert got == [pair[:2] for pair in expected]
    np.testing.assert_allclose(pairs.score, [pair[2] for pair in expected], rtol=1e-4)
    assert len(set(pairs.foreign.tolist())) == len(set(pairs.english.tolist())) == len(got)


@settings(deadline=None)
@given(
    sides=st.tuples(*[st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 2)), min_size=1)] * 2),
    k=st.integers(1, 4),
)
def test_mining_breaks_ties_as_the_naive_one(sides: Any, k: int) -> None:
    """Axes of any length: cosines are 0 and 1, so that almost everything ties."""
    x, y = np.zeros((len(sides[0]), 4), np.float32), np.zeros((len(sides[1]), 4), np.float32)
    for side, rows in zip((x, y), sides, strict=True):
        for row, (axis, power) in enumerate(rows):
            side[row, axis] = 2.0**power
    pairs = mine(x, y, k)
    got = list(zip(pairs.foreign.tolist(), pairs.english.tolist(), strict=True))
    assert got == [pair[:2] for pair in naive_mine(x, y, k)]


def test_a_score_below_zero_is_no_pair() -> None:
    x = np.array([[1, 0, 0], [-0.1, 1, 0]], np.float32)
    y = np.array([[1, 0, 0], [0.9, 0, 0.4]], np.float32)
    assert [p[:2] for p in naive_mine(x, y, 1)] == [(0, 0)]
    pairs = mine(x, y, 1)  # the second of each side are free, and nearest by a cosine below zero
    assert (pairs.foreign.tolist(), pairs.english.tolist()) == ([0], [0])


def test_lengths_do_not_matter_and_zero_vectors_pair_with_nothing() -> None:
    random = np.random.default_rng(1)
    x, y = (random.normal(0.5, size=(50, 16)).astype(np.float32) for _ in range(2))
    one, two = mine(x, y), mine(x * 4, y / 8)  # powers of two: exact
    np.testing.assert_array_equal(one.foreign, two.foreign)
    np.testing.assert_array_equal(one.score, two.score)
    x[3] = 0
    assert 3 not in mine(x, y).foreign
    assert len(mine(x * 0, y).score) == 0


def test_what_is_no_vector_is_refused() -> None:
    x = np.ones((3, 4), np.float32)
    with pytest.raises(InputError, match=r"shape \(3, 4\) and \(3, 2\)"):
        neighbours(x, x[:, :2])
    with pytest.raises(InputError, match="none empty"):
        neighbours(x, x[:0])
    x[1, 2] = np.nan
    with pytest.raises(WorkError, match="sentence vector 1 is not finite"):
        neighbours(np.ones((3, 4), np.float32), x)


# --- the threshold ---


@given(
    items=st.lists(st.tuples(st.floats(0.1, 3), st.booleans()), max_size=30),
    more=st.integers(0, 5),
)
def test_the_threshold_is_the_official_one(items: list[tuple[float, bool]], more: int) -> None:
    items = sorted(items, key=lambda item: -item[0])
    gold = max(1, sum(right for _, right in items) + more)
    scores, correct = np.array([s for s, _ in items]), np.array([r for _, r in items], bool)
    found = best_threshold(scores, correct, gold)
    expected = official_threshold(items, gold)
    if expected is None:  # where the official code fails every pair is taken
        assert found.value == items[-1][0]
    else:
        assert found.value == expected
    best = max((2 * correct[:n].sum() / (n + gold) for n in range(1, len(items) + 1)), default=0)
    assert found.f1 == pytest.approx(best)


def test_the_last_pair_may_be_the_best_place() -> None:
    assert best_threshold(np.array([2.0, 1.5]), np.array([True, True]), 2).value == 1.5
    assert best_threshold(np.array([2.0, 1.0]), np.array([True, False]), 1).value == 1.5
    assert best_threshold(np.array([2.0]), np.array([False]), 1).value == 0.0
    assert best_threshold(np.array([]), np.array([], bool), 1).value == 0.0


# --- the format ---


def example(key: str, side: str, sentence: str, *partners: str) -> MiningExample:
    return MiningExample(key, "zh", None, key, side, sentence, partners)


def features_of(examples: list[MiningExample], tokenizer: Any) -> list[Feature]:
    return get_format("bitext_mining").encode(examples, tokenizer, (), OPTIONS, training=False)


def test_a_line_is_embedded_once_and_repeated_sentences_are_left_out(tokenizer: Any) -> None:
    """As `text_load_unify` (lines as they stand) and `read_sent2id` (stripped) have it."""
    examples = [
        example("f0", "foreign", "the fox", "e0"),
        example("f1", "foreign", "a dog", "e1"),
        example("f2", "foreign", "the fox"),
        example("f3", "foreign", "a dog "),
        example("f4", "foreign", "nobody", "e2"),
        example("e0", "english", "the fox"),
        example("e1", "english", "a dog"),
        example("e2", "english", "nobody"),
    ]
    features = features_of(examples, tokenizer)
    assert [(f.example, f.extra) for f in features] == [
        (2, "foreign"), (1, "foreign"), (3, "foreign"), (4, "foreign"),
        (5, "english"), (6, "english"), (7, "english"),
    ]  # fmt: skip
    form = BitextMining()
    eye = np.eye(4, dtype=np.float32) + 0.1
    rows = [eye[0], eye[1], eye[1] + eye[3], eye[2], eye[0], eye[1], eye[2]]
    logits = [{form.retrieval.key: row} for row in rows]
    assert [c[:2] for c in form.candidates(logits, features, examples)] == [(4, 7)]
    tuned = form.tune(logits, features, examples, (), OPTIONS)
    assert tuned.predictions == [None] * 4 + ["e2"] + [None] * 3
    assert tuned.values["precision"] == 100.0
    assert tuned.values["recall"] == pytest.approx(100 / 3)
    assert tuned.format.decode(logits, features, examples, (), OPTIONS) == tuned.predictions
    with pytest.raises(InputError, match="no threshold; a target of it needs a dev split"):
        form.decode(logits, features, examples, (), OPTIONS)


def test_scores_and_floor() -> None:
    form = get_format("bitext_mining")
    examples = [
        example("f0", "foreign", "a", "e0"), example("f1", "foreign", "b", "e1", "e2"),
        example("f2", "foreign", "c"), example("f3", "foreign", "d"),
        *(example(f"e{i}", "english", f"x{i}") for i in range(5)),
    ]  # fmt: skip
    predictions = ["e0", "e2", "e4", None, *[None] * 5]
    statistics = form.statistics(predictions, examples)
    # Columns as those of tagging: right, extracted, gold.
    assert statistics.tolist()[:4] == [[1, 1, 1], [1, 1, 2], [0, 1, 0], [0, 0, 0]]
    assert not statistics[4:].any()
    scores = form.aggregate(statistics)
    assert scores == pytest.approx({"f1": 200 / 3, "precision": 200 / 3, "recall": 200 / 3})
    assert form.task_score({**scores, "f1": 1.0}) == 1.0
    sums = np.array([statistics.sum(axis=0), [0, 3, 3], [0, 0, 0]])
    assert form.score_of_sums(sums, 9) == pytest.approx([200 / 3, 0, 0])
    nothing = form.aggregate(form.statistics([None] * 9, examples))
    assert nothing == {"f1": 0.0, "precision": 0.0, "recall": 0.0}
    # two sentences have partners; any of 5 is right with chance 1/5 and 2/5
    floor = form.floor(examples, ())
    assert form.aggregate(floor)["f1"] == pytest.approx(100 * 2 * 0.6 / (2 + 3))
    with pytest.raises(InputError, match="withheld"):
        form.statistics([None], [MiningExample("x", "zh", None, "x", "foreign", "a", None)])


def test_the_official_candidates_pairs_threshold_and_scores(
    shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / "xtreme-parity" / "mining"
    corpora = {}
    for side, code in zip(SIDES, ("zh", "en"), strict=True):
        ids, texts = (
            (folder / f"{code}.{part}").read_text("utf-8").split("\n") for part in ("id", "txt")
        )
        corpora[side] = dict(zip(ids, texts, strict=True))
        del corpora[side][""]
        rows = "".join(f"{key}\t{text}\n" for key, text in corpora[side].items())
        (tmp_path / f"zh-en.{code}").write_text(rows, "utf-8", newline="\n")
    (tmp_path / "gold").write_bytes((folder / "gold").read_bytes())
    spec = SplitSpec("comparable", ("zh-en.zh", "zh-en.en", "gold"))
    examples: Any = load_split(spec, "zh", (), DataContext(tmp_path), "mining").examples
    assert len(examples) == 2000

    form = BitextMining()
    vectors_of = {
        side: np.load(folder / f"{name}.npy") for side, name in zip(SIDES, "xy", strict=True)
    }
    features = _distinct(examples)
    assert len(features) < 2000, "some sentences are repeated on purpose"
    logits = [
        {form.retrieval.key: vectors_of[f.extra][f.example - 900 * (f.extra == "english")]}
        for f in features
    ]
    official = [
        line.split("\t")
        for line in (folder / "official_candidates.tsv").read_text("utf-8").splitlines()
    ]
    left, right = ([f.example for f in features if f.extra == side] for side in SIDES)
    mined = _mined(logits, features, form)
    texts = {(examples[left[i]].sentence, examples[right[j]].sentence): s for i, j, s in mined}
    assert texts.keys() == {(a, b) for _, a, b in official}
    for score, foreign, english in official:
        assert texts[foreign, english] == pytest.approx(float(score), abs=1e-6)

    tuned = form.tune(logits, features, examples, (), OPTIONS)
    expected = json.loads((folder / "official_scores.json").read_text("utf-8"))
    assert tuned.values["threshold"] == pytest.approx(expected["best-threshold"], abs=1e-6)
    for name in ("F1", "precision", "recall"):
        assert tuned.values[name.lower()] == pytest.approx(expected[name], abs=1e-9)
    pairs = {(e.key, p) for e, p in zip(examples, tuned.predictions, strict=True) if p}
    lines = (folder / "official_pairs.tsv").read_text("utf-8").splitlines()
    assert pairs == {tuple(line.split("\t")) for line in lines}


def _distinct(examples: list[MiningExample]) -> list[Feature]:
    """What encode() gives, without a tokenizer: one feature per line, the last of equals."""
    last = {(e.side, e.sentence): i for i, e in enumerate(examples)}
    return [Feature(((0,),), i, extra=side) for (side, _), i in last.items()]


def _mined(
    logits: Any, features: list[Feature], form: BitextMining
) -> list[tuple[int, int, float]]:
    x, y = (
        np.stack(
            [
                row[form.retrieval.key]
                for row, f in zip(logits, features, strict=True)
                if f.extra == side
            ]
        )
        for side in SIDES
    )
    pairs: Pairs = mine(x, y)
    return list(
        zip(pairs.foreign.tolist(), pairs.english.tolist(), pairs.score.tolist(), strict=True)
    )


def test_mining_makes_nothing_of_the_size_of_its_products() -> None:
    import tracemalloc

    n, d, rows, columns = 16_000, 256, 512, 512
    random = np.random.default_rng(0)
    x, y = (random.random((n, d), np.float32) for _ in range(2))
    tracemalloc.start()
    neighbours(x, y, blocks=(rows, columns))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    products, sides = n * n * 4, 2 * n * d * 4
    result = 2 * n * 4 * (4 + 8)  # similarity and index of 4 neighbours, both ways
    blocks = ((rows + columns) * d + rows * columns) * 4
    assert result + blocks < peak < 3 * (result + blocks) < sides / 2 < products / 20
