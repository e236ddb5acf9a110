"""`xstilts data check --overlap` and `--sources`, on a catalog of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_TRAINING = "{epochs: 1, learning_rate: 1e-4, batch_size: 8}"
_TASK = """description: Own rows.
task: nli
format: pair_classification
labels: [contradiction, entailment, neutral]
split: own
get: ask their author
"""
DOCUMENTS = {
    "sources/a.en": f"""name: a.en
language: en
train: {{reader: delimited, files: [a.tsv], options: {{drop_labels: ["-"]}}}}
dev: {{reader: delimited, files: [a-dev.tsv]}}
size: {{train: 5, dev: 4000}}
training: {_TRAINING}
licence: CC BY-NC 4.0
{_TASK}""",
    "sources/b.sw": f"""name: b.sw
language: sw
train: {{reader: delimited, files: [b.tsv]}}
dev: {{reader: delimited, files: [absent.tsv]}}
size: {{train: 7266, dev: 1519}}
training: {_TRAINING}
licence: CC BY 4.0
{_TASK}""",
    **{
        f"targets/{name}": f"""name: {name}
languages: [en, sw]
train_language: en
train: {{reader: delimited, files: [train.tsv]}}
dev: {{reader: delimited, files: [dev.tsv]}}
test: {{reader: delimited, files: ["{name}.{{language}}.tsv"]}}
expected: {expected}
settings: {{adapters: {_TRAINING}}}
licence: CC0
{_TASK}"""
        for name, expected in (("one", 2), ("two", "{en: 9}"))
    },
}
FILES = {
    "a.tsv": ["A\tB\tneutral", "C\tD\tneutral", "E\tF\tneutral", "G\tH\tneutral", "I\tJ\t-"],
    "a-dev.tsv": ["K\tL\tneutral", "M\tN\tneutral"],
    "b.tsv": ["O\tP\tneutral", "Q\tR\tneutral", "S\tT\tneutral"],
    "train.tsv": ["U\tV\tneutral", "c\td\tneutral"],
    "dev.tsv": ["W\tX\tneutral"],
    "one.en.tsv": ["a\tb\tneutral", "C\tD\tneutral"],
    "one.sw.tsv": ["c\td\tneutral", "m\tn\tneutral"],
    "two.en.tsv": ["New\tRow\tneutral", "Q\tR\tneutral"],
    "two.sw.tsv": ["Mpya\tSafu\tneutral"],
}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """`catalog/` with two sources and two targets beside the shipped ones, and `data/`."""
    for name, text in DOCUMENTS.items():
        file = tmp_path / "catalog" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "data").mkdir()
    for name, rows in FILES.items():
        (tmp_path / "data" / name).write_text("".join(f"{row}\n" for row in rows))
    return tmp_path


BOTH = ("--source", "a.en", "--source", "b.*", "--target", "one", "--target", "two")


def check(own: Path, *more: str) -> list[str]:
    return ["data", "check", "--data", str(own / "data"), "--catalog", str(own / "catalog"), *more]


def test_the_matrix_of_what_is_there(own: Path, xstilts: Callable[..., Any]) -> None:
    done = xstilts(*check(own, "--overlap", *BOTH))
    assert (done.code, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    for line in (
        ["trains", "on", "split", "language", "rows", "one", "two"],
        ["a.en", "train", "en", "4", "2"],
        ["a.en", "dev", "en", "2", "1"],
        ["b.sw", "train", "sw", "3", "1"],
        ["one", "train", "en", "2", "1"],
        ["one", "dev", "en", "1"],
        ["two", "train", "en", "2", "1"],
    ):
        assert line in lines, line
    assert ["b.sw", "dev"] not in [line[:2] for line in lines]
    assert "missing: absent.tsv\n  get it: ask their author\n  licence: CC BY 4.0\n" in done.out
    assert "in part: two/test (en): two.en.tsv: 2 rows, but the split 'own' has 9" in done.out
    assert "wrong: " not in done.out


def test_every_count_is_in_the_json(own: Path, xstilts: Callable[..., Any]) -> None:
    done = xstilts(*check(own, "--overlap", "--json", *BOTH))
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found["targets"] == [
        {"name": "one", "rows": {"en": 2, "sw": 2}}, {"name": "two", "rows": {"en": 2, "sw": 1}},
    ]  # fmt: skip
    rows = {(row["name"], row["split"]): row for row in found["overlap"]}
    assert list(rows) == [("a.en", "train"), ("a.en", "dev"), ("b.sw", "train"), ("one", "train"),
                          ("one", "dev"), ("two", "train"), ("two", "dev")]  # fmt: skip
    assert rows["a.en", "train"]["targets"] == {
        "one": {
            "rows": {"text": 2, "any": 2}, "kept_out": 0, "dropped": 2,
            "languages": {"en": {"text": 2, "any": 2}, "sw": {"text": 1, "any": 1}},
            "scored": {"en": {"text": 2, "any": 2}, "sw": {"text": 1, "any": 1}},
        }
    }  # fmt: skip
    assert (rows["a.en", "train"]["kind"], rows["one", "train"]["kind"]) == ("source", "target")
    assert rows["one", "dev"]["targets"] == {}
    assert [entry["file"] for entry in found["missing"]] == ["absent.tsv"]
    assert (len(found["in_part"]), found["wrong"]) == (1, [])


def test_a_wrong_row_is_named_after_the_matrix_of_the_rest(
    own: Path, xstilts: Callable[..., Any]
) -> None:
    with (own / "data" / "a.tsv").open("a") as handle:
        handle.write("m\tn\tperhaps\n")
    done = xstilts(*check(own, "--overlap", "--source", "a.en", "--target", "one"))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "1 splits wrong" in done.err
    assert ["a.en", "train", "en", "4", "2"] in [line.split() for line in done.out.splitlines()]
    assert "a.tsv, line 6: unknown label 'perhaps'" in done.out
    skipped = check(own, "--overlap", "--source", "a.en", "--target", "one", "--bad-rows", "skip")
    assert xstilts(*skipped).code == 0


def test_the_table_of_sources(own: Path, xstilts: Callable[..., Any]) -> None:
    named = ("--sources", *BOTH)
    done = xstilts(*check(own, "--markdown", *named))
    assert (done.code, done.err) == (0, "")
    rows = [line for line in done.out.splitlines() if line.startswith("|")]
    assert rows == [
        "| source | language | family | train | dev | set aside or mended | licence | one | two |",
        "| --- | --- | --- | --- | --- | --- | --- | ---: | ---: |",
        "| `a.en` | English | Indo-European | 4 | 2 of 4,000 | 1 labels dropped | "
        "CC BY-NC 4.0 † | 2 + 1 |  |",
        "| `b.sw` | Swahili | Niger-Congo | 3 of 7,266 | none of 1,519 |  | CC BY 4.0 |  | 1 |",
    ]
    assert "### nli (pair_classification)" in done.out
    table = xstilts(*check(own, *named)).out
    assert "missing: absent.tsv" in table
    assert "2 of 4,000" in table
    document = json.loads(xstilts(*check(own, "--json", *named)).out)
    a, b = document["sources"]
    assert a["overlap"] == {"one": {"train": 2, "dev": 1}}
    assert (a["non_commercial"], b["non_commercial"]) == (True, False)
    assert (b["rows"], b["published"]) == ({"train": 3, "dev": 0}, {"train": 7266, "dev": 1519})
    assert (a["language_name"], a["family"], a["format"], b["missing"]) == (
        "English", "Indo-European", "pair_classification", True,
    )  # fmt: skip


def test_what_is_set_aside_elsewhere_in_a_file_is_not_in_a_part_of_it(
    own: Path, xstilts: Callable[..., Any]
) -> None:
    """The row without a label is the last one; of the three published rows the part has two."""
    text = DOCUMENTS["sources/a.en"].replace("a.en", "a-part.en").replace("train: 5", "train: 3")
    whole = 'options: {drop_labels: ["-"]}}'
    assert whole in text
    text = text.replace(whole, whole[:-1] + ", part: {start: 0, stop: 2}}")
    (own / "catalog" / "sources" / "a-part.en.yaml").write_text(text)
    named = ("--sources", "--source", "a-part.en", "--source", "a.en", "--target", "one")
    done = xstilts(*check(own, "--markdown", *named))
    assert (done.code, done.err) == (0, "")
    lines = [line for line in done.out.splitlines() if line.startswith("| `a")]
    sizes = [[cell.strip() for cell in line.split("|")][4] for line in lines]
    assert sizes == ["2 of 3", "4"]
    found = json.loads(xstilts(*check(own, "--json", *named)).out)["sources"]
    assert [row["part_of_files"]["train"] for row in found] == [True, False]
    assert [row["counts"]["train"] for row in found] == [{"labels_dropped": 1}] * 2


def test_names_restrict_the_plain_check_too(own: Path, xstilts: Callable[..., Any]) -> None:
    done = xstilts(*check(own, "--source", "a.en", "--target", "on*", "--json"))
    rows = json.loads(done.out)["rows"]
    assert [(row["name"], row["split"], row["overlap"]) for row in rows] == [
        ("a.en", "train", 2), ("a.en", "dev", 1), ("one", "train", 1), ("one", "dev", 0),
        ("one", "test", 0), ("one", "test", 0),
    ]  # fmt: skip
    done = xstilts(*check(own, "--source", "a.en", "--json"))
    assert [row["name"] for row in json.loads(done.out)["rows"]] == ["a.en", "a.en"]
    only = check(own, "--overlap", "--json", "--source", "a.en")  # against all targets
    document = json.loads(xstilts(*only).out)
    assert {row["name"] for row in document["overlap"]} == {"a.en"}
    assert {row["name"] for row in document["targets"]} == {"one", "two"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--overlap", "--sources"), "--overlap and --sources: choose one of them"),
        (("--overlap", "--json", "--markdown"), "--json and --markdown: choose one of them"),
        (("--source", "c.*"), "--source: 'c.*' fits no source; `xstilts data ls` lists them"),
        (("--target", "xnlj"), "--target: 'xnlj' fits no target; did you mean 'xnli'?"),
        (("--suite", "xtreme", "--target", "one"),
         "--target: 'one' fits no target that suite xtreme reads; "),
        (("--overlap", "--target", "xnli"), "nothing to compare: no scored or no training rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_line(
    own: Path, xstilts: Callable[..., Any], given: tuple[str, ...], says: str
) -> None:
    done = xstilts(*check(own, *given))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert says in done.err


@pytest.mark.world
def test_the_world_s_sources_are_compared_when_named(xstilts: Callable[..., Any]) -> None:
    done = xstilts("data", "check", "--overlap", "--source", "sup.A0", "--target", "world-sup")
    assert (done.code, done.err) == (0, "")
    assert "sup.A0" in done.out
