"""Tables: golden text over records by hand, and the rules for marks, rows and questions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.catalog.sets import Contrast
from harness.errors import InputError
from harness.results import (
    answer_contrasts,
    contrast_table,
    per_language_table,
    summarise,
    summary_json,
    summary_table,
)

Make = Callable[..., dict[str, Any]]
Records = list[dict[str, Any]]

SUMMARY = """\
recipe [source set]    world-nli     world-pos     average       low-resource      targets    trainable    seconds
---------------------  ------------  ------------  ------------  --------------  ---------  -----------  ---------
direct                 45.0 ± 1.4    64.0 ± 1.4    54.5 ± 1.4    54.5 ± 1.4              2        12.3k         12
fuse [multi]           49.0 ± 2.8 *  68.0 ± 2.8 *  58.5 ± 2.8 *  58.5 ± 2.8 *            2        12.3k         12
full-ft                17.0 ± 1.4 ~  –             17.0 ± 1.4 ~^ 17.0 ± 1.4 ~^           1        12.3k         12

zero-shot average of task scores over languages, in percent; mean ± sd over 2 seeds (1, 2); seeds vary: heads
split: world-nli test; world-pos test
world-pos: without B2, where the sources of some row have the task
average: mean over the row's targets; their number is under targets
low-resource: the third of each family
trainable: parameters, the largest of the row's targets; seconds: wall time per target and seed
* best of the rows with the same targets, split, languages and seeds
^ other targets, split, languages or seeds than most rows: not compared with them
– not defined for this recipe, or not run
~ most of these scores do not beat their floor (chance or majority class) with 95 % confidence
world-nli, languages not above their floor: full-ft A2 B2 of 2
"""  # noqa: E501

MARKDOWN_ROW = (
    "| full-ft | 17.0 ± 1.4 \\~ | – | 17.0 ± 1.4 \\~\\^ | 17.0 ± 1.4 \\~\\^ | 1 | 12.3k | 12 |"
)

LANGUAGES = """\
recipe [source set]    A0    A2      B2
---------------------  ----  ------  ------
direct                 93.0  64.0    52.0
fuse [multi]           97.0  68.0    56.0 s

world-pos, test: task score in percent, mean over 2 seeds (1, 2); trained in A0
s: not zero-shot: a source has this task in this language
"""

CONTRASTS = """\
contrast    target     better − worse         per seed    mean ± sd    seeds > 0
----------  ---------  ---------------------  ----------  -----------  -----------
multi       world-nli  fuse [multi] − direct  +3.0 +5.0   +4.0 ± 1.4   2 of 2
back        world-nli  direct − fuse [multi]  −3.0 −5.0   −4.0 ± 1.4   0 of 2
seen        world-pos  fuse − direct          +3.0 +5.0   +4.0 ± 1.4   2 of 2
lost        world-pos  full-ft − direct       –           –            –
"""


def normal(text: str) -> list[list[str]]:
    """Lines of words: how wide a column is does not matter."""
    return [line.split() for line in text.splitlines() if not line.startswith(("--", "|-"))]


@pytest.fixture
def records(make: Make) -> Records:
    """Two seeds; seed s adds 2s to every score, fuse 1 + 2s more; full-ft has no world-pos."""
    found = []
    for seed in (1, 2):
        base = {"A0": 79.0, "A2": 45.0, "B2": 39.0}
        for recipe, sources, more in (
            ("direct", None, 0.0), ("fuse", "multi", 1 + 2.0 * seed), ("full-ft", None, -28.0),
        ):  # fmt: skip
            options: dict[str, Any] = {"recipe": recipe, "source_set": sources, "seed": seed}
            shift = 2 * seed + more
            found.append(make({c: v + shift for c, v in base.items()}, **options))
            if recipe != "full-ft":
                pos = {"A0": 90 + shift, "A2": 61 + shift, "B2": 49 + shift}
                seen = {"B2": "task"} if sources else {}
                found.append(make(pos, target="world-pos", seen=seen, **options))
    return found


def contrast(name: str, better: tuple[str, ...], worse: tuple[str, ...], **more: Any) -> Contrast:
    values = {"question": "Is it?", "target": "world-nli", "languages": ("A2", "B2"), **more}
    return Contrast(name=name, better=better, worse=worse, **values)


QUESTIONS = [
    contrast("multi", ("fuse", "multi"), ("direct",), question="Does multi help?"),
    contrast("back", ("direct",), ("fuse", "multi")),
    contrast("seen", ("fuse",), ("direct",), target="world-pos"),
    contrast("lost", ("full-ft",), ("direct",), target="world-pos"),
]


def test_summary(records: Records) -> None:
    assert normal(summary_table(records, seed_note="heads")) == normal(SUMMARY)


def test_summary_in_markdown(records: Records) -> None:
    text = summary_table(records, seed_note="heads", markdown=True)
    assert MARKDOWN_ROW.split() in normal(text)
    table, legend = text.split("\n\n")
    assert {line.count("|") for line in table.splitlines()} == {9}
    assert all(line.startswith("- ") for line in legend.splitlines())


def test_order_and_rows(records: Records) -> None:
    summary = summarise(records, rows=["full-ft", "absent"], targets=["world-pos", "absent"])
    assert [row.name for row in summary.rows] == ["full-ft", "direct", "fuse [multi]"]
    assert summary.targets == ("world-pos", "world-nli")


def test_the_order_of_records_does_not_matter(records: Records) -> None:
    rows = ["direct", "fuse [multi]", "full-ft"]
    options: dict[str, Any] = {"rows": rows, "targets": ["world-nli", "world-pos"]}
    assert summary_table(records[::-1], **options) == summary_table(records, **options)


def test_rows_of_the_callers_choice(make: Make) -> None:
    """Single-source English: another source set per target, one row."""
    options: dict[str, Any] = {"recipe": "stack"}
    records = [
        make({"A2": 50.0}, source_set="nli", target="world-nli", **options),
        make({"A2": 60.0}, source_set="sup", target="world-pos", **options),
    ]
    assert len(summarise(records).rows) == 2
    (row,) = summarise(records, row_of=lambda r: "single-source").rows
    assert row.overall is not None
    assert (row.name, row.overall.spread.mean, row.n_targets) == ("single-source", 55.0, 2)


def test_one_row_never_mixes_source_sets_as_if_they_were_seeds(make: Make) -> None:
    records = [make({"A2": 50.0}, source_set=name) for name in ("nli", "sup")]
    with pytest.raises(InputError, match="two records for target world-nli and seed 1"):
        summarise(records, row_of=lambda r: "single-source")


@pytest.mark.parametrize(("key", "names"), [("backbone", "nano micro"), ("setting", "a b")])
def test_one_row_never_mixes_backbones_or_settings(make: Make, key: str, names: str) -> None:
    records = [make({"A2": 50.0}, **{key: name}) for name in names.split()]
    found = [row.name for row in summarise(records).rows]
    assert found == [f"fuse [multi-family], {name}" for name in names.split()]


def test_other_seeds_are_counted_and_not_compared(records: Records) -> None:
    kept = [r for r in records if r["seed"] == 1 or r["recipe"]["name"] == "direct"]
    text = summary_table([r for r in kept if r["recipe"]["name"] != "full-ft"])
    assert "47.0 (n=1) ^" in text
    assert "*" not in text


def test_as_many_but_other_seeds_are_not_compared(make: Make) -> None:
    records = [make({"A2": 50.0}, seed=1), make({"A2": 60.0}, seed=2, recipe="stack")]
    cells = [row.cells["world-nli"] for row in summarise(records).rows]
    assert [(c.comparable, c.best) for c in cells if c] == [(True, False), (False, False)]


def test_other_splits_are_not_compared(make: Make, parts: Make) -> None:
    first = make({"A2": 50.0}, recipe="direct", source_set=None)
    second = json.loads(json.dumps(make({"A2": 90.0})))
    second["target"]["split"] = "dev"
    cells = [row.cells["world-nli"] for row in summarise([first, second]).rows]
    assert [(c.comparable, c.best) for c in cells if c] == [(True, False), (False, False)]


def test_ties_as_printed_share_the_mark(make: Make) -> None:
    scores = {"direct": 50.04, "stack": 50.0, "fuse": 49.9}
    records = [make({"A2": s}, recipe=r, source_set=None) for r, s in scores.items()]
    cells = [row.cells["world-nli"] for row in summarise(records).rows]
    assert [c.best for c in cells if c] == [True, True, False]


def test_one_row_has_no_best(make: Make) -> None:
    text = summary_table([make({"A2": 50.0})])
    assert "*" not in text
    assert "±" not in text
    assert "one seed (1), no spread" in text


@pytest.mark.parametrize(
    ("scores", "at_floor"), [((50, 50, 30), False), ((50, 30, 30), True), ((50, 30), True)]
)
def test_floor_mark(make: Make, scores: tuple[int, ...], at_floor: bool) -> None:
    """Marked unless most beat their floor: scores above 38 do."""
    records = [make({"A2": score}, seed=seed) for seed, score in enumerate(scores)]
    assert ("~" in summary_table(records)) == at_floor
    assert ("~" in per_language_table(records, "world-nli")) == at_floor


def test_languages_that_are_zero_shot_nowhere_in_common(make: Make) -> None:
    first = make({"A2": 50.0, "B2": 60.0}, seen={"A2": "task"})
    second = make({"A2": 50.0, "B2": 60.0}, seen={"B2": "task"}, recipe="stack")
    cells = [row.cells["world-nli"] for row in summarise([first, second]).rows]
    assert [c.spread.mean for c in cells if c] == [60, 50]
    assert [c.comparable for c in cells if c] == [True, False]


def test_languages_at_their_floor_are_named_or_counted(make: Make) -> None:
    scores = {f"L{i}": 60.0 if i < 4 else 34.0 for i in range(10)}
    few = make({**scores, "L4": 60.0, "L5": 60.0}, recipe="stack")
    text = summary_table([make(scores), few])
    assert (
        "world-nli, languages not above their floor: "
        "fuse [multi-family] 6 of 10; stack [multi-family] L6 L7 L8 L9 of 10"
    ) in text
    # Most languages of the second row are above: nothing but this line says that some are not.
    assert text.splitlines()[3].count("~") == 0


def test_no_spread_where_nothing_depends_on_the_seed(make: Make) -> None:
    still = [make({"A2": 71.93}, recipe="direct", source_set=None, seed=s) for s in (1, 2)]
    moved = [make({"A2": 71.0 + s}, seed=s) for s in (1, 2)]
    text = summary_table([*still, *moved])
    assert text.splitlines()[2].split()[1:3] == ["71.9", "71.9"]
    assert "72.5 ± 0.7" in text.splitlines()[3]
    assert "without ±: the same in every seed" in text
    assert "without ±" not in summary_table(moved)


def test_no_low_resource_column_without_a_definition(make: Make) -> None:
    text = summary_table([make({"A2": 50.0}, low="", low_languages=())])
    assert "low-resource" not in text


def test_no_records() -> None:
    assert summary_table([]).startswith("recipe [source set]")
    assert per_language_table([], "x").startswith("recipe [source set]")
    assert contrast_table([], []).startswith("contrast")
    assert summary_json([])["rows"] == []


def test_per_language(records: Records) -> None:
    assert normal(per_language_table(records, "world-pos")) == normal(LANGUAGES)


def test_contrasts(records: Records) -> None:
    table, legend = contrast_table(QUESTIONS, records, seed_note="heads").split("\n\n")
    assert normal(table) == normal(CONTRASTS)
    assert legend.splitlines() == [
        "differences of mean task scores in percentage points, mean ± sd over 2 seeds (1, 2); "
        "seeds vary: heads",
        "multi: Does multi help? (A2, B2)",
        "back: Is it? (A2, B2)",
        "seen: Is it? (A2, B2)",
        "lost: Is it? (A2, B2)",
        "seen: B2 is not zero-shot for fuse",
        "lost: no record of full-ft",
    ]


def test_a_difference_between_two_floors_says_nothing(make: Make) -> None:
    records = [
        make({"A2": 30.0}, recipe="direct", source_set=None),
        make({"A2": 35.0}),
    ]
    question = contrast("q", ("fuse",), ("direct",), languages=("A2",))
    (answer,) = answer_contrasts([question], records)
    assert (answer.at_floor, answer.agree) == (True, 1)
    assert "+5.0 ~" in contrast_table([question], records)


def test_a_contrast_of_other_languages_on_the_other_side(records: Records) -> None:
    question = contrast(
        "resource", ("direct",), ("direct",), languages=("A2",), worse_languages=("B2",)
    )
    (answer,) = answer_contrasts([question], records)
    assert answer.per_seed == ((1, 6.0), (2, 6.0))  # 45 - 39, whatever the seed adds
    text = contrast_table([question], records)
    assert "direct: A2 − B2" in text
    assert "resource: Is it? (A2 against B2)" in text


def test_a_contrast_without_languages_takes_the_zero_shot_ones(records: Records) -> None:
    question = contrast("q", ("fuse",), ("direct",), target="world-pos", languages=())
    (answer,) = answer_contrasts([question], records)
    assert answer.languages == ("A2",)
    assert answer.notes == ()


def test_seeds_of_one_side_only(records: Records) -> None:
    kept = [r for r in records if r["seed"] == 1 or r["recipe"]["name"] == "direct"]
    (answer,) = answer_contrasts(QUESTIONS[:1], kept)
    assert answer.per_seed == ((1, 3.0),)
    assert answer.notes == ("one side only for seeds 2",)


def test_a_contrast_may_be_between_settings(make: Make) -> None:
    records = [
        make({"A2": 50.0}, recipe="full-ft", source_set=None, setting="xtreme"),
        make({"A2": 53.0}),
    ]
    question = contrast("q", ("fuse",), ("full-ft",), languages=("A2",))
    (answer,) = answer_contrasts([question], records)
    assert answer.per_seed == ((1, 3.0),)


def test_contrasts_never_pair_across_backbones_or_several_settings(make: Make) -> None:
    question = contrast("q", ("fuse",), ("direct",), languages=("A2",))
    for key in ("backbone", "setting"):
        records = [
            make({"A2": 50.0 + more}, recipe=recipe, source_set=sources, **{key: name})
            for name in ("a", "b")
            for recipe, sources, more in (
                ("direct", None, 0),
                ("fuse", "m", len(name) + (name > "a")),
            )
        ]
        answers = answer_contrasts([question], records)
        assert [(a.variant, a.per_seed) for a in answers] == [
            ("a", ((1, 1.0),)), ("b", ((1, 2.0),)),
        ]  # fmt: skip


def test_an_ambiguous_side_is_refused(make: Make, records: Records) -> None:
    other = make({"A0": 1.0, "A2": 2.0, "B2": 3.0}, source_set="other")
    with pytest.raises(InputError, match=r"fuse names fuse \[other\] and fuse \[multi\] of seed 1"):
        answer_contrasts([contrast("q", ("fuse",), ("direct",))], [*records, other])


def test_a_language_that_is_not_there(records: Records) -> None:
    question = contrast("q", ("fuse",), ("direct",), languages=("C2",))
    with pytest.raises(InputError, match=r"contrast q: target world-nli: no score for .* 'C2'"):
        answer_contrasts([question], records)


def test_json_has_what_the_tables_show(records: Records) -> None:
    found = summary_json(records, seed_note="heads", contrasts=QUESTIONS)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["left_out"] == {"world-nli": [], "world-pos": ["B2"]}
    direct, fuse, full = found["rows"]
    assert fuse["targets"]["world-nli"] == {
        "mean": 49.0, "sd": pytest.approx(8**0.5), "min": 47.0, "max": 51.0,
        "per_seed": {"1": 47.0, "2": 51.0}, "languages": ["A2", "B2"], "above_floor": 4,
        "scored": 4, "at_floor": False, "floor_languages": [], "comparable": True, "best": True,
    }  # fmt: skip
    assert full["targets"]["world-nli"]["floor_languages"] == ["A2", "B2"]
    assert full["targets"]["world-pos"] is None
    assert (direct["n_targets"], full["n_targets"]) == (2, 1)
    assert found["contrasts"][0]["per_seed"] == {"1": 3.0, "2": 5.0}
    assert found["contrasts"][3]["mean"] is None
