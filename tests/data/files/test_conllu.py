"""CoNLL-U as XTREME reads it: fused multiword tokens, and parity with the official conversion."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data import ReadReport, ReadRequest
from harness.data.files import read_conllu
from harness.errors import InputError

from .conftest import Read

UPOS = (
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON"),
    *("PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"),
)
# The languages whose multiword tokens have a precedence of their own.
SPECIAL = {"UD_Spanish": "es", "UD_French": "fr", "UD_Italian": "it"}


def word(name: int | str, form: str, upos: str = "_", head: int | str = "_") -> str:
    return f"{name}\t{form}\t_\t{upos}\t_\t_\t{head}\t_\t_\t_"


def sentence(*lines: str) -> str:
    return "\n".join(["# sent_id = 1", *lines]) + "\n\n"


def rows(examples: list[object]) -> list[list[tuple[str, str]]]:
    return [list(zip(e.tokens, e.tags, strict=True)) for e in examples]  # type: ignore[attr-defined]


TAIL = word(3, "end", "VERB", 0)


@pytest.mark.parametrize(
    ("lines", "language", "expected"),
    [
        ([word(1, "a", "DET", 2), word(2, "b", "NOUN", 0)], "en", [("a", "DET"), ("b", "NOUN")]),
        # The head of the span is the word nearest to the root.
        (
            [word("1-2", "ab"), word(1, "a", "NOUN", 2), word(2, "b", "ADP", 3), TAIL],
            "en",
            [("ab", "ADP"), ("end", "VERB")],
        ),
        # A tie goes to the precedence list, which differs by language.
        (
            [word("1-2", "del"), word(1, "de", "ADP", 3), word(2, "el", "DET", 3), TAIL],
            "en",
            [("del", "ADP"), ("end", "VERB")],
        ),
        (
            [word("1-2", "x"), word(1, "a", "NOUN", 3), word(2, "b", "PRON", 3), TAIL],
            "de",
            [("x", "NOUN"), ("end", "VERB")],
        ),
        (
            [word("1-2", "x"), word(1, "a", "NOUN", 3), word(2, "b", "PRON", 3), TAIL],
            "fr",
            [("x", "PRON"), ("end", "VERB")],
        ),
        # Words inside a fused form may have no form of their own.
        (
            [word("1-2", "x"), word(1, "_", "ADP", 2), word(2, "_", "NOUN", 3), TAIL],
            "mr",
            [("x", "NOUN"), ("end", "VERB")],
        ),
        # Empty nodes are dropped; inner spaces and zero-width non-joiners are deleted.
        (
            [word(1, "gậy gộc", "NOUN", 0), word("1.1", "e", "VERB"), word(2, "a\u200cb", "X", 1)],
            "vi",
            [("gậygộc", "NOUN"), ("ab", "X")],
        ),
    ],
)
def test_conversion(
    read: Read, lines: list[str], language: str, expected: list[tuple[str, str]]
) -> None:
    examples, counts = read(read_conllu, sentence(*lines), labels=UPOS, language=language)
    assert rows(examples) == [expected]
    assert not counts


def test_sentences_without_text_are_dropped_and_counted(read: Read) -> None:
    lone = sentence(word(1, "Hi", "INTJ", 0))
    hidden = sentence(word(1, "_", "X", 0), word(2, "_", "X", 1), word(3, ".", "PUNCT", 1))
    half = sentence(word(1, "_", "X", 0), word(2, "a", "X", 1), word(3, ".", "PUNCT", 1))
    examples, counts = read(read_conllu, lone + hidden + half, lone, labels=UPOS)
    assert [e.tokens for e in examples] == [("Hi",), ("_", "a", "."), ("Hi",)]
    assert [e.id for e in examples] == ["0.txt:0", "0.txt:2", "1.txt:0"]
    assert counts == {"sentences_without_text": 1}


def test_options(read: Read) -> None:
    tie = sentence(word("1-2", "x"), word(1, "a", "NOUN", 3), word(2, "b", "PRON", 3), TAIL)
    examples, _ = read(read_conllu, tie, options={"precedence": ["PRON", "NOUN"]}, labels=UPOS)
    assert examples[0].tags == ("PRON", "VERB")
    examples, _ = read(read_conllu, tie, options={"gold": "withheld"}, labels=())
    assert examples[0].tags is None
    examples, _ = read(read_conllu, tie, options={"label_map": {"VERB": "V"}}, labels=("NOUN", "V"))
    assert examples[0].tags == ("NOUN", "V")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1\ta\tNOUN"], "line 2: 3 columns, CoNLL-U has 10"),
        ([word("x", "a", "X", 0)], "line 2: 'x' is no word id"),
        ([word("1-x", "a", "X", 0)], "line 2: '1-x' is no word id"),
        ([word(2, "a", "X", 0)], "line 2: word 2 follows word 0"),
        ([word(1, "a", "WORD", 0)], "sentence 1: unknown tag 'WORD'"),
        ([word("1-5", "ab"), word(1, "a", "X", 0)], "multiword token 1-5 has words that do not"),
        (
            [word("1-2", "ab"), word(1, "a", "X", 2), word(2, "b", "X", 1)],
            "sentence 1: the heads of a multiword token form no tree",
        ),
        (
            [word("1-2", "ab"), word(1, "a", "X", "_"), word(2, "b", "X", 1)],
            "form no tree \\(at head '_'\\)",
        ),
        (
            [word("1-2", "ab"), word(1, "a", "SYM", 3), word(2, "b", "X", 3), TAIL],
            "unknown tag of a multiword token 'SYM'",
        ),
        ([word(1, " ", "X", 0), word(2, "b", "X", 1)], "empty word form"),
    ],
)
def test_bad_trees(read: Read, lines: list[str], message: str) -> None:
    content = sentence(*lines) + sentence(TAIL.replace("3", "1", 1))
    with pytest.raises(InputError, match=message):
        read(read_conllu, content, labels=UPOS)
    examples, counts = read(read_conllu, content, labels=UPOS, bad_rows="skip")
    assert [e.tokens for e in examples] == [("end",)]
    assert counts == {"bad_rows_skipped": 1}


def test_parity_with_the_official_conversion(shared_data: Path) -> None:
    """Word for word and tag for tag, every treebank and split (14,328 sentences)."""
    oracle = shared_data / "xtreme-parity" / "udpos-conversion"
    sentences = 0
    for expected in sorted(oracle.glob("*/*.tsv")):
        treebank = expected.parent.name
        language = SPECIAL.get(treebank.partition("-")[0], "xx")
        folder = shared_data / "ud-treebanks-v2.5" / treebank
        files = tuple(sorted(folder.glob(f"*-ud-{expected.stem}.conllu")))
        assert len(files) == 1
        request = ReadRequest(files, language, UPOS, {}, ReadReport(), shared_data)
        found = rows(list(read_conllu(request)))
        blocks = expected.read_bytes().decode().strip("\n").split("\n\n")
        wanted = [[tuple(row.split("\t")) for row in block.split("\n")] for block in blocks]
        assert found == wanted, expected
        sentences += len(found)
    assert sentences == 14328
