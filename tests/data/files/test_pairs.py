"""Pairs from tables and JSON: each trap of the published files, and each error with its place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.data import ReadReport, ReadRequest
from harness.data.files import read_delimited, read_jsonl
from harness.errors import InputError

from .conftest import NLI, Read

CSV = {
    "delimiter": ",",
    "header": True,
    "quoting": "csv",
    "columns": {"premise": "premise", "hypothesis": "hypothesis", "label": "label"},
}
HEAD = "premise,hypothesis,label\n"


def triples(examples: list[Any]) -> list[tuple[str, str, str | None]]:
    return [(example.premise, example.hypothesis, example.label) for example in examples]


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ("a\tb\tneutral\n", {}, [("a", "b", "neutral")]),
        ("a\tb\tneutral\r\nc\td\tneutral", {}, [("a", "b", "neutral"), ("c", "d", "neutral")]),
        ("\ufeffa\tb\tneutral\n\n\n", {}, [("a", "b", "neutral")]),
        ('"a\tb" x\tneutral\n', {}, [('"a', 'b" x', "neutral")]),
        ('"a ""q"" \tz"\tb\tneutral\r\n', {"quoting": "csv"}, [('a "q" \tz', "b", "neutral")]),
        ('He said "x"\tb\tneutral\n', {"quoting": "csv"}, [('He said "x"', "b", "neutral")]),
        (HEAD + '"a\nb, c",d,neutral\n', CSV, [("a\nb, c", "d", "neutral")]),
        (HEAD + '"a\u2028b",d,neutral\n', CSV, [("a\u2028b", "d", "neutral")]),
        (
            "label\tx\ty\te\nneutral\tp\th\t1\n",
            {"header": True, "columns": {"premise": "x", "hypothesis": 2, "label": "label"}},
            [("p", "h", "neutral")],
        ),
        ("a\tb\te\n", {"label_map": {"e": "entailment"}}, [("a", "b", "entailment")]),
        ("a\tb\n", {"gold": "withheld"}, [("a", "b", None)]),
        ("a\tb\tnonsense\n", {"gold": "withheld"}, [("a", "b", None)]),
        ("one\tneutral\n", {"columns": {"premise": 0, "label": 1}}, [("one", "", "neutral")]),
    ],
)
def test_tables(
    read: Read, content: str, options: dict[str, Any], expected: list[tuple[str, str, str | None]]
) -> None:
    examples, counts = read(read_delimited, content, options=options)
    assert triples(examples) == expected
    assert not counts


def test_numbers_as_labels_and_label_map_keys(read: Read) -> None:
    options = {"label_map": {0: "no", 1: "yes"}}
    examples, _ = read(read_delimited, "a\tb\t1\n", options=options, labels=("no", "yes"))
    assert examples[0].label == "yes"
    line = json.dumps({"premise": "a", "hypothesis": "b", "label": 1})
    assert read(read_jsonl, line, labels=("0", "1"))[0][0].label == "1"


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("a\tb\tneutral\nc\td\n", {}, r"0\.txt, line 2: 2 columns, the first row has 3"),
        ("a\tb\tneutral\n\nc\td\tneutral\n", {}, "line 2: blank line between rows"),
        ("a\tb\tmaybe\n", {}, "line 1: unknown label 'maybe'; known: contradiction, entailment"),
        ("a\tb\tneutral \n", {}, "unknown label 'neutral '"),
        (b"a\tb\tneutral\nc\xff\td\tneutral\n", {}, "line 2: byte 0xff is not UTF-8"),
        (b"a\x00\tb\tneutral\n", {}, "line 1: NUL byte"),
        (HEAD.encode() + b'"a\n\xff",b,neutral\n', CSV, "line 2: byte 0xff is not UTF-8"),
        (HEAD + '"a" x,b,neutral\n', CSV, "line 2: broken CSV quoting .*use quoting: none"),
        (HEAD + 'a,b,"neutral\n', CSV, "line 2: broken CSV quoting"),
        (HEAD + "a,b\n", CSV, "line 2: 2 columns, the first row has 3"),
    ],
)
def test_a_bad_row_refuses_the_file_or_is_skipped_and_counted(
    read: Read, content: str | bytes, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message + r".*--bad-rows skip"):
        read(read_delimited, content, options=options)
    examples, counts = read(read_delimited, content, options=options, bad_rows="skip")
    assert counts == {"bad_rows_skipped": 1}
    assert all(example.label in NLI for example in examples)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("a,b\n1,2\n", CSV, r"line 1: no column 'premise'; the header has: a, b"),
        ("a\tb\n", {}, "line 1: no column 2; the row has columns 0 to 1"),
        ("a\tb\tneutral\n", {**CSV, "header": False, "delimiter": "\t"}, "has no header"),
        ("x", {"delimeter": ","}, "unknown option 'delimeter'; allowed: columns, delimiter"),
        ("x", {"delimiter": ",,"}, "option 'delimiter' is ',,'; must be one character"),
        ("x", {"quoting": "all"}, "option 'quoting' is 'all'; must be one of csv, none"),
        ("x", {"header": "yes"}, "option 'header' is 'yes'; must be true or false"),
        ("x", {"gold": "hidden"}, "must be one of given, withheld"),
        ("x", {"columns": {"premise": 0}}, "label .*gold: withheld"),
        ("x", {"columns": {"label": 0}}, "a mapping with premise"),
        ("x", {"columns": [0, 1, 2]}, "must be a mapping"),
        ("x", {"label_map": {"e": None}}, "mapping of strings to strings"),
    ],
)
def test_wrong_options_and_headers_are_refused_even_when_rows_are_skipped(
    read: Read, content: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(read_delimited, content, options=options, bad_rows="skip")


def test_rows_of_parallel_files_keep_their_number_when_rows_are_dropped(read: Read) -> None:
    content = "a\tb\tneutral\nc\td\t-\ne\tf\tbad\ng\th\tneutral\n"
    options = {"group": "row", "group_namespace": "dev", "drop_labels": ["-"]}
    examples, counts = read(read_delimited, content, options=options, bad_rows="skip")
    assert [example.group for example in examples] == ["dev:0", "dev:3"]
    assert [example.id for example in examples] == ["0.txt:0", "0.txt:3"]
    assert counts == {"labels_dropped": 1, "bad_rows_skipped": 1}
    examples, _ = read(read_delimited, "a\tb\tneutral\n", options={"group": "row"})
    assert examples[0].group == "row:0"


def test_groups_and_ids_by_column_and_several_files(read: Read) -> None:
    options = {**CSV, "group": "hypothesis", "group_namespace": "prompt"}
    options["columns"] = {**CSV["columns"], "id": "premise"}  # type: ignore[dict-item]
    files = [HEAD + "1,x,neutral\n", HEAD + "2,y,neutral\n3,x,neutral\n"]
    examples, _ = read(read_delimited, *files, options=options)
    assert [(e.id, e.group) for e in examples] == [
        ("1", "prompt:x"),
        ("2", "prompt:y"),
        ("3", "prompt:x"),
    ]


def test_groups_of_a_field_that_counts_from_elsewhere(read: Read) -> None:
    """AmericasNLI gives XNLI's rows by numbers that start at 12451."""
    columns = {**CSV["columns"], "id": "premise"}  # type: ignore[dict-item]
    options = {**CSV, "columns": columns, "group": "premise", "group_namespace": "set",
               "group_base": 40}  # fmt: skip
    content = HEAD + "40,x,neutral\n39,y,neutral\nten,y,neutral\n142,z,neutral\n"
    examples, counts = read(read_delimited, content, options=options, bad_rows="skip")
    assert [(e.id, e.group) for e in examples] == [("40", "set:0"), ("142", "set:102")]
    assert counts == {"bad_rows_skipped": 2}
    with pytest.raises(InputError, match=r"line 3: premise is '39', no row number from 40 on"):
        read(read_delimited, content, options=options)
    for group in ("row", None):
        with pytest.raises(InputError, match=r"'group_base' is 40; must be left out unless"):
            read(read_delimited, content, options={**options, "group": group})


def test_where_chooses_rows_and_numbers_count_among_them(read: Read) -> None:
    options = {**CSV, "where": {"premise": "sw"}, "group": "row"}
    content = HEAD + "en,a,neutral\nsw,b,neutral\nsw,c,entailment\n"
    examples, _ = read(read_delimited, content, options=options)
    assert [(e.hypothesis, e.group) for e in examples] == [("b", "row:0"), ("c", "row:1")]


def test_gold_from_a_parallel_file(read: Read) -> None:
    options = {"columns": {"premise": 0, "hypothesis": 1}, "gold_file": {"header": True}}
    rows, gold = "a\tb\r\nc\td\r\ne\tf\r\n", "text\tlabel\nx\tneutral\nx\tentailment\n"
    examples, counts = read(read_delimited, rows, gold, options=options)
    assert triples(examples) == [("a", "b", "neutral"), ("c", "d", "entailment")]
    assert counts == {"rows_without_gold": 1}
    with pytest.raises(InputError, match="name the file with the gold last"):
        read(read_delimited, rows, options=options)


def test_empty_texts_stay_and_are_counted(read: Read) -> None:
    examples, counts = read(read_delimited, "a\t\tneutral\n")
    assert triples(examples) == [("a", "", "neutral")]
    assert counts == {"empty_texts": 1}


JSON_ROW = {"premise": "a", "hypothesis": "b", "label": "neutral"}


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(JSON_ROW) + "\n",
        "\ufeff" + json.dumps(JSON_ROW) + "\r\n\r\n",
        json.dumps([JSON_ROW], indent=4),
        "\n\n [" + json.dumps(JSON_ROW) + "]\n",
    ],
)
def test_json_lines_and_lists(read: Read, content: str) -> None:
    examples, counts = read(read_jsonl, content)
    assert triples(examples) == [("a", "b", "neutral")]
    assert not counts


def test_json_lines_may_hold_line_separators_and_nested_fields(read: Read) -> None:
    row = {"q": {"one": "a\u2028b"}, "two": "c", "gold.label": 0, "id": 7}
    options = {
        "fields": {"premise": "q.one", "hypothesis": "two", "label": "gold.label", "id": "id"}
    }
    content = json.dumps(row, ensure_ascii=False)
    examples, _ = read(read_jsonl, content, options=options, labels=("0",))
    assert triples(examples) == [("a\u2028b", "c", "0")]
    assert examples[0].id == "7"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{'a': 1}", "line 2: invalid JSON"),
        ("[1]", "line 2: must be a JSON object"),
        ('{"premise": "a"}', "line 2: no field 'label'; the row has: premise"),
        (json.dumps({**JSON_ROW, "premise": None}), "line 2: premise must be a string, got null"),
        (json.dumps({**JSON_ROW, "label": "x"}), "line 2: unknown label 'x'"),
        (json.dumps({**JSON_ROW, "premise": "\ud800"}), "line 2: premise holds a lone surrogate"),
    ],
)
def test_bad_json_lines(read: Read, line: str, message: str) -> None:
    content = json.dumps(JSON_ROW) + "\n" + line + "\n"
    with pytest.raises(InputError, match=message):
        read(read_jsonl, content)
    examples, counts = read(read_jsonl, content, bad_rows="skip")
    assert len(examples) == 1
    assert counts == {"bad_rows_skipped": 1}


def _real(
    shared_data: Path, name: str, options: dict[str, Any], labels: tuple[str, ...] = NLI
) -> tuple[list[Any], dict[str, int]]:
    report = ReadReport()
    file = shared_data / name
    request = ReadRequest((file,), "en", labels, options, report, shared_data)
    reader = read_jsonl if "fields" in options or file.suffix == ".jsonl" else read_delimited
    return list(reader(request)), dict(report.counts)


ENC = {"e": "entailment", "n": "neutral", "c": "contradiction"}
ONE_TWO = {"premise": "sentence1", "hypothesis": "sentence2", "label": "label"}
KORNLI = {"header": True, "columns": {**ONE_TWO, "label": "gold_label"}}
FARSTAIL = {**CSV, "delimiter": "\t", "label_map": ENC}
ANLI = {
    **CSV,
    "label_map": ENC,
    "columns": {"premise": "context", "hypothesis": "statement", "label": "gold_label"},
}
CONJ = {
    "header": True,
    "columns": {"premise": "Premise", "hypothesis": "Hypothesis", "label": "Label"},
}


@pytest.mark.parametrize(
    ("name", "options", "count", "first", "last", "counts"),
    [
        ("xnli/dev-en.tsv", {}, 2490, "And he said, Mama, I'm home.", "entailment", {}),
        ("kornli/KorNLI/xnli.dev.ko.tsv", KORNLI, 2490, "그리고 그가 말했다,", "entailment", {}),
        ("mnli_csv/dev.csv", CSV, 7500, "The new rights are nice enough", "contradiction", {}),
        ("farstail/Val-word.csv", FARSTAIL, 1537, "یکی از سرآمدانی", "neutral", {}),
        ("anli/ANLI_analysis_r1_dev.csv", ANLI, 1000, "Linguistics is the", "neutral", {}),
        ("conjnli/conj_dev.tsv", CONJ, 623, "Historically, the Commission", "neutral", {}),
        ("indonli/train.jsonl", {"label_map": ENC}, 2000, "Presiden Joko", "entailment", {}),
        (
            "ocnli/dev.json",
            {"fields": ONE_TWO, "drop_labels": ["-"]},
            2360,
            "身上裹一件工厂发的棉大衣",
            "contradiction",
            {"labels_dropped": 40},
        ),
    ],
)
def test_real_files(
    shared_data: Path,
    name: str,
    options: dict[str, Any],
    count: int,
    first: str,
    last: str,
    counts: dict[str, int],
) -> None:
    examples, found = _real(shared_data, name, options)
    assert (len(examples), found) == (count, counts)
    assert examples[0].premise.startswith(first)
    assert examples[0].id == f"{name}:0"
    assert examples[-1].label == last
    assert not any("\r" in text for e in examples for text in (e.premise, e.hypothesis))


def test_real_rows_are_read_as_published(shared_data: Path) -> None:
    french, _ = _real(shared_data, "pawsx/dev-fr.tsv", {"quoting": "csv"}, ("0", "1"))
    plain, _ = _real(shared_data, "pawsx/dev-fr.tsv", {}, ("0", "1"))
    assert len(french) == len(plain) == 1500
    assert sum(a.premise != b.premise or a.hypothesis != b.hypothesis for a, b in
               zip(french, plain, strict=True)) == 153  # fmt: skip
    assert not any(re.match(r'".*"$', e.premise) and '""' in e.premise for e in french)
    with pytest.raises(InputError, match=r"xnli\.dev\.ko\.tsv, line 899: broken CSV quoting"):
        _real(shared_data, "kornli/KorNLI/xnli.dev.ko.tsv", {**KORNLI, "quoting": "csv"})
    with pytest.raises(InputError, match=r"train\.3k\.json, line 1297: unknown label '-'"):
        _real(shared_data, "ocnli/train.3k.json", {"fields": ONE_TWO})
    with pytest.raises(InputError, match=r"test-en\.tsv, line 1: no column 2"):
        _real(shared_data, "xnli/test-en.tsv", {})
    assert len(_real(shared_data, "xnli/test-en.tsv", {"gold": "withheld"})[0]) == 500


def test_real_gold_of_a_parallel_language(shared_data: Path) -> None:
    """The labels of every language's XNLI test rows are those of the Korean file, row by row."""
    options = {
        "columns": {"premise": 0, "hypothesis": 1},
        "gold_file": {"header": True, "label": "gold_label"},
    }
    files = (shared_data / "xnli/test-ur.tsv", shared_data / "kornli/KorNLI/xnli.test.ko.tsv")
    request = ReadRequest(files, "ur", NLI, options, ReadReport(), shared_data)
    own = {"header": True, "columns": {**ONE_TWO, "premise": "sentence1_ur", "hypothesis": 3}}
    gold, _ = _real(shared_data, "xnli_labelled_myxnli/ur.genre.test.tsv", own)
    assert [e.label for e in read_delimited(request)] == [e.label for e in gold[:500]]
