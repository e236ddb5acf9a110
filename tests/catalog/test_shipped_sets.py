"""The source sets that come with the package: what they draw, and contrasts that are zero-shot."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from harness.bench.planning import draws
from harness.catalog import Budget, Catalog, Contrast, Source, SourceSet
from harness.data import DataContext, Dataset, Draw, PairExample, draw_rows, load_source

CATALOG = Catalog.load()
SUITES = [CATALOG.suite(name) for name in ("paper", "question", "files-sets", "equal-data")]
CONTRASTS = [contrast for suite in SUITES for contrast in suite.contrasts]
FILES = sorted(name for name in CATALOG.source_sets if name.startswith("files-"))


def in_question() -> list[SourceSet]:
    """The source sets of the suite, derived ones too, each with the budget that it has there."""
    suite = CATALOG.suite("question")
    names = sorted({name for block in suite.blocks for name in block.source_sets})
    found = [CATALOG.source_set(name) for name in names]
    return [replace(one, budget=one.budget or suite.budget) for one in found]


def declared(name: str, most: int) -> Dataset:
    """As many rows as the source declares, or `most`; parallel where its readers say so."""
    source = CATALOG.source(name)
    assert source.size is not None, name
    assert source.train is not None
    spaces = {piece.options.get("group_namespace") for piece in source.train.pieces("en")}
    space = spaces.pop() if len(spaces) == 1 else None
    rows = [
        PairExample(f"{name}:{n}", source.language, f"{space}:{n}" if space else None, "", "", None)
        for n in range(min(source.size.train, most))
    ]
    return Dataset(f"{name}/train", source.language, tuple(rows), name, {})


@cache
def drawn_from(source: str, draw: Draw, seed: int) -> list[str]:
    """The rows that a set draws; of fewer than there are, to save time, it is only harder."""
    assert draw.examples is not None
    most = draw.examples * (draw.share[1] if draw.share else 1) * 6 // 5
    return [row.id for row in draw_rows(declared(source, most), draw, seed).examples]


def rows_of(one: SourceSet, seed: int) -> dict[str, list[str]]:
    """Member -> the rows that train."""
    return {member.name: drawn_from(member.source, draw, seed) for member, draw in draws(one)}


@pytest.mark.parametrize("one", in_question(), ids=lambda one: one.name)
def test_every_set_trains_on_as_many_rows_as_it_says(one: SourceSet) -> None:
    assert one.budget is not None
    assert one.budget.examples is not None
    drawn = rows_of(one, seed=1)
    share, left = divmod(one.budget.examples, len(one.sources))
    expected = [share + (place < left) for place in range(len(one.sources))]
    assert [len(rows) for rows in drawn.values()] == expected
    every = [row for rows in drawn.values() for row in rows]
    assert len(set(every)) == len(every) == one.budget.examples
    for member, rows in rows_of(one, seed=2).items():
        assert len(rows) == len(drawn[member])
        assert set(rows) != set(drawn[member]), member


def test_translated_rows_are_those_of_english() -> None:
    numbers = [
        [{row.rpartition(":")[2] for row in rows} for rows in rows_of(one, seed=1).values()]
        for one in in_question()
        if one.name in ("nli-translated", "nli-translated-english")
    ]
    assert numbers[0] == numbers[1]
    assert len(set.union(*numbers[0])) == 70_000


@pytest.mark.parametrize("name", FILES)
def test_sets_of_files_take_all_rows_or_what_a_budget_says(name: str, shared_data: Path) -> None:
    context = DataContext(shared_data, language_iso3=CATALOG.language_iso3())
    one = CATALOG.source_set(name)
    whole = {source.name: load_source(source, "train", context) for source in sources(one)}
    if one.budget is None:
        for member, draw in draws(one):
            assert draw_rows(whole[member.source], draw, 1) is whole[member.source]
        least = min(map(len, whole.values()))
        one = replace(one, budget=Budget(examples=len(whole) * least - 1))
    assert one.budget is not None
    assert one.budget.examples is not None
    drawn = [
        {(member.source, row.id) for row in draw_rows(whole[member.source], draw, 1).examples}
        for member, draw in draws(one)
    ]
    share, left = divmod(one.budget.examples, len(drawn))
    assert [len(rows) for rows in drawn] == [share + (n < left) for n in range(len(drawn))]
    assert len(set.union(*drawn)) == one.budget.examples


@pytest.mark.parametrize("contrast", CONTRASTS, ids=lambda contrast: contrast.name)
def test_contrasts_compare_zero_shot_languages(contrast: Contrast) -> None:
    """No source of either side has the target's task in a language that is compared."""
    target = CATALOG.target(contrast.target)
    trained = {target.train_language}
    for side in (contrast.better, contrast.worse):
        for source in sources(CATALOG.source_set(side[1])) if len(side) > 1 else ():
            trained |= {source.language} if source.task == target.task else set()
    assert trained.isdisjoint(contrast.languages)
    assert trained.isdisjoint(contrast.worse_languages)


@pytest.mark.parametrize(
    "contrast", CATALOG.suite("question").contrasts, ids=lambda contrast: contrast.name
)
def test_the_question_is_about_low_resource(contrast: Contrast) -> None:
    """Its sides train on equally much, and it leaves no language out but where it must."""
    low = set(CATALOG.suite("question").low_resource_languages)
    assert contrast.languages
    assert set(contrast.languages) <= low
    if not contrast.name.startswith("own-family"):
        target = CATALOG.target(contrast.target)
        sides = [CATALOG.source_set(side[1]) for side in (contrast.better, contrast.worse)]
        trained = {
            one.language for side in sides for one in sources(side) if one.task == target.task
        }
        assert set(contrast.languages) == (low & set(target.languages)) - trained
    budgets = {one.name: one.budget for one in in_question()}
    assert budgets[contrast.better[1]] == budgets[contrast.worse[1]]


def sources(one: SourceSet) -> tuple[Source, ...]:
    """Its sources, each once."""
    return tuple(CATALOG.source(name) for name in dict.fromkeys(m.source for m in one.sources))
