"""What checking all splits finds, compared with what a run records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.bench import SuiteData
from harness.catalog import Block, Catalog, SplitSpec, Target
from harness.catalog.specs import KeptOut
from harness.data import DataContext
from harness.data.inventory import Finding, check_splits, splits

RULES = ("overlap_id", "overlap_group", "overlap_text")
# Of one's dev rows, "same" is scored in German and "gleich", "same" are in Swahili; all of them are
# scored by the other target or in the other language.
CORPORA = {
    "one.dev.de": (["gleich", "anders"], ["same", "one"]),
    "one.dev.sw": (["gleich", "anders"], ["same", "one"]),
    "one.test.de": (["neu", "neuer"], ["same", "newer"]),
    "one.test.sw": (["gleich", "mbili"], ["same", "two"]),
    "two.dev.de": (["ganz", "halb"], ["whole", "half"]),
    "two.dev.sw": (["yote", "nusu"], ["all", "some"]),
    "two.test.de": (["gleich", "anders"], ["same", "one"]),
    "two.test.sw": (["gleich", "anders"], ["same", "one"]),
}
EXPECTED = {("one", "de"): 1, ("one", "sw"): 2, ("two", "de"): 0, ("two", "sw"): 0}


def target(name: str) -> Target:
    dev, test = (
        SplitSpec("comparable", tuple(f"{name}.{split}.{{language}}.{n}" for n in range(3)))
        for split in ("dev", "test")
    )
    return Target(
        name, "Mining.", "mining", "bitext_mining", ("de", "sw"), "en", (), test, "own", "none",
        dev=dev,
    )  # fmt: skip


@pytest.fixture
def context(tmp_path: Path) -> DataContext:
    """The corpora as files: both sides, and one gold pair."""
    for name, corpora in CORPORA.items():
        for side, sentences in enumerate(corpora):
            rows = [f"{name}-{side}-{i}\t{text}\n" for i, text in enumerate(sentences)]
            (tmp_path / f"{name}.{side}").write_text("".join(rows))
        (tmp_path / f"{name}.2").write_text(f"{name}-0-0\t{name}-1-0\n")
    return DataContext(tmp_path)


def check(context: DataContext, *targets: Target) -> dict[tuple[str, str], Finding]:
    wanted = [split for one in targets for split in splits(one)]
    found = check_splits(wanted, context, lambda _: None)
    assert len(found) == 4 * len(targets)
    return {(one.split.owner, one.split.language): one for one in found if one.split.split == "dev"}


def test_overlap_of_dev_rows_is_counted_as_records_count_it(context: DataContext) -> None:
    one, two = target("one"), target("two")
    found = check(context, one, two)
    assert {
        key: finding.dataset.counts["overlap_text"]
        for key, finding in found.items()
        if finding.dataset is not None
    } == EXPECTED
    catalog = Catalog.load()
    data = SuiteData(catalog, catalog.suite("default"), context)
    for owner in (one, two):
        for code in owner.languages:
            counts = data.tuning(owner, code).counts
            dataset = found[owner.name, code].dataset
            assert dataset is not None
            assert dataset.counts == counts
            assert set(counts) >= set(RULES)


def test_what_a_target_keeps_out_neither_trains_nor_selects(tmp_path: Path) -> None:
    files = {
        "train": "a\tX\n\nb\tX\n\nc\tX\n\nd\tX\n\n", "dev": "a\tX\n\nB\tX\n\ne\tX\n\n",
        "test.de": "c\tX\n\n", "more.de": "A\n\n", "more.sw": "b\n\nz\n\n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    train, dev, test = (SplitSpec("tagged", (name,)) for name in ("train", "dev", "test.de"))
    more = SplitSpec("tagged", ("more.{language}",), {"gold": "withheld"})
    without = Target(
        "own", "Tags.", "ner", "tagging", ("de",), "en", ("X", "Y"), test, "own", "none",
        train=train, dev=dev,
    )  # fmt: skip
    both = replace(without, keep_out=(KeptOut(more), KeptOut(more, ("sw",))))
    context, expected = DataContext(tmp_path), {"train": "d", "dev": "e"}
    found = check_splits(splits(both), context, lambda _: None)
    assert [(one.split.split, one.split.language, one.ok) for one in found] == [
        ("train", "en", True), ("dev", "en", True), ("test", "de", True),
        ("keep_out", "de", True), ("keep_out", "sw", True),
    ]  # fmt: skip
    kept = {one.split.split: one.dataset for one in found}
    catalog = Catalog.load()
    suite = replace(catalog.suite("default"), blocks=(Block(("direct",), ("own",)),))
    data = SuiteData(replace(catalog, targets={"own": both}), suite, context)
    for split, word in expected.items():
        dataset = kept[split]
        assert dataset is not None
        assert [example.tokens for example in dataset.examples] == [(word,)]  # type: ignore[union-attr]
        assert data.target(both, split).fingerprint == dataset.fingerprint
    assert kept["train"] is not None
    assert kept["train"].counts["overlap_dropped"] == 3
    # Nothing of it is dropped without the field; a file of it that is not there is missed.
    train_alone = check_splits(splits(without), context, lambda _: None)[0].dataset
    assert train_alone is not None
    assert len(train_alone) == 3
    (tmp_path / "more.sw").unlink()
    assert check_splits(splits(both), context, lambda _: None)[-1].missing == ("more.sw",)


def test_no_overlap_is_claimed_with_what_is_not_there(context: DataContext) -> None:
    assert context.root is not None
    (context.root / "one.test.sw.0").unlink()
    found = check(context, target("one"))
    german, swahili = (found["one", code].dataset for code in ("de", "sw"))
    assert german is not None
    assert german.counts["overlap_text"] == 1
    assert swahili is not None
    assert not set(RULES) & set(swahili.counts)
