"""From specs to data sets: file templates, parts, overrides, caching, errors with their remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.catalog.specs import Part, SplitSpec
from harness.data import (
    READERS,
    BitextExample,
    DataContext,
    Example,
    PairExample,
    TextExample,
    load_split,
    resolve_files,
)
from harness.data.load import select_part
from harness.errors import InputError

NLI = ("contradiction", "entailment", "neutral")


def spec(
    *files: str, part: Part | None = None, reader: str = "delimited", **options: Any
) -> SplitSpec:
    return SplitSpec(reader, files, options, part)


@pytest.fixture
def context(tmp_path: Path) -> DataContext:
    """A data folder with a few small files."""
    for name, rows in {"xx": 3, "yy": 2}.items():
        (tmp_path / name).mkdir()
        lines = [f"{name} {n}\th\tneutral\n" for n in range(rows)]
        (tmp_path / name / f"dev-{name}.tsv").write_text("".join(lines), encoding="utf-8")
        (tmp_path / f"t.{name}x").write_text("a\n", encoding="utf-8")
    return DataContext(tmp_path, "refuse", {"xx": "xxx"})


def premises(examples: Any) -> list[str]:
    return [example.premise for example in examples]


def test_templates_are_filled_and_ids_name_files_relative_to_the_folder(
    context: DataContext,
) -> None:
    data = load_split(spec("{language}/dev-{language}.tsv"), "xx", NLI, context, "t/dev")
    assert (data.name, data.language, len(data)) == ("t/dev", "xx", 3)
    assert data.examples[0] == PairExample("xx/dev-xx.tsv:0", "xx", None, "xx 0", "h", "neutral")
    pair = load_split(spec("t.{iso3}", "t.xxx", reader="parallel"), "xx", (), context, "t")
    assert isinstance(pair.examples[0], BitextExample)


def test_the_fingerprint_is_of_the_rows_alone(context: DataContext, tmp_path: Path) -> None:
    data = load_split(spec("xx/dev-xx.tsv"), "xx", NLI, context, "t")
    copy = tmp_path / "copy"
    (copy / "xx").mkdir(parents=True)
    file = copy / "xx" / "dev-xx.tsv"
    file.write_bytes((tmp_path / "xx" / "dev-xx.tsv").read_bytes())
    again = load_split(spec("xx/dev-xx.tsv"), "xx", NLI, DataContext(copy), "other")
    assert again.fingerprint == data.fingerprint
    file.write_text("xx 0\th\tneutral\nxx 1\th\tneutral\nxx 2\th\tentailment\n", encoding="utf-8")
    changed = load_split(spec("xx/dev-xx.tsv"), "xx", NLI, DataContext(copy), "t")
    assert changed.fingerprint != data.fingerprint


def test_a_star_takes_all_files_sorted(context: DataContext) -> None:
    data = load_split(spec("*/dev-*.tsv"), "xx", NLI, context, "t")
    assert premises(data.examples) == ["xx 0", "xx 1", "xx 2", "yy 0", "yy 1"]
    files = resolve_files(spec("yy/dev-yy.tsv", "xx/*.tsv"), "xx", context)
    assert [file.name for file in files] == ["dev-yy.tsv", "dev-xx.tsv"]  # the order of the spec


def test_treebanks_of_a_language_follow_in_the_order_of_their_file_names(
    context: DataContext, tmp_path: Path
) -> None:
    # By path, UD_English-PUD stands before UD_English-ParTUT: capital letters come first.
    for name in ("UD_English-PUD/en_pud", "UD_English-ParTUT/en_partut", "UD_Zulu-A/zu_a"):
        file = tmp_path / "ud" / f"{name}-ud-test.conllu"
        file.parent.mkdir(parents=True)
        file.write_text("x", encoding="utf-8")
    files = resolve_files(spec("ud/*/{language}_*-ud-test.conllu"), "en", context)
    assert [file.name for file in files] == ["en_partut-ud-test.conllu", "en_pud-ud-test.conllu"]


def test_templates_in_options(context: DataContext, tmp_path: Path) -> None:
    (tmp_path / "multi.tsv").write_text("p_xx\th_xx\tgold\na\tb\tneutral\n", encoding="utf-8")
    columns = {"premise": "p_{language}", "hypothesis": "h_{language}", "label": "gold"}
    multi = spec("multi.tsv", header=True, columns=columns)
    assert premises(load_split(multi, "xx", NLI, context, "t").examples) == ["a"]


def test_overrides_and_following_specs(context: DataContext) -> None:
    first = spec("xx/dev-{language}.tsv", part=Part(0, 1))
    whole = SplitSpec(
        first.reader,
        first.files,
        first.options,
        first.part,
        overrides={"yy": spec("yy/dev-yy.tsv")},
        then=(spec("yy/dev-yy.tsv", part=Part(1)),),
    )
    assert premises(load_split(whole, "xx", NLI, context, "t").examples) == ["xx 0", "yy 1"]
    assert premises(load_split(whole, "yy", NLI, context, "t").examples) == ["yy 0", "yy 1", "yy 1"]


def test_a_split_is_read_once_per_context(context: DataContext, tmp_path: Path) -> None:
    one = load_split(spec("xx/dev-xx.tsv"), "xx", NLI, context, "t")
    assert load_split(spec("xx/dev-xx.tsv"), "xx", NLI, context, "t") is one
    assert load_split(spec("xx/dev-xx.tsv", part=Part(1)), "xx", NLI, context, "t") is not one
    assert load_split(spec("xx/dev-xx.tsv"), "yy", NLI, context, "t") is not one
    assert load_split(spec("xx/dev-xx.tsv"), "xx", NLI, DataContext(tmp_path), "t") is not one


def test_a_missing_file_comes_with_how_to_get_it(tmp_path: Path) -> None:
    context = DataContext(tmp_path, how_to_get={"own.xx": "get it: ask; licence: CC0"})
    missing = r"own.xx/dev \(xx\): no file none.tsv .*; get it: ask; licence: CC0$"
    with pytest.raises(InputError, match=missing):
        load_split(spec("none.tsv"), "xx", NLI, context, "own.xx/dev")
    with pytest.raises(InputError, match=r"is missing$"):  # nothing is known of the other
        load_split(spec("none.tsv"), "xx", NLI, context, "own.yy/dev")


def test_bad_rows_are_counted_in_the_data_set(tmp_path: Path) -> None:
    (tmp_path / "f.tsv").write_text("a\tb\tneutral\na\tb\tx\n", encoding="utf-8")
    data = load_split(spec("f.tsv"), "en", NLI, DataContext(tmp_path, "skip"), "t")
    assert (len(data), dict(data.counts)) == (1, {"bad_rows_skipped": 1})


@pytest.mark.parametrize(
    ("split", "language", "message"),
    [
        (
            spec("xx/none.tsv"),
            "xx",
            r"t/dev \(xx\): no file xx/none\.tsv in data folder .*data check",
        ),
        (spec("z*/none.tsv"), "xx", r"nothing matches z\*/none\.tsv"),
        (spec("xx"), "xx", "no file xx in data folder"),
        (
            spec("t.{iso3}"),
            "yy",
            "'t.{iso3}' needs a three-letter code; the table has none for 'yy'",
        ),
        (
            spec("xx/dev-xx.tsv", reader="xml"),
            "xx",
            "reader 'xml' is unknown; must be one of: auto",
        ),
        (spec(), "xx", "reader 'delimited' needs files"),
        (spec("xx/dev-xx.tsv", part=Part(5)), "xx", r"t/dev \(xx\): no examples in .*dev-xx.tsv"),
        (spec("xx/dev-xx.tsv", part=Part(0, 1.5)), "xx", "1.5 is no fraction"),
        (spec("xx/dev-xx.tsv", part=Part(unit="group")), "xx", "rows have no group"),
        (spec("xx/dev-xx.tsv", part=Part(unit="page")), "xx", "unit 'page' is unknown"),
        (spec("xx/dev-xx.tsv", colour=1), "xx", r"t/dev \(xx\): reader .*unknown option 'colour'"),
    ],
)
def test_errors_say_what_to_do(
    context: DataContext, split: SplitSpec, language: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_split(split, language, NLI, context, "t/dev")
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_errors_without_a_data_folder(tmp_path: Path) -> None:
    split = spec("{language}/dev.tsv")
    with pytest.raises(
        InputError, match=r"needs \{language\}/dev\.tsv but no data folder .*--data"
    ):
        load_split(split, "xx", NLI, DataContext(), "t/dev")
    with pytest.raises(InputError, match=r"data folder .*gone does not exist; pass --data DIR"):
        load_split(split, "xx", NLI, DataContext(tmp_path / "gone"), "t/dev")
    with pytest.raises(InputError, match="--bad-rows is 'ignore'; must be one of: refuse, skip"):
        DataContext(bad_rows="ignore")


def _rows(count: int, group_of: int | None = None) -> list[Example]:
    return [
        Example(str(n), "en", None if group_of is None else f"g:{n // group_of}")
        for n in range(count)
    ]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Part(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (Part(0, 3), [0, 1, 2]),
        (Part(8), [8, 9]),
        (Part(0, 1), [0]),
        (Part(0, 1.0), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (Part(0.9), [9]),
        (Part(0.0, 0.29), [0, 1]),
        (Part(-2), [8, 9]),
        (Part(0, -8), [0, 1]),
        (Part(0.5, unit="group"), [6, 7, 8, 9]),
        (Part(0, 1, "group"), [0, 1, 2]),
    ],
)
def test_parts(part: Part, expected: list[int]) -> None:
    assert [int(row.id) for row in select_part(_rows(10, 3), part)] == expected


def test_a_fraction_is_an_exact_decimal() -> None:
    assert len(select_part(_rows(100), Part(0.0, 0.29))) == 29  # 0.29 * 100 == 28.999...


@given(
    count=st.integers(1, 50),
    share=st.floats(0.0, 1.0),
    unit=st.sampled_from(["row", "group"]),
    size=st.integers(1, 7),
)
def test_train_and_dev_parts_are_a_partition(
    count: int, share: float, unit: str, size: int
) -> None:
    rows = _rows(count, size)
    train = select_part(rows, Part(0.0, share, unit))
    dev = select_part(rows, Part(share, None, unit))
    assert train + dev == rows
    if unit == "group":
        assert not {row.group for row in train} & {row.group for row in dev}


def test_the_world_needs_no_folder() -> None:
    world = spec(reader="world", task="nli", count=20, split="dev")
    one, two = (load_split(world, name, NLI, DataContext(), "w") for name in ("A0", "B0"))
    assert len(one) == 20
    assert [e.group for e in one.examples] == [e.group for e in two.examples]  # parallel
    assert one.fingerprint != two.fingerprint
    text = SplitSpec("text", (), {"reader": "world", "options": {"task": "nli", "count": 5}})
    assert isinstance(load_split(text, "A0", (), DataContext(), "w").examples[0], TextExample)
    other = spec(reader="world", task="nli", count=20, split="dev", world_seed=1)
    assert load_split(other, "A0", NLI, DataContext(), "w").fingerprint != one.fingerprint
    for options, message in [
        ({"task": "nli"}, "option 'count' is None"),
        ({"task": "soup", "count": 5}, "option 'task' is 'soup'; must be one of"),
        ({"task": "nli", "count": 0}, "at least 1"),
        ({"task": "nli", "count": 5, "split": "all"}, "option 'split'"),
    ]:
        with pytest.raises(InputError, match=message):
            load_split(SplitSpec("world", (), options), "A0", NLI, DataContext(), "w")


def test_every_reader_has_a_name() -> None:
    assert sorted(READERS) == [
        *("auto", "choices", "comparable", "conllu", "delimited", "hub", "jsonl", "parallel"),
        *("squad", "tagged", "text", "world"),
    ]
