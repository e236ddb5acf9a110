"""Layouts of the hub that only sources have: choices, and questions without an answer."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import ClassLabel, List, Value

from harness.data import ChoiceExample, Dataset
from harness.errors import InputError
from tests.hub import SQUAD, STRING, Mirror, load, questions, spec

COLUMNS = {"q": STRING, "x": STRING, "y": STRING, "gold": STRING}
ROWS = {"q": ["Q0", "Q1"], "x": ["a", "b"], "y": ["c", "d"], "gold": ["B", "A"]}
OPTIONS: dict[str, Any] = {
    "layout": "choices", "context": ["q"], "choices": ["x", "y"], "columns": {"label": "gold"},
    "label_names": None,
}  # fmt: skip


def read(mirror: Mirror, features: dict[str, Any], rows: Any, **options: Any) -> Dataset:
    given = {key: options.pop(key) for key in ("bad_rows",) if key in options}
    mirror("some/set", "only", "test", features, rows)
    return load(spec(**{**OPTIONS, **options}), **given)


def outlines(data: Dataset) -> list[tuple[Any, ...]]:
    found = []
    for example in data.examples:
        assert isinstance(example, ChoiceExample)
        found.append((example.context, example.choices, example.label))
    return found


@pytest.mark.parametrize(
    ("kind", "gold", "options"),
    [
        (STRING, ["B", "A"], {}),
        (STRING, ["1", "0"], {}),
        (Value("int64"), [1, 0], {}),
        (Value("int8"), [2, 1], {"label_base": 1}),
        (ClassLabel(names=["first", "second"]), [1, 0], {}),
        (STRING, ["second", "first"], {"label_map": {"first": "A", "second": "B"}}),
    ],
)
def test_the_right_choice_by_letter_number_or_name(
    mirror: Mirror, kind: Any, gold: list[Any], options: dict[str, Any]
) -> None:
    found = read(mirror, {**COLUMNS, "gold": kind}, {**ROWS, "gold": gold}, **options)
    assert outlines(found) == [("Q0", ("a", "c"), 1), ("Q1", ("b", "d"), 0)]
    assert [example.id for example in found.examples] == ["some/set/test:0", "some/set/test:1"]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (List(STRING), [["a", "c"], ["b", "d", "e"]]),
        (
            {"label": List(STRING), "text": List(STRING)},
            [{"label": ["A", "B"], "text": ["a", "c"]},
             {"label": ["A", "B", "C"], "text": ["b", "d", "e"]}],
        ),
        (
            List({"label": STRING, "text": STRING}),
            [[{"label": "A", "text": "a"}, {"label": "B", "text": "c"}],
             [{"label": "A", "text": "b"}, {"label": "B", "text": "d"},
              {"label": "C", "text": "e"}]],
        ),
    ],
)  # fmt: skip
def test_choices_in_one_column(mirror: Mirror, kind: Any, values: list[Any]) -> None:
    features = {"q": STRING, "all": kind, "gold": STRING, "key": Value("int64")}
    rows = {"q": ["Q0", "Q1"], "all": values, "gold": ["B", "C"], "key": [7, 8]}
    found = read(mirror, features, rows, choices=["all"], columns={"label": "gold", "id": "key"},
                 group="row", group_namespace="some-rows")  # fmt: skip
    assert outlines(found) == [("Q0", ("a", "c"), 1), ("Q1", ("b", "d", "e"), 2)]
    assert [(e.id, e.group) for e in found.examples] == [("7", "some-rows:0"), ("8", "some-rows:1")]


def test_codes_of_a_context_become_text(mirror: Mirror) -> None:
    features, rows = {**COLUMNS, "of": STRING}, {**ROWS, "of": ["cause", "effect"]}
    codes = {"of": {"cause": "Why?", "effect": "So?"}}
    found = read(mirror, features, rows, context=["q", "of"], context_map=codes)
    assert [example[0] for example in outlines(found)] == ["Q0 Why?", "Q1 So?"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gold": [""]}, "row 2: unknown label ''; known: A, B, or 0 to 1"),
        ({"gold": ["-1"]}, "row 2: unknown label '-1'"),
        ({"gold": [None]}, "row 2: label must be a string, got null"),
        ({"q": [None]}, "row 2: q must be a string, got null"),
        ({"x": [None]}, "row 2: choice 1 must be a string, got null"),
    ],
)
def test_bad_rows(mirror: Mirror, change: dict[str, Any], message: str) -> None:
    rows = {key: [values[0], *change.get(key, values[1:])] for key, values in ROWS.items()}
    mirror("some/set", "only", "test", COLUMNS, rows)
    with pytest.raises(InputError, match=f"some/set@0{{12}} test, {message}"):
        load(spec(**OPTIONS))
    found = load(spec(**OPTIONS), bad_rows="skip")
    assert (len(found), found.counts) == (1, {"bad_rows_skipped": 1})


def test_a_list_that_is_null_or_short(mirror: Mirror) -> None:
    features = {"q": STRING, "all": List(STRING), "gold": STRING}
    rows = {"q": ["Q"] * 3, "all": [["a", "b"], None, ["a"]], "gold": ["A"] * 3}
    found = read(mirror, features, rows, choices=["all"], bad_rows="skip")
    assert (len(found), found.counts) == (1, {"bad_rows_skipped": 2})
    with pytest.raises(InputError, match="row 2: all must be a list of choices"):
        load(spec(**{**OPTIONS, "choices": ["all"]}))


def test_a_split_without_gold_needs_no_label_column(mirror: Mirror) -> None:
    features = {key: kind for key, kind in COLUMNS.items() if key != "gold"}
    rows = {key: values for key, values in ROWS.items() if key != "gold"}
    found = read(mirror, features, rows, gold="withheld")
    assert outlines(found) == [("Q0", ("a", "c"), None), ("Q1", ("b", "d"), None)]
    with pytest.raises(InputError, match="no column 'gold'; the data set has: q, x, y"):
        load(spec(**OPTIONS))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"premise": "q"}}, r"option 'columns' is .*any of label, id"),
        ({"choices": []}, "option 'choices' .*one field that holds a list"),
        ({"context": ["w"]}, "no column 'w'"),
        ({"where": {"q": "Q0"}}, "unknown option 'where'"),
        ({"no_answers": "unanswerable"}, "unknown option 'no_answers'"),
    ],
)
def test_wrong_options(mirror: Mirror, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(mirror, COLUMNS, ROWS, **options)


def test_a_question_without_an_answer_is_unanswerable_where_that_is_said(mirror: Mirror) -> None:
    """One whose only answer stands nowhere in its context is dropped in any case."""
    rows = questions(
        ("q0", "It is red.", "Colour?", ["red"], [6]),
        ("q1", "It is red.", "Size?", [], []),
        ("q2", "It is red.", "Shape?", ["round"], [6]),
        title=True,
    )
    mirror("some/set", "only", "test", SQUAD, rows)
    options = {"layout": "squad", "columns": None, "label_names": None}
    found = load(spec(**options, no_answers="unanswerable"))
    assert [(e.id, e.answerable) for e in found.examples] == [("q0", True), ("q1", False)]
    assert found.counts == {"answers_dropped": 1, "questions_dropped": 1}
    found = load(spec(**options))
    assert [e.id for e in found.examples] == ["q0"]
    assert found.counts == {"answers_dropped": 1, "questions_dropped": 2}
    found = load(spec(**options, no_answers="unanswerable", answerable_only=True))
    assert [e.id for e in found.examples] == ["q0"]
    assert found.counts["unanswerable_dropped"] == 1
    with pytest.raises(
        InputError, match="'no_answers' is 'impossible'; must be one of dropped, un"
    ):
        load(spec(**options, no_answers="impossible"))
