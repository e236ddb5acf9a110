"""What a data set of the hub can have wrong, and what can go wrong on the way to it."""

from __future__ import annotations

import datetime
import errno
from pathlib import Path
from typing import Any

import datasets
import httpx
import pytest
from datasets import ClassLabel, List, Value

from harness.catalog import SplitSpec
from harness.data import DataContext, load_split
from harness.errors import InputError, WorkError
from tests.hub import (
    MINING,
    NLI,
    STRING,
    XQUAD,
    Calls,
    Mirror,
    load,
    questions,
    spec,
)


@pytest.mark.parametrize(
    ("gold", "rows", "message"),
    [
        ([[1, 3]], 1, r"gold pair \[1, 3\] is beyond the corpora"),
        ([[0, 1]], 1, r"gold pair \[0, 1\] is beyond the corpora"),
        ([[1, 1]], 2, "2 rows; expected one with both corpora"),
        ([[1]], 1, r"gold 1: gold pair \[1\] is not two line numbers, foreign and English"),
        ([[1, 1], [1, 1, 2]], 1, r"gold 2: gold pair \[1, 1, 2\] is not two line numbers"),
        ([[1, None]], 1, r"gold pair \[1, None\] is not two line numbers"),
        ([None], 1, "gold pair None is not two line numbers"),
        (None, 1, "gold must be a list, got null"),
    ],
)
def test_gold_pairs_of_other_corpora(mirror: Mirror, gold: Any, rows: int, message: str) -> None:
    features = {"sentence1": List(STRING), "sentence2": List(STRING),
                "gold": List(List(Value("int64")))}  # fmt: skip
    table = {"sentence1": [["a"]] * rows, "sentence2": [["b", "c"]] * rows, "gold": [gold] * rows}
    mirror("some/set", "only", "test", features, table)
    with pytest.raises(InputError, match=message):
        load(MINING)


@pytest.mark.parametrize(
    ("sentence", "message"),
    [(None, "sentence1 2: sentence must be a string, got null"), (" ", "2: empty sentence")],
)
def test_sentences_to_mine_are_text(mirror: Mirror, sentence: str | None, message: str) -> None:
    features = {"sentence1": List(STRING), "sentence2": List(STRING),
                "gold": List(List(Value("int64")))}  # fmt: skip
    table = {"sentence1": [["a", sentence, "c"]], "sentence2": [["d", "e"]],
             "gold": [[[2, 1], [3, 2]]]}  # fmt: skip
    mirror("some/set", "only", "test", features, table)
    with pytest.raises(InputError, match=message):
        load(MINING)
    found = load(MINING, bad_rows="skip")  # the pair of a skipped sentence goes with it
    assert [(e.sentence, e.key, e.partners) for e in found.examples] == [
        ("a", "xx-000000001", ()),
        ("c", "xx-000000003", ("en-000000002",)),
        ("d", "en-000000001", ()),
        ("e", "en-000000002", ()),
    ]
    assert found.counts == {"bad_rows_skipped": 2}


@pytest.mark.parametrize(
    ("tokens", "tags", "message"),
    [
        (None, [0], "row 2: tokens must be a list, got null"),
        (["a"], None, "row 2: tags must be a list, got null"),
        ([None], [0], "row 2: token must be a string, got null"),
        (["a"], [None], "row 2: label must be a string, got null"),
    ],
)
def test_null_where_words_or_tags_should_be(
    mirror: Mirror, tokens: Any, tags: Any, message: str
) -> None:
    features = {"tokens": List(STRING), "tags": List(Value("int64"))}
    rows = {"tokens": [["a"], tokens], "tags": [[0], tags]}
    mirror("some/set", "only", "test", features, rows)
    one = spec(layout="tagged", columns=None)
    with pytest.raises(InputError, match=message):
        load(one)
    found = load(one, bad_rows="skip")
    assert (len(found), found.counts) == (1, {"bad_rows_skipped": 1})


def test_null_where_answers_should_be(mirror: Mirror) -> None:
    rows = questions(("1", "It is red.", "Colour?", ["red"], [6]),
                     ("2", "It is red.", "Hue?", [], []), title=False)  # fmt: skip
    rows["answers"][1] = {"text": None, "answer_start": [6]}
    mirror("some/set", "only", "test", XQUAD, rows)
    one = SplitSpec("hub", options={"id": "some/set", "revision": "0" * 40, "split": "test",
                                    "layout": "squad"})  # fmt: skip
    context = DataContext(bad_rows="refuse")
    with pytest.raises(InputError, match="row 2: text must be a list, got null"):
        load_split(one, "en", (), context, "t/test")


@pytest.mark.parametrize(
    ("value", "shown"), [(b"raw", "b'raw'"), (datetime.date(2018, 1, 2), r"datetime\.date\(2018")]
)
def test_a_column_that_is_no_text(mirror: Mirror, value: Any, shown: str) -> None:
    kind = Value("binary") if isinstance(value, bytes) else Value("date32")
    features = {"a": kind, "b": STRING, "label": Value("int64")}
    mirror("some/set", "only", "test", features, {"a": [value], "b": ["h"], "label": [0]})
    with pytest.raises(InputError, match=f"row 1: a must be a string, got .*{shown}"):
        load(spec())


@pytest.mark.parametrize("revision", [None, "main", "b8dd5d7", "refs/pr/1", "B" * 40])
def test_a_revision_must_be_pinned(calls: Calls, revision: str | None) -> None:
    with pytest.raises(InputError, match=r"'revision' is .*a commit of 40 hexadecimal digits"):
        load(spec(revision=revision))
    assert calls == []  # nothing was asked for


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "rows"}, "layout 'rows' is unknown; must be one of: pairs, tagged, squad"),
        ({"columns": {"premise": "c"}}, "no column 'c'; the data set has: a, b, label"),
        ({"label_names": sorted(NLI)}, r"has the labels entailment, neutral, contradiction; exp"),
        ({"config": "none"}, r"some/set@0{12} none test: not on the hub as the catalog says"),
        ({"split": "dev"}, "not on the hub as the catalog says .*dev"),
        ({"config": "x", "folder": "y"}, "option 'folder' is 'y'; must be left out where config"),
        ({"config": "x.{name}"}, "text without {name}, or `names` must have the language"),
        ({"id_prefix": "x"}, "unknown option 'id_prefix'"),
        ({"columns": {"premis": "a"}}, "option 'columns' is .*any of premise, hypothesis, label"),
    ],
)
def test_what_is_not_as_expected(mirror: Mirror, options: dict[str, Any], message: str) -> None:
    features = {"a": STRING, "b": STRING, "label": ClassLabel(names=list(NLI))}
    mirror("some/set", "only", "test", features, {"a": ["p"], "b": ["h"], "label": [0]})
    with pytest.raises(InputError, match=message) as caught:
        load(spec(**options))
    assert "\n" not in str(caught.value)


def test_bad_rows(mirror: Mirror) -> None:
    features = {"a": STRING, "b": STRING, "label": Value("int64")}
    rows = {"a": ["p", "q", None, "s"], "b": ["h"] * 4, "label": [0, -1, 1, 2]}
    mirror("some/set", "only", "test", features, rows)
    with pytest.raises(InputError, match=r"some/set@0{12} test, row 2: label -1 is no number of"):
        load(spec())
    found = load(spec(), bad_rows="skip")
    assert [(e.premise, e.label) for e in found.examples] == [("p", NLI[0]), ("s", NLI[2])]
    assert found.counts == {"bad_rows_skipped": 2}


def test_code_of_a_data_set_is_never_run(calls: Calls, tmp_path: Path) -> None:
    folder = tmp_path / "some" / "set"
    folder.mkdir(parents=True)
    (folder / "set.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(InputError, match=r"some/set@0{12} test: cannot be read without running"):
        load(spec())
    assert not (tmp_path / "ran").exists()


def test_no_connection_is_a_failure_and_no_wrong_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("Couldn't reach\nthe hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(WorkError, match=r"Couldn't reach the hub\); check the network") as caught:
        load(spec())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cause", "kind", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), WorkError,
         r"cannot be loaded from the hub \(\[Errno 28\] No space left.*disk of the cache"),
        (httpx.ReadTimeout("read\ntimed out"), WorkError, r"\(read timed out\); check the network"),
        (MemoryError(), WorkError, r"cannot be loaded from the hub \(MemoryError\)"),
        (ValueError("Parquet magic bytes not found"), InputError,
         r"not on the hub as the catalog says \(Parquet magic bytes not found\)"),
        (None, InputError, r"as the catalog says \(An error occurred while generating"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_cause_decides_what_kind_of_failure_it_is(
    monkeypatch: pytest.MonkeyPatch, cause: Exception | None, kind: type[Exception], message: str,
    wrapped: bool,
) -> None:  # fmt: skip
    """`datasets` wraps whatever happens while it writes its cache."""

    def fail(*_: Any, **__: Any) -> None:
        if cause is not None and not wrapped:
            raise cause
        generating = "An error occurred while generating the dataset"
        raise datasets.exceptions.DatasetGenerationError(generating) from cause

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(kind, match=message) as caught:
        load(spec())
    assert "\n" not in str(caught.value)


def test_a_full_disk_while_the_cache_is_written(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the library itself raises it."""
    from datasets.arrow_writer import ArrowWriter

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    features = {"a": STRING, "b": STRING, "label": ClassLabel(names=list(NLI))}
    mirror("some/set", "only", "test", features, {"a": ["p"] * 2, "b": ["h"] * 2, "label": [0] * 2})
    monkeypatch.setattr(ArrowWriter, "write_table", full)
    with pytest.raises(WorkError, match="No space left on device"):
        load(spec())
