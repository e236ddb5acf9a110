"""Span questions: offsets, impossible questions, layouts with and without titles, real files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.data import Answer, ReadReport, ReadRequest
from harness.data.files import read_squad
from harness.errors import InputError

from .conftest import Read

CONTEXT = "The cat saw the dog. The cat slept."


def squad(*questions: dict[str, Any], context: Any = CONTEXT, title: str | None = "Cats") -> str:
    article: dict[str, Any] = {"paragraphs": [{"context": context, "qas": list(questions)}]}
    if title is not None:
        article["title"] = title
    return json.dumps({"version": "1.1", "data": [article]})


def question(*answers: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    entries = [{"text": text, "answer_start": start} for text, start in answers]
    return {"id": "q1", "question": "Who?", "answers": entries, **fields}


@pytest.mark.parametrize(
    ("answers", "kept", "counts"),
    [
        ([("cat", 4)], [("cat", 4)], {}),
        ([("cat", 25), ("cat", 4), ("cat", 4)], [("cat", 25), ("cat", 4), ("cat", 4)], {}),
        ([("dog", 15)], [("dog", 16)], {"answers_mended": 1}),
        ([("dog", -1)], [("dog", 16)], {"answers_mended": 1}),
        ([("slept.", 9999)], [("slept.", 29)], {"answers_mended": 1}),
        ([("cat", 5), ("dog", 16)], [("dog", 16)], {"answers_dropped": 1}),
        ([("cat", -31), ("dog", 16)], [("dog", 16)], {"answers_dropped": 1}),
        ([("bird", 0)], None, {"answers_dropped": 1, "questions_dropped": 1}),
        ([("", 0), ("dog", 16)], [("dog", 16)], {"answers_empty": 1}),
        ([(" ", 3), ("dog", 16)], [("dog", 16)], {"answers_empty": 1}),
        ([], None, {"questions_dropped": 1}),
    ],
)
def test_offsets(
    read: Read,
    answers: list[tuple[str, int]],
    kept: list[tuple[str, int]] | None,
    counts: dict[str, int],
) -> None:
    other = question(("dog", 16), id="other")
    examples, found = read(read_squad, squad(question(*answers), other))
    expected = [] if kept is None else [tuple(Answer(*answer) for answer in kept)]
    assert [example.answers for example in examples[:-1]] == expected
    assert found == counts


def test_impossible_questions_and_plausible_answers(read: Read) -> None:
    plausible = [{"text": "cat", "answer_start": 4}]
    impossible = question(is_impossible=True, plausible_answers=plausible)
    content = squad(impossible, question(("dog", 16), is_impossible=False))
    examples, counts = read(read_squad, content)
    assert [(e.answerable, e.answers) for e in examples] == [
        (False, ()),
        (True, (Answer("dog", 16),)),
    ]
    assert not counts
    examples, counts = read(read_squad, content, options={"answerable_only": True})
    assert [e.answerable for e in examples] == [True]
    assert counts == {"unanswerable_dropped": 1}


def test_withheld_gold_must_be_asked_for(read: Read) -> None:
    content = squad(question(("", 0)), title=None)
    with pytest.raises(InputError, match=r"0\.txt: every answer is empty.*set gold: withheld"):
        read(read_squad, content)
    examples, counts = read(read_squad, content, options={"gold": "withheld"})
    assert [(e.answers, e.answerable) for e in examples] == [((), True)]
    assert not counts


def test_groups_and_ids(read: Read) -> None:
    titled, bare = squad(question(("dog", 16))), squad(question(("dog", 16)), title=None)
    examples, _ = read(read_squad, titled, titled, bare)
    assert [e.id for e in examples] == ["q1", "q1", "q1"]  # published ids repeat
    assert [e.group for e in examples[:2]] == ["article:Cats"] * 2
    assert examples[2].group.startswith("context:")
    options = {"ids": "position", "group_namespace": "xquad"}
    twice = squad(question(("dog", 16)), question(("dog", 16)))
    examples, _ = read(read_squad, twice, options=options)
    assert [e.id for e in examples] == ["0.txt:0", "0.txt:1"]
    assert examples[0].group == "xquad:Cats"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "not in SQuAD's layout: 'data' must be a list"),
        ('{"data": [{"title": "x"}]}', "article 1: not in SQuAD's layout: 'paragraphs'"),
        ('{"data": [1]}', "'data' must be a list of objects"),
        ('{"data": ', r"0\.txt, line 1: invalid JSON"),
        (squad() + "x", "line 1: invalid JSON"),
    ],
)
def test_another_layout_is_refused(read: Read, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(read_squad, content, bad_rows="skip")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"id": "x", "answers": []}, "article 1, paragraph 1, question 1: no field 'question'"),
        ({"question": "x", "answers": []}, "no field 'id'"),
        ({"id": "x", "question": "x"}, "no field 'answers'"),
        (question(("dog", "16")), "answer_start must be a whole number, got '16'"),
        (question(("dog", True)), "answer_start must be a whole number, got True"),
        (question(is_impossible="no"), "is_impossible must be true or false"),
        (question(question=None), "question must be a string, got null"),
    ],
)
def test_bad_questions(read: Read, entry: dict[str, Any], message: str) -> None:
    content = squad(entry, question(("dog", 16)))
    with pytest.raises(InputError, match=message):
        read(read_squad, content)
    examples, counts = read(read_squad, content, bad_rows="skip")
    assert len(examples) == 1
    assert counts["bad_rows_skipped"] == 1


def test_bad_context(read: Read) -> None:
    with pytest.raises(InputError, match="paragraph 1: context must be a string"):
        read(read_squad, squad(question(("dog", 16)), context=3))


CMRC = "cmrc2018/squad-style-data/cmrc2018_dev.json"
TYDIQA = "tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.en.train.json"


@pytest.mark.parametrize(
    ("name", "count", "offsets", "first", "last"),
    [
        ("xquad/xquad.en.json", 1190, 0, "56beb4343aeaaa14008c925b", "5737a25ac3c5551400e51f54"),
        ("squad_v2/dev-v2.0.json", 4813, 0, "68cf05f67fd29c6f129fe2fb9", None),
        ("squad_it/SQuAD_it-test.json.gz", 7599, 98, "5725b33f6a3fe71400b8952d", None),
        (CMRC, 983, 95, "DEV_0_QUERY_0", None),
        ("arcd/arcd-train.json", 690, 3, "969331847966", None),
        ("jglue/jsquad-v1.3/valid-v1.3.json", 4041, 0, "a10336p0q0", None),
        (TYDIQA, 1400, 0, None, None),
    ],
)
def test_real_files(
    shared_data: Path, name: str, count: int, offsets: int, first: str | None, last: str | None
) -> None:
    report = ReadReport()
    request = ReadRequest((shared_data / name,), "en", (), {}, report, shared_data)
    examples = list(read_squad(request))
    assert len(examples) == count
    assert report.counts["answers_mended"] + report.counts["answers_dropped"] == offsets
    assert first is None or examples[0].id == first
    assert last is None or examples[-1].id == last
    for example in examples:
        assert example.answers or not example.answerable
        for answer in example.answers:
            assert example.context[answer.start : answer.start + len(answer.text)] == answer.text


def test_real_counts(shared_data: Path) -> None:
    def counts(name: str, **options: Any) -> dict[str, int]:
        report = ReadReport()
        request = ReadRequest((shared_data / name,), "en", (), options, report, shared_data)
        return {"questions": len(list(read_squad(request))), **report.counts}

    assert counts("squad_v2/dev-v2.0.json", answerable_only=True) == {
        "questions": 2294,
        "unanswerable_dropped": 2519,
    }
    assert counts("squad_it/SQuAD_it-test.json.gz") == {
        "questions": 7599,
        "answers_mended": 62,
        "answers_dropped": 36,
        "answers_empty": 11,
        "questions_dropped": 10,
    }
    assert counts(CMRC)["answers_mended"] == 7
    es = "squad_es/SQuAD-es-v2.0/dev-v2.0-es_small.json"
    assert counts(es) == {"questions": 2719, "answers_empty": 807}
    with pytest.raises(InputError, match="set gold: withheld"):
        counts("xquad/unlabelled/xquad.de.json")
    assert counts("xquad/unlabelled/xquad.de.json", gold="withheld") == {"questions": 6}


def test_real_ids_that_repeat_become_positions(shared_data: Path) -> None:
    request = ReadRequest(
        (shared_data / TYDIQA,), "en", (), {"ids": "position"}, ReadReport(), shared_data
    )
    examples = list(read_squad(request))
    assert len({example.id for example in examples}) == 1400
    assert examples[7].id == f"{TYDIQA}:7"
