"""What checking all splits finds, compared with what a run records."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.bench import SuiteData
from harness.catalog import Catalog, SplitSpec, Target
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


def test_no_overlap_is_claimed_with_what_is_not_there(context: DataContext) -> None:
    assert context.root is not None
    (context.root / "one.test.sw.0").unlink()
    found = check(context, target("one"))
    german, swahili = (found["one", code].dataset for code in ("de", "sw"))
    assert german is not None
    assert german.counts["overlap_text"] == 1
    assert swahili is not None
    assert not set(RULES) & set(swahili.counts)
