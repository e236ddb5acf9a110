"""CCGbank's derivations: words, lexical categories, escapes, and what is wrong with a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.catalog import Catalog
from harness.data import DataContext, load_source
from harness.data.files import read_auto
from harness.data.labels import with_labels
from harness.errors import InputError

from .conftest import Read

# Sentences made up for these tests, in the published syntax.
CATS = (
    "(<T S[dcl] 0 2> (<T S[dcl] 1 2> (<T NP 0 1> (<L N NNS NNS Cats N>) ) "
    r"(<T S[dcl]\NP 0 2> (<L (S[dcl]\NP)/NP VBP VBP chase (S[dcl]\NP_10)/NP_11>) "
    "(<T NP 0 1> (<T N 1 2> (<L N/N JJ JJ grey N_73/N_73>) (<L N NNS NNS mice N>) ) ) ) ) "
    "(<L . . . . .>) ) "
)
CATS_LEAVES = [("Cats", "N"), ("chase", r"(S[dcl]\NP)/NP"), ("grey", "N/N"), ("mice", "N"),
               (".", ".")]  # fmt: skip
LABELS = (r"(S[dcl]\NP)/NP", ".", "LRB", "N", "N/N", "NP", r"NP\NP", "RRB")
ESCAPED = (
    "(<T NP 0 2> (<L LRB -LRB- -LRB- -LRB- LRB>) (<T NP 0 2> (<L N/N JJ JJ and\\/or N_1/N_1>) "
    "(<T NP 0 2> (<L N NN NN a\\*b N>) (<L RRB -RRB- -RRB- -RRB- RRB>) ) ) )"
)


def auto(*derivations: str, name: str = "wsj_9901") -> str:
    return "".join(
        f"ID={name}.{number} PARSER=GOLD NUMPARSE=1\n{derivation}\n"
        for number, derivation in enumerate(derivations, 1)
    )


def test_words_and_categories(read: Read) -> None:
    examples, counts = read(read_auto, auto(CATS, ESCAPED), labels=LABELS)
    assert [list(zip(e.tokens, e.tags, strict=True)) for e in examples] == [
        CATS_LEAVES,
        [("(", "LRB"), ("and/or", "N/N"), ("a*b", "N"), (")", "RRB")],
    ]
    assert [e.id for e in examples] == ["wsj_9901.1", "wsj_9901.2"]
    assert not counts
    # Sentences that are only counted are named by their file: 1 is no id to compare with others.
    numbered = f"ID=1 PARSER=x\r\n{CATS}\r\n\r\nID=2\r\n(<L N NN NN Rain N>)\r\n"
    examples, _ = read(read_auto, numbered, labels=LABELS)
    assert [(e.id, len(e.tokens)) for e in examples] == [("0.txt:0", 5), ("0.txt:1", 1)]
    examples, _ = read(read_auto, auto(CATS), options={"label_map": {"N/N": "N"}}, labels=LABELS)
    assert examples[0].tags[2] == "N"


LEAF = "(<L N NN NN Rain N>)"


@pytest.mark.parametrize(
    ("bad", "line", "message"),
    [
        (f"(<T NP 0 2> {LEAF} ) ", 4, "character 34: a bracket closes too early"),
        (f"(<T NP 0 1> {LEAF} {LEAF} )", 4, "character 33: more daughters than the node announces"),
        (f"(<T NP 0 1> {LEAF} ", 4, "the derivation ends too early"),
        (f"{LEAF} {LEAF}", 4, "character 21: more daughters"),
        (f"{LEAF} )", 4, "character 22: a bracket closes too early"),
        ("(<L N NN NN Rain>)", 4, r"character 1: '\(<L N NN NN Rain>\)' is no node, leaf or"),
        ("(<T NP 0> x)", 4, r"character 1: '\(<T NP 0> x\)' is no node"),
        (LEAF + " trailing", 4, "character 21: 'trailing' is no node"),
        ("(<L Q NN NN Rain Q>)", 4, "unknown category 'Q'; known: "),
        (f"{LEAF}\n{LEAF}", 5, "no line ID=... before it"),
        (f"{LEAF}\nID=wsj_9901.9", 5, "no derivation follows ID=wsj_9901.9"),
        ("(<L N NN NN \ufffd N>)", 4, "byte 0xff is not UTF-8"),
    ],
)
def test_a_bad_line_is_named_or_skipped(read: Read, bad: str, line: int, message: str) -> None:
    content = auto(CATS, bad, LEAF).encode().replace("\ufffd".encode(), b"\xff")
    with pytest.raises(InputError, match=rf"0\.txt, line {line}: {message}"):
        read(read_auto, content, labels=LABELS)
    examples, counts = read(read_auto, content, labels=LABELS, bad_rows="skip")
    assert [e.tokens[0] for e in examples if e.id != "wsj_9901.2"] == ["Cats", "Rain"]
    assert counts == {"bad_rows_skipped": 1}


def test_an_id_at_the_end_has_no_derivation(read: Read) -> None:
    with pytest.raises(InputError, match=r"line 3: no derivation follows ID=wsj_1\.1"):
        read(read_auto, auto(CATS) + "ID=wsj_1.1\n", labels=LABELS)
    with pytest.raises(InputError, match="unknown option 'tag'"):
        read(read_auto, auto(CATS), options={"tag": 1}, labels=LABELS)


def test_ccgbank_as_it_is_unpacked(tmp_path: Path) -> None:
    """Sections 02 to 21 train, 00 selects; categories of fewer than ten words are one label."""
    catalog = Catalog.load()
    source, context = catalog.source("ccg.en"), DataContext(tmp_path)
    with pytest.raises(InputError, match=r"nothing matches ccgbank/data/AUTO/02/\*\.auto"):
        load_source(source, "train", context)
    for section in range(25):
        folder = tmp_path / f"ccgbank/data/AUTO/{section:02}"
        folder.mkdir(parents=True)
        for part in (2, 1):
            name = f"wsj_{section:02}{part:02}"
            rare = ESCAPED if section == 0 else LEAF
            (folder / f"{name}.auto").write_text(auto(CATS, rare, name=name))
    train, dev = (load_source(source, split, context) for split in ("train", "dev"))
    assert [example.id for example in train.examples[:3]] == [
        "wsj_0201.1", "wsj_0201.2", "wsj_0202.1",
    ]  # fmt: skip
    assert (len(train), train.examples[-1].id) == (80, "wsj_2102.2")
    assert [example.id[:8] for example in dev.examples] == ["wsj_0001"] * 2 + ["wsj_0002"] * 2
    assert with_labels(source, context).labels == (
        r"(S[dcl]\NP)/NP", ".", "N", "N/N", "other",
    )  # fmt: skip
    assert (train.counts["labels_to_other"], dev.counts["labels_to_other"]) == (0, 4)
    assert dev.examples[1].tags == ("other", "N/N", "N", "other")  # type: ignore[attr-defined]
