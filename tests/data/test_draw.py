"""Drawing rows: what a set asks for, whatever the sizes; by the seed; together only if asked."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data import Dataset, Draw, Example, PairExample, draw_rows, make_dataset
from harness.errors import InputError


def rows_of(language: str, numbers: Sequence[int], *, group: str | None = "mnli") -> Dataset:
    """Row n of a parallel file has n words; without `group` rows have ids alone."""
    examples = [
        PairExample(
            f"{language}.tsv:{n}", language, group and f"{group}:{n}", "a " * n, "b", "neutral"
        )
        for n in numbers
    ]
    return make_dataset(f"x.{language}/train", language, examples, {"labels_dropped": 1})


def numbers(dataset: Dataset) -> list[int]:
    """Which rows they are."""
    return [int(example.id.rpartition(":")[2]) for example in dataset.examples]


def words(examples: Sequence[Example]) -> list[int]:
    return [len(e.premise.split()) for e in examples if isinstance(e, PairExample)]


@given(st.integers(1, 300), st.data(), st.integers(0, 5))
def test_as_many_examples_as_asked_for_in_the_order_of_the_file(
    size: int, data: st.DataObject, seed: int
) -> None:
    count = data.draw(st.integers(1, size))
    whole = rows_of("de", range(size))
    drawn = draw_rows(whole, Draw(examples=count), seed)
    assert len(drawn) == count
    assert numbers(drawn) == sorted(set(numbers(drawn)))
    assert drawn.counts == {"labels_dropped": 1, "rows_before_draw": size}
    assert drawn == draw_rows(whole, Draw(examples=count), seed)


@given(st.integers(1, 6), st.integers(0, 3), st.integers(50, 300))
def test_shares_are_disjoint_and_together_everything(count: int, seed: int, size: int) -> None:
    whole = rows_of("en", range(size))
    shares = [draw_rows(whole, Draw(share=(k + 1, count)), seed) for k in range(count)]
    assert sorted(n for share in shares for n in numbers(share)) == list(range(size))


@given(st.sets(st.integers(0, 199), max_size=20), st.integers(0, 3))
def test_in_parallel_translations_of_a_row_are_drawn_together(lost: set[int], seed: int) -> None:
    """The Swahili file lacks some rows; of those it has, none changes its share."""
    kept = [n for n in range(200) if n not in lost]
    for share in ((1, 3), (2, 3), (3, 3)):
        draw = Draw(share=share, parallel=True)
        english = draw_rows(rows_of("en", range(200)), draw, seed)
        swahili = draw_rows(rows_of("sw", kept), draw, seed)
        assert numbers(swahili) == [n for n in numbers(english) if n not in lost]
    draw = Draw(examples=50, parallel=True)
    english = draw_rows(rows_of("en", range(200)), draw, seed)
    german = draw_rows(rows_of("de", range(200)), draw, seed)
    assert numbers(english) == numbers(german)


@pytest.mark.parametrize("group", ["mnli", None])  # rows known by their group, or by their id
def test_sources_with_the_same_rows_are_drawn_independently(group: str | None) -> None:
    """Of 1,000 rows 200 are drawn twice: 40 in both by chance, give or take (5 x 5.7)."""
    first = rows_of("en", range(1000), group=group)
    second = make_dataset("y.en/train", "en", first.examples, {})
    for seed in range(20):
        drawn = [numbers(draw_rows(one, Draw(examples=200), seed)) for one in (first, second)]
        assert 11 < len(set(drawn[0]) & set(drawn[1])) < 69


def test_all_rows_are_all_rows_in_parallel_too() -> None:
    whole = rows_of("en", range(5))
    assert draw_rows(whole, Draw(parallel=True), 1) is whole


def test_another_seed_draws_other_rows_and_none_is_preferred() -> None:
    whole = rows_of("en", range(40), group=None)
    drawn = [numbers(draw_rows(whole, Draw(examples=10), seed)) for seed in range(400)]
    assert len({tuple(one) for one in drawn}) == 400
    # 400 draws of 10 in 40: 100 times each, give or take (5 standard deviations of 8.7).
    often = [sum(n in one for one in drawn) for n in range(40)]
    assert min(often) > 56
    assert max(often) < 144


@given(st.lists(st.integers(1, 30), min_size=1, max_size=2500), st.data())
def test_tokens_are_never_more_than_asked_for_and_less_by_one_row_at_most(
    sizes: list[int], data: st.DataObject
) -> None:
    limit = data.draw(st.integers(max(sizes), sum(sizes)))
    examples = [PairExample(f"f:{i}", "en", None, "a " * n, "b", None)
                for i, n in enumerate(sizes)]  # fmt: skip
    whole = make_dataset("x/train", "en", examples, {})
    drawn = draw_rows(whole, Draw(tokens=limit), 1, words)
    total = sum(words(drawn.examples))
    assert total <= limit
    assert limit - total < max(sizes)
    if limit == sum(sizes):
        assert len(drawn) == len(sizes)


@pytest.mark.parametrize(
    ("draw", "asked", "found"),
    [
        (Draw(examples=11), "11 rows", "10"),
        (Draw(tokens=56), "56 tokens", "55"),
        (Draw(share=(2, 2), examples=11), "11 rows of share 2/2", ""),
    ],
)
def test_more_than_there_is_is_refused(draw: Draw, asked: str, found: str) -> None:
    whole = rows_of("en", range(1, 11))  # 1 + 2 + ... + 10 = 55 words
    with pytest.raises(InputError) as error:
        draw_rows(whole, draw, 1, words)
    line = str(error.value)
    assert line.startswith(f"x.en/train (en): the set asks for {asked}, but there are {found}")
    assert "lower the budget" in line


def test_fewer_tokens_than_a_row_has_are_refused() -> None:
    whole = rows_of("en", [30, 31])
    with pytest.raises(InputError, match=r"asks for 5 tokens, but the first row that is drawn has "
                       r"3[01]; raise the budget"):  # fmt: skip
        draw_rows(whole, Draw(tokens=5), 1, words)


def test_everything_is_the_data_set_itself() -> None:
    whole = rows_of("en", range(5))
    assert draw_rows(whole, Draw(), 1) is whole
