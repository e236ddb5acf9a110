"""Multiple choice: where context, choices and label hide in the published layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.data import ReadReport, ReadRequest
from harness.data.files import read_choices
from harness.errors import InputError

from .conftest import Read

HELLASWAG = {"context": ["ctx_a", "ctx_b"], "choices": "endings"}
CSQA = {
    "context": "question.stem",
    "choices": "question.choices",
    "label": "answerKey",
    "id": "id",
}
CSQA_FLAT = {"context": "question", "choices": "choices", "label": "answerKey"}
SIQA = {
    "context": ["context", "question"],
    "choices": ["answerA", "answerB", "answerC"],
    "label": "correct",
}
XCOPA = {
    "context": ["premise", "question"],
    "context_map": {"question": {"cause": "Why?", "effect": "So?"}},
    "choices": ["choice1", "choice2"],
    "group": "idx",
    "group_namespace": "xcopa",
}
PARSINLU = {"context": "question", "choices": "candidates", "label": "answer", "label_base": 1}
COSMOS = {
    "layout": "table",
    "delimiter": ",",
    "header": True,
    "quoting": "csv",
    "context": ["context", "question"],
    "choices": ["answer0", "answer1", "answer2", "answer3"],
}


@pytest.mark.parametrize(
    ("row", "options", "expected"),
    [
        (
            {"ctx_a": "A man.", "ctx_b": "he", "endings": ["x", "y"], "label": 1},
            HELLASWAG,
            ("A man. he", ("x", "y"), 1),
        ),
        (
            {"ctx_a": "Steps.", "ctx_b": "", "endings": ["x", "y"], "label": "0"},
            HELLASWAG,
            ("Steps.", ("x", "y"), 0),
        ),
        (
            {
                "id": "q",
                "answerKey": "B",
                "question": {
                    "stem": "Why?",
                    "choices": [{"label": "A", "text": "x"}, {"label": "B", "text": "y"}],
                },
            },
            CSQA,
            ("Why?", ("x", "y"), 1),
        ),
        (
            {
                "question": "Why?",
                "choices": {"label": ["A", "B"], "text": ["x", "y"]},
                "answerKey": "A",
            },
            CSQA_FLAT,
            ("Why?", ("x", "y"), 0),
        ),
        (
            {"context": "C.", "question": "Q?", "answerA": "x", "answerB": "y", "answerC": "z",
             "correct": "C"},
            SIQA,
            ("C. Q?", ("x", "y", "z"), 2),
        ),
        (
            {"premise": "P.", "question": "effect", "choice1": "x", "choice2": "y", "label": 1,
             "idx": 5},
            XCOPA,
            ("P. So?", ("x", "y"), 1),
        ),
        ({"question": "Q", "candidates": ["x", "y"], "answer": "۲"}, PARSINLU, ("Q", ("x","y"), 1)),
        (
            {"context": "C", "choices": ["x", "y"], "label": "second"},
            {"label_map": {"second": 1}},
            ("C", ("x", "y"), 1),
        ),
        ({"context": "C", "choices": ["x", "y"]}, {"gold": "withheld"}, ("C", ("x", "y"), None)),
    ],
)  # fmt: skip
def test_layouts(
    read: Read,
    row: dict[str, Any],
    options: dict[str, Any],
    expected: tuple[str, tuple[str, ...], int | None],
) -> None:
    examples, _ = read(read_choices, json.dumps(row) + "\r\n", options=options, labels=())
    assert [(e.context, e.choices, e.label) for e in examples] == [expected]


def test_groups_ids_and_tables(read: Read) -> None:
    row = {
        "premise": "P",
        "question": "cause",
        "choice1": "x",
        "choice2": "y",
        "label": 0,
        "idx": 5,
    }
    examples, _ = read(read_choices, json.dumps([row]), options=XCOPA)
    assert (examples[0].id, examples[0].group) == ("0.txt:0", "xcopa:5")
    table = 'id,context,question,answer0,answer1,answer2,answer3,label\r\n7,"a, b",Q,w,x,y,z,3\r\n'
    examples, _ = read(read_choices, table, options={**COSMOS, "id": "id"})
    assert (examples[0].id, examples[0].context, examples[0].label) == ("7", "a, b Q", 3)


def test_empty_choices_stay_and_are_counted(read: Read) -> None:
    rows = [{"context": "C", "choices": ["x", "y", last], "label": 0} for last in ("", "z", " ")]
    examples, counts = read(read_choices, json.dumps(rows))
    assert [len(example.choices) for example in examples] == [3, 3, 3]
    assert counts == {"empty_texts": 2}


GOOD = {"context": "C", "choices": ["x", "y"], "label": 0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 2}, r"line 2: unknown label '2'; known: A, B, or 0 to 1"),
        ({"label": -1}, "unknown label '-1'"),
        ({"label": "C"}, "unknown label 'C'"),
        ({"label": True}, "unknown label 'true'"),
        ({"label": None}, "label must be a string, got null"),
        ({"choices": ["x"]}, r"1 choice\(s\); there must be at least 2"),
        ({"choices": "xy"}, "choices must be a list of choices"),
        ({"choices": ["x", None]}, "choice 2 must be a string, got null"),
        ({"choices": {"label": ["A"], "text": []}}, "lists label and text, of equal length"),
        ({"context": 3}, "context must be a string, got 3"),
    ],
)
def test_bad_rows(read: Read, change: dict[str, Any], message: str) -> None:
    content = json.dumps(GOOD) + "\n" + json.dumps({**GOOD, **change}) + "\n"
    with pytest.raises(InputError, match=message):
        read(read_choices, content)
    examples, counts = read(read_choices, content, bad_rows="skip")
    assert len(examples) == 1
    assert counts == {"bad_rows_skipped": 1}


def test_an_unknown_code_of_a_mapped_field_is_named(read: Read) -> None:
    options = {"context_map": {"context": {"cause": "Why?"}}}
    with pytest.raises(InputError, match="unknown context 'C'; known: cause"):
        read(read_choices, json.dumps(GOOD), options=options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"choices": []}, "one field that holds a list"),
        ({"context_map": {"x": "y"}}, "a mapping of fields to mappings"),
        ({"label_base": "1"}, "an integer of at least 0"),
        ({"layout": "xml"}, "one of json, table"),
        ({"contexts": "x"}, "unknown option 'contexts'"),
    ],
)
def test_wrong_options(read: Read, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(read_choices, json.dumps(GOOD), options=options)


JCQA = {"context": "question", "choices": [f"choice{i}" for i in range(5)]}


@pytest.mark.parametrize(
    ("name", "options", "count", "choices"),
    [
        ("hellaswag/hellaswag_val.jsonl", HELLASWAG, 700, 4),
        ("commonsenseqa/v1.0/dev_rand_split.jsonl", CSQA, 650, 3),
        ("commonsenseqa/v1.11-flat-export/dev_rand_split.jsonl", CSQA_FLAT, 900, 5),
        ("siqa/socialIQa_v1.4_dev.jsonl", SIQA, 1400, 3),
        ("cosmosqa/valid.csv", COSMOS, 2200, 4),
        ("xcopa/data/ta/test.ta.jsonl", XCOPA, 500, 2),
        ("parsinlu/multiple-choice/train.jsonl", PARSINLU, 1271, 4),
        ("jglue/jcommonsenseqa-v1.3/valid-v1.3.json", JCQA, 1119, 5),
    ],
)
def test_real_files(
    shared_data: Path, name: str, options: dict[str, Any], count: int, choices: int
) -> None:
    request = ReadRequest((shared_data / name,), "en", (), options, ReadReport(), shared_data)
    examples = list(read_choices(request))
    assert len(examples) == count
    assert {len(e.choices) for e in examples} == {choices}
    labels = {e.label for e in examples}
    assert labels == set(range(choices))
