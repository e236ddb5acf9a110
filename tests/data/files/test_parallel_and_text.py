"""Aligned files, and running text taken from any reader's examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data import READERS, BitextExample, ReadReport, ReadRequest, TextExample
from harness.data.files import read_parallel
from harness.data.files.text import pieces
from harness.errors import InputError

from .conftest import Read


def test_aligned_lines(read: Read) -> None:
    examples, counts = read(read_parallel, "een\r\ntwee\u2028x\r\n", "one\ntwo", language="nl")
    assert examples == [
        BitextExample("0.txt:0", "nl", "row:0", "een", "one"),
        BitextExample("0.txt:1", "nl", "row:1", "twee\u2028x", "two"),
    ]
    assert not counts
    examples, _ = read(read_parallel, "a\n", "b\n", options={"group_namespace": "tatoeba"})
    assert examples[0].group == "tatoeba:0"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("a\nb\n", "c\n"), r"not aligned, since .*0\.txt has more than 1 lines"),
        (("a\n", "b\nc\n"), r"not aligned, since .*1\.txt has more than 1 lines"),
        (("a\n",), "takes 2 files"),
        (("a\n", "b\n", "c\n"), "takes 2 files"),
        (("a\n", ""), r"1\.txt: the file is empty"),
    ],
)
def test_files_that_are_not_aligned(read: Read, files: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(read_parallel, *files, bad_rows="skip")


def test_a_bad_line_takes_its_pair_and_moves_no_other(read: Read) -> None:
    files = (b"a\n\xff\n\nd\n", b"1\n2\n3\n4\n")
    with pytest.raises(InputError, match=r"0\.txt, line 2: byte 0xff is not UTF-8"):
        read(read_parallel, *files)
    examples, counts = read(read_parallel, *files, bad_rows="skip")
    assert [(e.sentence, e.english, e.group) for e in examples] == [
        ("a", "1", "row:0"),
        ("d", "4", "row:3"),
    ]
    assert counts == {"bad_rows_skipped": 2}


def test_real_tatoeba(shared_data: Path) -> None:
    folder = shared_data / "tatoeba" / "v1"
    counts = {"afr": 1000, "jav": 205, "tel": 234, "tam": 307, "swh": 390}
    for code, count in counts.items():
        files = (folder / f"tatoeba.{code}-eng.{code}", folder / f"tatoeba.{code}-eng.eng")
        request = ReadRequest(files, code, (), {}, ReadReport(), shared_data)
        examples = list(read_parallel(request))
        assert len(examples) == count
    afrikaans = folder / "tatoeba.afr-eng.afr", folder / "tatoeba.afr-eng.eng"
    first = next(iter(read_parallel(ReadRequest(afrikaans, "af", (), {}, ReadReport()))))
    assert first.english == "Her English is excellent."  # type: ignore[attr-defined]


SPAN = {
    "data": [
        {
            "title": "T",
            "paragraphs": [
                {
                    "context": "One here. Two there. ",
                    "qas": [
                        {
                            "id": n,
                            "question": f"Q{n}?",
                            "answers": [{"text": "One", "answer_start": 0}],
                        }
                        for n in "ab"
                    ],
                }
            ],
        }
    ]
}


@pytest.mark.parametrize(
    ("inner", "content", "segments"),
    [
        ("delimited", "a\tb\tany label\n", [("a", "b")]),
        ("delimited", "a\t\tneutral\n", [("a",)]),
        ("tagged", "a\tO\nb\tX\n", [("a b",)]),
        # Both questions stand on one context, which is read once.
        ("squad", json.dumps(SPAN), [("Qa?",), ("One here.",), ("Two there.",), ("Qb?",)]),
        (
            "choices",
            '{"context": "C", "choices": ["x", "y"], "label": 1}',
            [("C", "y")],
        ),
    ],
)
def test_text_of_each_format(
    read: Read, inner: str, content: str, segments: list[tuple[str, ...]]
) -> None:
    examples, _ = read(READERS["text"], content, options={"reader": inner}, labels=())
    assert all(isinstance(example, TextExample) for example in examples)
    assert [example.segments for example in examples] == segments


def test_text_of_bitext_passes_options_on(read: Read) -> None:
    options: dict[str, Any] = {"reader": "parallel", "options": {"group_namespace": "set"}}
    examples, _ = read(READERS["text"], "een\n", "one\n", options=options)
    assert [(e.id, e.group, e.segments) for e in examples] == [
        ("0.txt:0#0", "set:0", ("een",)),
        ("0.txt:0#1", "set:0", ("one",)),
    ]


@pytest.mark.parametrize("options", [{}, {"reader": "text"}, {"reader": "xml"}])
def test_the_inner_reader_must_be_named(read: Read, options: dict[str, str]) -> None:
    with pytest.raises(
        InputError, match=r"option 'reader' is .*must be one of auto, choices, comparable"
    ):
        read(READERS["text"], "x", options=options)


@given(st.text())
def test_pieces_lose_white_space_only_and_are_short(text: str) -> None:
    found = pieces(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(0 < len(piece) <= 400 and piece == piece.strip() for piece in found)


SORTED = "".join(f"{letter}{number:02}\n" for letter in "abc" for number in range(20))
FOREIGN = "".join(f"z{number}\n" for number in range(60))


def test_a_sorted_english_side_is_not_taken_for_aligned(read: Read) -> None:
    with pytest.raises(InputError, match=r"1\.txt: its lines are sorted, .*english: sorted"):
        read(read_parallel, FOREIGN, SORTED)
    examples, _ = read(read_parallel, FOREIGN, SORTED, options={"english": "aligned"})
    assert len(examples) == 60
    lines = SORTED.split("\n")[:-1]
    swapped = "\n".join([lines[1], lines[0], *lines[2:]])
    assert len(read(read_parallel, FOREIGN, swapped)[0]) == 60
    assert len(read(read_parallel, "x\ny\n", "a\nb\n")[0]) == 2  # too few to tell
    assert len(read(read_parallel, FOREIGN, "Hello.\n" * 60)[0]) == 60  # equal lines have no order
    with pytest.raises(InputError, match="its lines are sorted"):
        read(read_parallel, FOREIGN, "Hello.\n" * 59 + "Yes.\n")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("x\ny\n", "a\nb\n"), "takes 4 files"),
        (("x\ny\n", "a\nb\n", "y\nx\n", "b\na\n"), r"0\.txt, line 1: not what .*2\.txt has there"),
        (("x\ny\n", "a\nb\n", "x\ny\nz\n", "b\na\nc\n"), r"0\.txt, line 3: not what"),
        (("x\ny\n", "a\nb\n", "x\ny\n", "b\nc\n"), r"1\.txt: not the sorted lines of .*3\.txt"),
    ],
)
def test_shuffled_bitext_needs_its_own_gold(
    read: Read, files: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(read_parallel, *files, options={"english": "sorted"})


@pytest.mark.parametrize(
    ("iso3", "code"), [("afr", "af"), ("jpn", "ja"), ("swh", "sw"), ("tam", "ta")]
)
def test_real_shuffled_tatoeba_is_the_aligned_one(
    read: Read, shared_data: Path, iso3: str, code: str
) -> None:
    gold = [shared_data / "tatoeba" / "v1" / f"tatoeba.{iso3}-eng.{side}" for side in (iso3, "eng")]
    shuffled = [
        shared_data / "tatoeba" / "xtreme-shuffled" / f"{code}-en.{s}" for s in (code, "en")
    ]
    with pytest.raises(InputError, match="its lines are sorted"):
        read(read_parallel, *shuffled)
    examples, _ = read(read_parallel, *shuffled, *gold, options={"english": "sorted"})
    assert examples == read(read_parallel, *gold)[0]
    # XTREME's label of the i-th line of its English file is a line of its foreign file.
    foreign, english = (f.read_text("utf-8").split("\n")[:-1] for f in shuffled)
    order = sorted(range(len(examples)), key=lambda i: examples[i].english.strip())
    assert [examples[i].english.strip() for i in order] == english
    assert [e.sentence for e in examples] == foreign
