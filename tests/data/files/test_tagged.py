"""Token-per-line files: separators, stray blanks, withheld tags, sentences lost to a bad line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.data import ReadReport, ReadRequest
from harness.data.files import read_tagged
from harness.errors import InputError

from .conftest import Read

TAGS = ("O", "B-PER", "I-PER")
NER = (*TAGS, "B-ORG", "I-ORG", "B-LOC", "I-LOC")
UPOS = (
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON"),
    *("PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"),
)


@pytest.mark.parametrize(
    ("content", "options", "sentences"),
    [
        ("a\tO\nb\tO\n\nc\tO\n\n", {}, [("a", "b"), ("c",)]),
        ("\n\na\tO\r\n\r\n\r\n  \t\nc\tO", {}, [("a",), ("c",)]),
        ("\ufeffa\tO\n", {}, [("a",)]),
        ("\u3000\tO\n\u00a0\tO\n#\tO\n", {}, [("\u3000", "\u00a0", "#")]),
        ("a\u2028b\tO\n\x85\tO\n", {}, [("a\u2028b", "\x85")]),
        ("a O\nb O\n", {"separator": " "}, [("a", "b")]),
        ("# note\na\tO\n# note\nb\tO\n", {"comment": "#"}, [("a", "b")]),
        ("en:a\tO\nen:en:\tO\n", {"token_prefix": "en:"}, [("a", "en:")]),
        ("x\ta\t1\tO\n", {"token": 1, "tag": 3}, [("a",)]),
        ("a\tO\tx\n", {"columns": 3}, [("a",)]),
        ("a\tO\n \tO\nb\tO\n", {"blank_tokens": "drop"}, [("a", "b")]),
    ],
)
def test_layouts(
    read: Read, content: str, options: dict[str, Any], sentences: list[tuple[str, ...]]
) -> None:
    examples, _ = read(read_tagged, content, options=options, labels=TAGS)
    assert [example.tokens for example in examples] == sentences
    assert all(set(example.tags) == {"O"} for example in examples)


def test_withheld_tags_and_mapped_tags(read: Read) -> None:
    for content in ("a\nb\n", "a\tnonsense\nb\tO\n"):
        examples, _ = read(read_tagged, content, options={"gold": "withheld"})
        assert [(e.tokens, e.tags) for e in examples] == [(("a", "b"), None)]
    options = {"label_map": {"B-DATE": "O"}}
    examples, _ = read(read_tagged, "a\tB-DATE\nb\tI-PER\n", options=options, labels=TAGS)
    assert examples[0].tags == ("O", "I-PER")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"b", "line 2: 1 columns, expected 2"),
        (b"b\tO\tx", "line 2: 3 columns, expected 2"),
        (b"b\tB-DATE", "line 2: unknown tag 'B-DATE'; known: O, B-PER, I-PER"),
        (b"\tO", "line 2: empty token"),
        (b"\xff\tO", "line 2: byte 0xff is not UTF-8"),
        (b"b\x00\tO", "line 2: NUL byte"),
    ],
)
def test_a_bad_line_takes_its_sentence_with_it(read: Read, line: bytes, message: str) -> None:
    content = b"a\tO\n" + line + b"\nx\tbad too\n\nlast\tO\n"
    with pytest.raises(InputError, match=rf"0\.txt, {message}"):
        read(read_tagged, content, labels=TAGS)
    examples, counts = read(read_tagged, content, labels=TAGS, bad_rows="skip")
    assert [e.tokens for e in examples] == [("last",)]
    assert examples[0].id == "0.txt:1"
    assert counts == {"bad_rows_skipped": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separator": ""}, "option 'separator' is ''"),
        ({"token": -1}, "option 'token' is -1; must be an integer of at least 0"),
        ({"columns": 1}, "must be an integer of at least 2"),
        ({"blank_tokens": "keep"}, "one of refuse, drop"),
        ({"seperator": " "}, "unknown option 'seperator'"),
    ],
)
def test_wrong_options(read: Read, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(read_tagged, "a\tO\n", options=options, labels=TAGS)


AFRICAN = {"separator": " ", "label_map": {"B-DATE": "O", "I-DATE": "O"}}
KLUE = ("O", *(f"{p}-{t}" for p in "BI" for t in ("DT", "LC", "OG", "PS", "QT", "TI")))


@pytest.mark.parametrize(
    ("name", "options", "labels", "count", "first", "last"),
    [
        ("panx/train-en.tsv", {}, NER, 20000, "R.H.", None),
        ("panx/test-th.tsv", {"gold": "withheld"}, (), 200, "#", None),
        ("udpos/test-yo.tsv", {}, UPOS, 150, "Ní", None),
        ("masakhaner/swa/dev.txt", AFRICAN, NER, 300, "Vita", "."),
        ("masakhapos/bam/dev.txt", {"separator": " "}, UPOS, 154, "Gɔfɛrɛnɛri", None),
        (
            "klue/klue-ner-v1.1/klue-ner-v1.1_dev.tsv",
            {"comment": "##", "blank_tokens": "drop"},
            KLUE,
            600,
            "경",
            None,
        ),
    ],
)
def test_real_files(
    shared_data: Path,
    name: str,
    options: dict[str, Any],
    labels: tuple[str, ...],
    count: int,
    first: str,
    last: str | None,
) -> None:
    request = ReadRequest((shared_data / name,), "en", labels, options, ReadReport(), shared_data)
    examples = list(read_tagged(request))
    assert len(examples) == count
    assert examples[0].tokens[0] == first
    assert last is None or examples[-1].tokens[-1] == last
    assert all(e.tags is None or len(e.tags) == len(e.tokens) for e in examples)


def test_xtreme_test_files_have_no_tags(shared_data: Path) -> None:
    file = shared_data / "panx/test-en.tsv"
    with pytest.raises(InputError, match=r"test-en\.tsv, line 1: 1 columns, expected 2"):
        list(read_tagged(ReadRequest((file,), "en", NER, {}, ReadReport(), shared_data)))
