"""The source sets that come with the package: what they draw, and contrasts that are zero-shot."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from harness.bench.planning import draws
from harness.catalog import Budget, Catalog, Contrast, Source, SourceSet
from harness.data import DataContext, Dataset, Draw, PairExample, draw_rows, load_source
from harness.data.files.groups import is_local

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


# Pieces of sources that hold rows of others, each with what its ids begin with. ANLI's rounds have
# 16,946, 45,460 and 100,459 rows; of the questions of SQuAD v2.0, 86,821 are of v1.1.
PIECES = {
    "kornli.ko": (("kornli-snli", 550_152), ("kornli-mnli", 392_702)),
    "anli_plus.en": (("anli", 162_865), ("mnli", 392_702), ("snli", 549_367)),
    "squad_v1.en": (("squad", 87_599),),
    "squad_v2.en": (("squad", 86_821), ("squad_v2", 43_498)),
    "squad_es.es": (("squad", 87_595),),
    "squad_it.it": (("squad", 54_159),),
}


@cache
def declared(name: str, part: int = 1) -> Dataset:
    """As many rows as the source declares, or a part of them, with ids and groups as it has them.

    Rows of parallel files have a group that their YAML names; questions have an article's, which
    is its file's own, and the ids of the release.
    """
    source = CATALOG.source(name)
    assert source.size is not None, name
    assert source.train is not None
    pieces = source.train.pieces(source.language)
    sizes = PIECES.get(name, ((name, source.size.train),))
    assert sum(size for _, size in sizes) == source.size.train
    spaces = [piece.options.get("group_namespace") for piece in pieces]
    if len(set(spaces)) == 1:  # files that are alike
        spaces = [spaces[0]] * len(sizes)
    rows = [
        PairExample(
            f"{start}:{n}", source.language,
            f"article:{n % 400}" if pieces[0].reader == "squad" else space and f"{space}:{n}",
            "", "", None,
        )
        for (start, size), space in zip(sizes, spaces, strict=True) for n in range(size // part)
    ]  # fmt: skip
    return Dataset(f"{name}/train", source.language, tuple(rows), name, {})


@cache
def drawn_from(source: str, draw: Draw, seed: int, part: int) -> list[PairExample]:
    """The rows that a set draws."""
    rows = draw_rows(declared(source, part), draw, seed).examples
    return [row for row in rows if isinstance(row, PairExample)]


def part_of(one: SourceSet) -> int:
    """Where a source is large, a tenth of the budget is drawn from a tenth of all rows."""
    sizes = [source.size.train for source in sources(one) if source.size is not None]
    return 10 if max(sizes) > 50_000 else 1


def rows_of(one: SourceSet, seed: int) -> dict[str, list[PairExample]]:
    """Member -> the rows that train."""
    assert one.budget is not None
    assert one.budget.examples is not None
    part = part_of(one)
    small = replace(one, budget=Budget(examples=one.budget.examples // part))
    return {m.name: drawn_from(m.source, draw, seed, part) for m, draw in draws(small)}


def same(row: PairExample) -> tuple[str, str]:
    """What rows of several sources share where they are one row, in one language."""
    found = row.id if row.group is None or is_local(row.group) else row.group
    return row.language, found


@pytest.mark.parametrize("one", in_question(), ids=lambda one: one.name)
def test_every_set_trains_on_as_many_rows_as_it_says(one: SourceSet) -> None:
    """The rows are there; a row is drawn from two sources of one language by chance alone."""
    assert one.budget is not None
    assert one.budget.examples is not None
    for member, draw in draws(one):
        size = CATALOG.source(member.source).size
        assert size is not None
        assert draw.examples is not None
        part = 1 / draw.share[1] if draw.share else 1
        # Shares are equal to within chance: three standard deviations.
        assert draw.examples <= size.train * part - 3 * (size.train * part * (1 - part)) ** 0.5
    drawn = rows_of(one, seed=1)
    share, left = divmod(one.budget.examples // part_of(one), len(one.sources))
    expected = [share + (place < left) for place in range(len(one.sources))]
    assert [len(rows) for rows in drawn.values()] == expected
    for rows in drawn.values():
        assert len({row.id for row in rows}) == len(rows)
    every = [same(row) for rows in drawn.values() for row in rows]
    # Of SQuAD v1.1 one question in 49 is drawn, and 120 of the 180 of v2.0 are of v1.1: 2.5.
    assert len(every) - len(set(every)) <= 0.01 * len(every)
    for member_name, rows in rows_of(one, seed=2).items():
        assert len(rows) == len(drawn[member_name])
        assert {row.id for row in rows} != {row.id for row in drawn[member_name]}, member_name


def test_sources_that_share_rows_would_give_the_same_ones_in_parallel() -> None:
    """That the rows here do overlap: else the test above would see nothing."""
    nine = next(one for one in in_question() if one.name == "english-nine")
    drawn = rows_of(replace(nine, parallel=True), seed=1)
    every = [same(row) for rows in drawn.values() for row in rows]
    assert len(every) - len(set(every)) > 0.1 * len(every)


def test_translated_rows_are_those_of_english() -> None:
    numbers = [
        [{row.id.rpartition(":")[2] for row in rows} for rows in rows_of(one, seed=1).values()]
        for one in in_question()
        if one.name in ("nli-translated", "nli-translated-english")
    ]
    assert numbers[0] == numbers[1]
    assert len(set.union(*numbers[0])) == 7_000


def test_translated_questions_are_those_of_english() -> None:
    """All that were drawn in English and are there in the translation."""
    english, translated = (
        [{row.id for row in rows} for rows in rows_of(CATALOG.source_set(name), seed=1).values()]
        for name in ("qa-translated-english", "qa-translated")
    )
    for place, source in enumerate(("squad_es.es", "squad_it.it")):
        there = english[place] & {row.id for row in declared(source, 10).examples}
        assert len(there) > 1_000
        assert there <= translated[place]


def test_sets_of_the_same_rows_in_other_languages_say_so_on_both_sides() -> None:
    parallel = {name for name in CATALOG.source_sets if CATALOG.source_set(name).parallel}
    assert parallel == {
        "nli-translated", "nli-translated-english", "qa-translated", "qa-translated-english",
    }  # fmt: skip
    for contrast in CONTRASTS:
        sides = [side[1] for side in (contrast.better, contrast.worse) if len(side) > 1]
        assert len({CATALOG.source_set(name).parallel for name in sides}) <= 1, contrast.name


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
