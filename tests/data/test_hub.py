"""The hub reader on Parquet folders with the columns and configurations of the data sets' own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, List, Value

from harness.catalog import Catalog, Target
from harness.data import DataContext, Dataset, load_split
from tests.hub import (
    NER,
    NLI,
    SQUAD,
    STRING,
    UPOS,
    XQUAD,
    Calls,
    Mirror,
    questions,
)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load().on_hub()


def read(target: Target, split: str, language: str) -> Dataset:
    spec = getattr(target, split)
    context = DataContext(language_iso3=Catalog.load().language_iso3())
    return load_split(spec, language, target.labels, context, f"{target.name}/{split}")


def test_xnli(catalog: Catalog, mirror: Mirror, calls: Calls) -> None:
    features = {"premise": STRING, "hypothesis": STRING, "label": ClassLabel(names=list(NLI))}
    rows = {"premise": ["p0", "p1"], "hypothesis": ["h0", "h1"], "label": [2, 0]}
    for language in ("en", "sw"):
        for split in ("train", "validation", "test"):
            mirror("facebook/xnli", language, split, features, rows)
    target = catalog.target("xnli")
    found = read(target, "test", "sw").examples
    assert [(e.premise, e.hypothesis, e.label) for e in found] == [
        ("p0", "h0", "contradiction"),
        ("p1", "h1", "entailment"),
    ]
    assert [e.group for e in found] == ["xnli-test:0", "xnli-test:1"]
    assert [e.id for e in found] == ["facebook/xnli/sw/test:0", "facebook/xnli/sw/test:1"]
    assert len(read(target, "train", "en")) == len(read(target, "dev", "en")) == 2
    asked = [(call["path"], call["name"], call["split"], call["revision"]) for call in calls]
    revision = "b8dd5d7af51114dbda02c0e3f6133f332186418e"
    assert asked == [
        ("facebook/xnli", config, split, revision)
        for config, split in (("sw", "test"), ("en", "train"), ("en", "validation"))
    ]
    assert not any("trust_remote_code" in call for call in calls)


def test_pawsx(catalog: Catalog, mirror: Mirror) -> None:
    features = {"id": Value("int32"), "sentence1": STRING, "sentence2": STRING,
                "label": ClassLabel(names=["0", "1"])}  # fmt: skip
    rows = {"id": [7, 9], "sentence1": ["a", ""], "sentence2": ["b", "d"], "label": [1, 0]}
    mirror("google-research-datasets/paws-x", "ja", "test", features, rows)
    found = read(catalog.target("pawsx"), "test", "ja")
    assert [(e.premise, e.hypothesis, e.label) for e in found.examples] == [
        ("a", "b", "1"),
        ("", "d", "0"),  # published rows without a sentence are scored, too
    ]
    assert found.counts == {"empty_texts": 1}


def test_udpos(catalog: Catalog, mirror: Mirror, calls: Calls) -> None:
    features = {"tokens": List(STRING), "pos_tags": List(ClassLabel(names=UPOS))}
    rows = {"tokens": [["Ek", "sien"], ["!"]], "pos_tags": [[10, 15], [12]]}
    mirror("google/xtreme", "udpos.Afrikans", "test", features, rows)  # the hub's own spelling
    found = read(catalog.target("udpos"), "test", "af").examples
    assert [(e.tokens, e.tags) for e in found] == [
        (("Ek", "sien"), ("PRON", "VERB")),
        (("!",), ("PUNCT",)),
    ]
    assert "unfused" in catalog.target("udpos").split


def test_panx(catalog: Catalog, mirror: Mirror) -> None:
    features = {"tokens": List(STRING), "ner_tags": List(ClassLabel(names=list(NER))),
                "langs": List(STRING)}  # fmt: skip
    rows = {"tokens": [["Jakarta", "", "ya"]], "ner_tags": [[5, 0, 0]], "langs": [["jv"] * 3]}
    mirror("google/xtreme", "PAN-X.jv", "test", features, rows)
    found = read(catalog.target("panx"), "test", "jv")
    assert [(e.tokens, e.tags) for e in found.examples] == [(("Jakarta", "ya"), ("B-LOC", "O"))]
    assert found.counts == {"blank_tokens_dropped": 1}


def test_xquad(catalog: Catalog, mirror: Mirror, calls: Calls) -> None:
    rows = questions(("q1", "Ni bluu.", "Rangi?", ["bluu"], [3]), title=False)
    mirror("google/xquad", "xquad.th", "validation", XQUAD, rows)
    english = questions(("q2", "It is red.", "Colour?", ["red", "red"], [6, 6]), title=True)
    mirror("rajpurkar/squad", "plain_text", "train", SQUAD, english)
    target = catalog.target("xquad")
    (found,) = read(target, "test", "th").examples
    assert (found.id, found.question, found.context) == ("q1", "Rangi?", "Ni bluu.")
    assert [(a.text, a.start) for a in found.answers] == [("bluu", 3)]
    (trained,) = read(target, "train", "en").examples
    assert (trained.group, len(trained.answers)) == ("article:An article", 2)
    assert {call["revision"] for call in calls} == {
        "51adfef1c1287aab1d2d91b5bead9bcfb9c68583",
        "7b6d24c440a36b6815f21b70d25016731768db1f",
    }


def test_mlqa_is_read_from_the_parquet_of_its_folder(
    catalog: Catalog, mirror: Mirror, calls: Calls
) -> None:
    rows = questions(("q1", "Es ist rot.", "Farbe?", ["rot"], [7]), title=False)
    other = questions(("q2", "It is red.", "Farbe?", ["red"], [6]), title=False)
    mirror("facebook/mlqa", "mlqa.de.de", "test", XQUAD, rows, described=False)
    mirror("facebook/mlqa", "mlqa.en.de", "test", XQUAD, other, described=False)
    (found,) = read(catalog.target("mlqa"), "test", "de").examples
    assert (found.id, found.language) == ("q1", "de")
    (call,) = calls
    assert (call["data_dir"], call["revision"]) == ("mlqa.de.de", "refs/convert/parquet")


def test_tydiqa_takes_the_language_from_the_ids(catalog: Catalog, mirror: Mirror) -> None:
    rows = questions(
        ("swahili-1-0", "Ni bluu.", "Rangi?", ["bluu"], [3]),
        ("english-2-0", "It is red.", "Colour?", ["red"], [6]),
        ("swahili-3-0", "Ni kubwa.", "Je?", ["kubwa"], [0]),  # mended: it stands there once
        title=True,
    )
    mirror("google-research-datasets/tydiqa", "secondary_task", "validation", SQUAD, rows)
    target = catalog.target("tydiqa")
    found = read(target, "test", "sw")
    assert [e.id for e in found.examples] == ["swahili-1-0", "swahili-3-0"]
    assert found.counts == {"answers_mended": 1}
    assert [e.id for e in read(target, "test", "en").examples] == ["english-2-0"]


def test_tatoeba(catalog: Catalog, mirror: Mirror) -> None:
    rows = {"sentence1": ["Salama!\n", "Ndiyo."], "sentence2": ["Hello!\n", "Yes."]}
    mirror("mteb/tatoeba-bitext-mining", "swh-eng", "test",
           {"sentence1": STRING, "sentence2": STRING}, rows)  # fmt: skip
    found = read(catalog.target("tatoeba"), "test", "sw").examples
    assert [(e.sentence, e.english) for e in found] == [("Salama!", "Hello!"), ("Ndiyo.", "Yes.")]


def test_bucc_reads_whole_corpora_in_two_halves(catalog: Catalog, mirror: Mirror) -> None:
    features = {"sentence1": List(STRING), "sentence2": List(STRING),
                "gold": List(List(Value("int64")))}  # fmt: skip
    rows = {
        "sentence1": [["eins", "zwei", "drei", "vier"]],
        "sentence2": [["two", "noise", "one", "hum", "three"]],
        "gold": [[[2, 1], [1, 3], [3, 5]]],  # line numbers from 1
    }
    mirror("mteb/BUCC", "de-en", "test", features, rows)
    target = catalog.target("bucc2018")
    halves = [read(target, split, "de").examples for split in ("dev", "test")]
    pairs = [
        {
            (one.sentence, two.sentence)
            for one in half
            for two in half
            if one.side == "foreign" and two.key in one.partners
        }
        for half in halves
    ]
    assert pairs == [{("zwei", "two"), ("drei", "three")}, {("eins", "one")}]
    # Distractors are there, each in one half alone.
    kept = [example.sentence for half in halves for example in half]
    assert sorted(kept) == sorted(rows["sentence1"][0] + rows["sentence2"][0])
    assert {e.key for half in halves for e in half if e.sentence == "drei"} == {"de-000000003"}
    assert target.split == "hub-half-of-test"


def test_every_xtreme_target_is_on_the_hub_and_pinned(catalog: Catalog) -> None:
    for target in catalog.targets.values():
        assert (target.hub is not None) == bool(target.group), target.name
        if target.hub is None:
            continue
        assert target.split == target.hub.split
        assert target.split.startswith("hub-")
        for piece in [p for code in target.languages for p in target.test.pieces(code)]:
            assert piece.reader == "hub"
            moving = piece.options["revision"] == "refs/convert/parquet"
            assert moving == (piece.options["id"] == "facebook/mlqa")


def plain(data: Dataset) -> list[tuple[Any, ...]]:
    """What examples say, without their ids."""
    return [
        tuple(getattr(example, field) for field in example.__slots__) for example in data.examples
    ]


def test_real_rows_read_from_the_hub_are_those_of_the_files(
    catalog: Catalog, mirror: Mirror, shared_data: Path
) -> None:
    """Real rows in the hub's columns give what the reader of their files gives."""
    files = Catalog.load()
    context = DataContext(shared_data, language_iso3=files.language_iso3())

    def local(name: str, language: str) -> Dataset:
        target = files.target(name)
        return load_split(target.test, language, target.labels, context, name)

    pairs = local("files-xnli", "ur").examples
    features = {"premise": STRING, "hypothesis": STRING, "label": ClassLabel(names=list(NLI))}
    mirror("facebook/xnli", "ur", "test", features, {
        "premise": [e.premise for e in pairs], "hypothesis": [e.hypothesis for e in pairs],
        "label": [NLI.index(e.label) for e in pairs],
    })  # fmt: skip
    assert plain(read(catalog.target("xnli"), "test", "ur")) == plain(local("files-xnli", "ur"))

    tagged = local("files-panx", "yo").examples
    features = {"tokens": List(STRING), "ner_tags": List(ClassLabel(names=list(NER)))}
    mirror("google/xtreme", "PAN-X.yo", "test", features, {
        "tokens": [list(e.tokens) for e in tagged],
        "ner_tags": [[NER.index(tag) for tag in e.tags] for e in tagged],
    })  # fmt: skip
    assert plain(read(catalog.target("panx"), "test", "yo")) == plain(local("files-panx", "yo"))

    asked = local("files-xquad", "zh")
    mirror("google/xquad", "xquad.zh", "validation", XQUAD, questions(
        *((e.id, e.context, e.question, [a.text for a in e.answers], [a.start for a in e.answers])
          for e in asked.examples), title=False))  # fmt: skip
    found = read(catalog.target("xquad"), "test", "zh")
    assert [e.id for e in found.examples] == [e.id for e in asked.examples]
    assert plain(found) == plain(asked)

    bitext = local("files-tatoeba", "jv")
    mirror("mteb/tatoeba-bitext-mining", "jav-eng", "test",
           {"sentence1": STRING, "sentence2": STRING},
           {"sentence1": [e.sentence for e in bitext.examples],
            "sentence2": [e.english for e in bitext.examples]})  # fmt: skip
    assert plain(read(catalog.target("tatoeba"), "test", "jv")) == plain(bitext)
