"""Comparable corpora: ids, gold pairs, shares; and the real sample of BUCC 2018."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data import MiningExample, Overlap, flag_overlap, make_dataset
from harness.data.files import read_comparable
from harness.data.files.comparable import _divide
from harness.errors import InputError

from .conftest import Read

ZH = "zh-1\t一 \nzh-2\t二\nzh-3\t三\n"
EN = "en-1\tone\nen-2\ttwo\ttoo\n"
GOLD = "zh-2\ten-1\nzh-2\ten-2\n"


def test_sentences_and_their_partners(read: Read) -> None:
    examples, counts = read(read_comparable, ZH, EN, GOLD, language="zh")
    assert examples == [
        MiningExample("0.txt:zh-1", "zh", None, "zh-1", "foreign", "一 ", ()),
        MiningExample("0.txt:zh-2", "zh", None, "zh-2", "foreign", "二", ("en-1", "en-2")),
        MiningExample("0.txt:zh-3", "zh", None, "zh-3", "foreign", "三", ()),
        MiningExample("1.txt:en-1", "zh", None, "en-1", "english", "one", ()),
        MiningExample("1.txt:en-2", "zh", None, "en-2", "english", "two\ttoo", ()),
    ]
    assert not counts
    withheld, _ = read(read_comparable, ZH, EN, options={"gold": "withheld"}, language="zh")
    assert [(e.key, e.partners) for e in withheld] == [(e.key, None) for e in examples]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((ZH, EN), r"takes 3 files \(foreign, English, gold\)"),
        ((ZH + "zh-1\tx\n", EN, GOLD), r"0\.txt, line 4: id 'zh-1' stands here a second time"),
        ((ZH + "zh-4 x\n", EN, GOLD), r"0\.txt, line 4: no id before a TAB"),
        ((ZH, EN + "en-3\t \n", GOLD), r"1\.txt, line 3: id 'en-3' has an empty sentence"),
        ((ZH, EN, GOLD + "zh-9\ten-1\n"), r"2\.txt, line 3: id 'zh-9' is not in .*0\.txt"),
        ((ZH, EN, GOLD + "zh-1\ten-9\n"), r"2\.txt, line 3: id 'en-9' is not in .*1\.txt"),
        ((ZH, EN, GOLD + "zh-1 en-1\n"), r"2\.txt, line 3: 1 columns, expected 2"),
        ((ZH, EN, GOLD + "zh-2\ten-1\n"), r"2\.txt, line 3: the pair zh-2, en-1 stands here"),
        ((b"zh-1\t\xff\n", EN, GOLD), r"0\.txt, line 1: byte 0xff is not UTF-8"),
        ((ZH, EN, ""), r"2\.txt: the file is empty"),
    ],
)
def test_what_is_wrong_is_refused(read: Read, files: tuple[str | bytes, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(read_comparable, *files)


def test_bad_rows_can_be_skipped(read: Read) -> None:
    files = (ZH + "zh-4 x\n", EN, GOLD + "zh-9\ten-1\n")
    examples, counts = read(read_comparable, *files, bad_rows="skip", language="zh")
    assert (len(examples), counts) == (5, {"bad_rows_skipped": 2})


@pytest.mark.parametrize("share", [[2, 2], [-1, 2], [0], "01", [0, 2.0], [True, 2]])
def test_a_share_is_two_numbers(read: Read, share: object) -> None:
    with pytest.raises(InputError, match=r"option 'share' is .*must be \[i, n\]"):
        read(read_comparable, ZH, EN, GOLD, options={"share": share})


@given(
    pairs=st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12),
    of=st.integers(1, 4),
)
def test_shares_have_all_sentences_and_none_twice(pairs: set[tuple[int, int]], of: int) -> None:
    corpora = [{f"f{i}": "x" for i in range(10)}, {f"e{i}": "x" for i in range(10)}]
    named = {(f"f{i}", f"e{j}"): None for i, j in sorted(pairs)}
    shares = [_divide(corpora, named, index, of) for index in range(of)]
    for side in (0, 1):
        keys = [key for share, _ in shares for key in share[side]]
        assert sorted(keys) == sorted(corpora[side])
    for share, inside in shares:
        assert inside == {p: None for p in named if p[0] in share[0] and p[1] in share[1]}
    assert sum(len(inside) for _, inside in shares) == len(pairs)  # none is lost between shares
    alone = len({p[0] for p in pairs}) == len({p[1] for p in pairs}) == len(pairs)
    if alone:  # one to one, as most of BUCC is: every n-th pair
        ordered = list(named)
        assert [list(inside) for _, inside in shares] == [ordered[i::of] for i in range(of)]
        sizes = [len(inside) for _, inside in shares]
        assert max(sizes) - min(sizes) <= 1


def test_pairs_that_share_an_id_stay_together() -> None:
    """a-b and c-d are linked by c-b; e has two partners."""
    named: dict[tuple[str, str], None] = dict.fromkeys(
        [("a", "b"), ("c", "d"), ("c", "b"), ("e", "f"), ("e", "g")]
    )
    corpora = [dict.fromkeys(keys, "x") for keys in ("ace", "bdfg")]
    assert _divide(corpora, named, 0, 2) == (
        [{"a": "x", "c": "x"}, {"b": "x", "d": "x"}],
        dict.fromkeys([("a", "b"), ("c", "d"), ("c", "b")]),
    )
    assert _divide(corpora, named, 1, 2) == (
        [{"e": "x"}, {"f": "x", "g": "x"}],
        dict.fromkeys([("e", "f"), ("e", "g")]),
    )


def test_real_bucc(shared_data: Path, read: Read) -> None:
    files = [shared_data / "bucc2018" / f"zh-en.dev.{part}" for part in ("zh", "en", "gold")]
    examples, counts = read(read_comparable, *files, language="zh")
    sides = [e.side for e in examples]
    assert (sides.count("foreign"), sides.count("english")) == (8624, 13589)
    assert sum(len(e.partners) for e in examples) == 257
    assert not counts
    known = {e.key: e for e in examples}
    pair = (known["zh-000000057"], known["en-000008530"])  # the first line of the gold
    assert pair[0].partners == ("en-000008530",)
    halves = [
        read(read_comparable, *files, options={"share": [i, 2]}, language="zh")[0] for i in (0, 1)
    ]
    assert sum(map(len, halves)) == len(examples)
    assert {e.id for e in halves[0]}.isdisjoint(e.id for e in halves[1])
    assert [sum(len(e.partners) for e in half) for half in halves] == [129, 128]
    assert pair[0] in halves[0]
    assert pair[1] in halves[0]
    dev, test = (make_dataset(n, "zh", half, {}) for n, half in zip("dt", halves, strict=True))
    flagged = flag_overlap(dev, Overlap((test,)))
    assert flagged.examples == dev.examples
    texts = {"".join(e.sentence.split()) for e in halves[1]}
    least = sum("".join(e.sentence.split()) in texts for e in halves[0])
    assert flagged.counts["overlap_text"] >= least > 0
    assert flagged.counts["overlap_id"] == 0
