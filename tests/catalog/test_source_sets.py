"""Source sets: shares, budgets, sets derived by name, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.catalog import Budget, Catalog, Member, Mixture
from harness.errors import InputError
from tests.right_catalog import FILES

MORE = {
    f"sources/nli.{code}.yaml": FILES["sources/nli.en.yaml"]
    .replace("nli.en", f"nli.{code}")
    .replace("language: en", f"language: {code}")
    for code in ("sw", "no")
}
SET = """
name: three
description: NLI in three languages.
sources: [nli.en, nli.sw, nli.no]
budget: {examples: 90}
"""


def load(folder: Path, text: str = SET, **more: str) -> Catalog:
    for name, content in {**FILES, **MORE, "source_sets/three.yaml": text, **more}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return Catalog.load([folder])


def test_members_may_be_shares(tmp_path: Path) -> None:
    text = SET.replace(
        "[nli.en, nli.sw, nli.no]",
        "[{source: nli.en, share: 1/2}, {source: nli.en, share: 2/2}, nli.sw]",
    )
    found = load(tmp_path, text).source_set("three")
    assert found.sources == (
        Member("nli.en", "1/2"), Member("nli.en", "2/2"), Member("nli.sw"),
    )  # fmt: skip
    assert [one.name for one in found.sources] == ["nli.en-1of2", "nli.en-2of2", "nli.sw"]
    assert [one.part for one in found.sources] == [(1, 2), (2, 2), None]
    assert found.mixture == Mixture()
    assert load(tmp_path, text).sources_of("three")[1].name == "nli.sw"


def test_a_budget_is_shared_equally() -> None:
    assert [one.examples for one in Budget(examples=100).parts(3)] == [34, 33, 33]
    assert [one.tokens for one in Budget(tokens=8).parts(2)] == [4, 4]
    assert Budget().parts(2) == (Budget(), Budget())
    assert (str(Budget(examples=90)), str(Budget(tokens=7))) == ("examples=90", "tokens=7")


@pytest.mark.parametrize(
    ("name", "sources"),
    [
        ("nli.sw", ["nli.sw"]),
        ("three-without-nli.en", ["nli.sw", "nli.no"]),
        ("three-in-indo-european", ["nli.en", "nli.no"]),
        ("three-in-niger-congo", ["nli.sw"]),
        ("three-outside-niger-congo", ["nli.en", "nli.no"]),
        ("three-outside-niger-congo-without-nli.en", ["nli.no"]),
    ],
)
def test_sets_follow_from_others_by_name(tmp_path: Path, name: str, sources: list[str]) -> None:
    catalog = load(tmp_path)
    found = catalog.source_set(name)
    assert [one.source for one in found.sources] == sources
    assert found.name == name
    # The budget stays, so that both train on equally much.
    assert found.budget == (None if name in catalog.sources else Budget(examples=90))


def test_sets_that_follow_from_a_parallel_one_are_parallel(tmp_path: Path) -> None:
    catalog = load(tmp_path, f"{SET}parallel: true\n")
    assert catalog.source_set("three").parallel
    assert catalog.source_set("three-without-nli.en").parallel
    assert catalog.source_set("three-in-indo-european").parallel
    assert not catalog.source_set("nli.sw").parallel


@pytest.mark.parametrize(
    "name",
    ["three-without-qa.sw", "three-in-uralic", "three-outside-uralic", "four-without-nli.en",
     "three-without-", "three-in-"],
)  # fmt: skip
def test_sets_that_would_be_empty_or_the_same_do_not_exist(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"is unknown; known: .*or a source's name"):
        load(tmp_path).source_set(name)


@pytest.mark.parametrize("name", ["nli-languages-in-", "nli-languages-outside-"])
def test_no_branch_is_not_a_branch_without_a_name(name: str) -> None:
    """Korean and Japanese have none in the table, Chinese and Persian have one."""
    with pytest.raises(InputError, match=f"source set '{name}' is unknown"):
        Catalog.load().source_set(name)


def test_a_set_may_not_take_a_sources_name(tmp_path: Path) -> None:
    """The source alone is called so."""
    text = "name: nli.sw\ndescription: d\nsources: [nli.en, nli.no]\n"
    line = r"nli\.sw\.yaml: name: got 'nli.sw'; allowed: a name that no source has"
    with pytest.raises(InputError, match=line):
        load(tmp_path, **{"source_sets/nli.sw.yaml": text})


def test_suites_may_name_derived_sets(tmp_path: Path) -> None:
    suite = FILES["suites/small.yaml"]
    right = suite.replace("both", "three-outside-niger-congo")
    assert load(tmp_path, **{"suites/small.yaml": right}).suite("small").blocks[2].source_sets == (
        "three-outside-niger-congo",
    )
    wrong = suite.replace("both", "three-in-uralic")
    line = (
        r"small\.yaml: blocks\[2\]\.source_sets\[0\]: got 'three-in-uralic'; "
        "allowed: both, single, three; or a source's name .*, SET-without-SOURCE, "
    )
    with pytest.raises(InputError, match=line):
        load(tmp_path, **{"suites/small.yaml": wrong})


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("nli.no]", "nli.nn]", "sources[2]: got 'nli.nn'; allowed: nli.en, nli.no, nli.sw, qa.sw"),
        ("{examples: 90}", "{examples: 2}", "budget: got examples=2; allowed: at least 3"),
        ("{examples: 90}", "{examples: 9, tokens: 9}", "budget: got examples and tokens"),
        ("{examples: 90}", "{}", "budget: got an empty mapping; allowed: a mapping with at least"),
        ("{examples: 90}", "{rows: 90}", "budget.rows: got an unknown key"),
        ("nli.no]", "{source: nli.no, share: 3/2}]", "sources[2].share: got '3/2'; allowed: K/N"),
        ("nli.no]", "{source: nli.no, share: 1/1}]", "sources[2].share: got '1/1'; allowed: K/N"),
        ("nli.no]", "{source: nli.no, share: half}]", "sources[2].share: got 'half'"),
        ("nli.no]", "{source: nli.en, share: 1/2}]", "sources[2].share: got '1/2'; allowed: all"),
        ("nli.no]\nbudget: {examples: 90}", "{source: nli.no, share: 1/2}]",
         "budget: got nothing; allowed: a budget beside shares"),
        ("budget:", "parallel: languages\nbudget:",
         "parallel: got 'languages'; allowed: true or false"),
        ("budget:", "mixture: {sampling: temperature}\nbudget:",
         "mixture.temperature: got nothing"),
        ("budget:", "mixture: {sampling: uniform, temperature: 2}\nbudget:",
         "mixture.temperature: got 2.0"),
        ("budget:", "mixture: {sampling: random}\nbudget:",
         "mixture.sampling: got 'random'; allowed: one of proportional, uniform, temperature"),
        *(
            ("budget:", "settings: {adapters: {epochs: 1, learning_rate: 1e-4, batch_size: 8, "
             f"{key}: 64}}}}\nbudget:",
             f"settings.adapters.{key}: got 64; allowed: no value here: each source of the set has "
             "its own; remove it")
            for key in ("max_length", "doc_stride")
        ),
        ("budget:", "settings: {adapters: {epochs: 1, learning_rate: 1e-4}}\nbudget:",
         "settings.adapters: got neither batch_size nor batch_tokens"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert old in SET
    with pytest.raises(InputError) as error:
        load(tmp_path, SET.replace(old, new))
    assert f"three.yaml: {line}" in str(error.value)


def test_a_suites_budget_is_for_its_largest_set(tmp_path: Path) -> None:
    suite = FILES["suites/small.yaml"] + "budget: {tokens: 2}\n"
    load(tmp_path, **{"suites/small.yaml": suite})
    unbudgeted = SET.replace("budget: {examples: 90}\n", "")
    line = r"small\.yaml: budget: got tokens=2; allowed: at least 3, one for each source"
    with pytest.raises(InputError, match=line):
        load(tmp_path, unbudgeted, **{"suites/small.yaml": suite.replace("both", "three")})
