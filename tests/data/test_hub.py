"""The hub reader on Parquet folders with the columns and configurations of the data sets' own."""

from __future__ import annotations

import datetime
import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.catalog import Catalog, SplitSpec, Target
from harness.data import DataContext, Dataset, load_split
from harness.errors import InputError, WorkError

datasets = pytest.importorskip("datasets")

Value, ClassLabel, List = datasets.Value, datasets.ClassLabel, datasets.List
STRING = Value("string")
Rows = dict[str, list[Any]]
Mirror = Callable[..., None]

NLI = ("entailment", "neutral", "contradiction")  # the numbers of facebook/xnli
NER = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
UPOS = ["ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN",
        "PUNCT", "SCONJ", "SYM", "VERB", "X"]  # fmt: skip
SQUAD = {
    "id": STRING,
    "title": STRING,
    "context": STRING,
    "question": STRING,
    "answers": {"text": List(STRING), "answer_start": List(Value("int32"))},
}
XQUAD = {key: feature for key, feature in SQUAD.items() if key != "title"}


class Calls(list[dict[str, Any]]):
    """What the library was asked for, call by call."""


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load().on_hub()


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """`load_dataset` looks below `tmp_path` instead of on the hub, and tells what it was asked."""
    made = Calls()
    original = datasets.load_dataset

    def local(path: str, **arguments: Any) -> Any:
        made.append({"path": path, **arguments})
        arguments.pop("revision")
        return original(str(tmp_path / path), cache_dir=str(tmp_path / "cache"), **arguments)

    monkeypatch.setattr(datasets, "load_dataset", local)
    return made


@pytest.fixture
def mirror(tmp_path: Path, calls: Calls) -> Mirror:
    """Writes a split of a data set as its repository holds it: Parquet, configurations named."""
    known: dict[str, list[str]] = {}

    def write(name: str, config: str, split: str, features: dict[str, Any], rows: Rows) -> None:
        folder = tmp_path / name
        table = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
        (folder / config / split).mkdir(parents=True)
        table.to_parquet(str(folder / config / split / "0000.parquet"))
        if config.startswith("mlqa."):  # the hub's conversion of a script: folders, no description
            return
        lines = known.setdefault(name, [])
        if f"- config_name: {config}" not in lines:
            lines += [f"- config_name: {config}", "  data_files:"]
        at = lines.index(f"- config_name: {config}") + 2
        lines[at:at] = [f"  - split: {split}", f"    path: {config}/{split}/*.parquet"]
        (folder / "README.md").write_text("\n".join(["---", "configs:", *lines, "---\n"]))

    return write


def read(target: Target, split: str, language: str) -> Dataset:
    spec = getattr(target, split)
    context = DataContext(language_iso3=Catalog.load().language_iso3())
    return load_split(spec, language, target.labels, context, f"{target.name}/{split}")


def questions(*rows: tuple[str, str, str, Sequence[str], Sequence[int]], title: bool) -> Rows:
    columns: Rows = {
        "id": [row[0] for row in rows],
        "context": [row[1] for row in rows],
        "question": [row[2] for row in rows],
        "answers": [{"text": list(row[3]), "answer_start": list(row[4])} for row in rows],
    }
    return {**columns, "title": ["An article"] * len(rows)} if title else columns


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
    mirror("facebook/mlqa", "mlqa.de.de", "test", XQUAD, rows)
    mirror("facebook/mlqa", "mlqa.en.de", "test", XQUAD, other)
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


@pytest.mark.parametrize(
    ("gold", "rows", "message"),
    [
        ([[1, 3]], 1, r"gold pair \[1, 3\] is beyond the corpora"),
        ([[0, 1]], 1, r"gold pair \[0, 1\] is beyond the corpora"),
        ([[1, 1]], 2, "2 rows; expected one with both corpora"),
        ([[1]], 1, r"gold 1: gold pair \[1\] is not two line numbers, foreign and English"),
        ([[1, 1], [1, 1, 2]], 1, r"gold 2: gold pair \[1, 1, 2\] is not two line numbers"),
        ([[1, None]], 1, r"gold pair \[1, None\] is not two line numbers"),
        ([None], 1, "gold pair None is not two line numbers"),
        (None, 1, "gold must be a list, got null"),
    ],
)
def test_gold_pairs_of_other_corpora(mirror: Mirror, gold: Any, rows: int, message: str) -> None:
    features = {"sentence1": List(STRING), "sentence2": List(STRING),
                "gold": List(List(Value("int64")))}  # fmt: skip
    table = {"sentence1": [["a"]] * rows, "sentence2": [["b", "c"]] * rows, "gold": [gold] * rows}
    mirror("some/set", "only", "test", features, table)
    with pytest.raises(InputError, match=message):
        load(MINING)


@pytest.mark.parametrize(
    ("sentence", "message"),
    [(None, "sentence1 2: sentence must be a string, got null"), (" ", "2: empty sentence")],
)
def test_sentences_to_mine_are_text(mirror: Mirror, sentence: str | None, message: str) -> None:
    features = {"sentence1": List(STRING), "sentence2": List(STRING),
                "gold": List(List(Value("int64")))}  # fmt: skip
    table = {"sentence1": [["a", sentence, "c"]], "sentence2": [["d", "e"]],
             "gold": [[[2, 1], [3, 2]]]}  # fmt: skip
    mirror("some/set", "only", "test", features, table)
    with pytest.raises(InputError, match=message):
        load(MINING)
    found = load(MINING, bad_rows="skip")  # the pair of a skipped sentence goes with it
    assert [(e.sentence, e.key, e.partners) for e in found.examples] == [
        ("a", "xx-000000001", ()),
        ("c", "xx-000000003", ("en-000000002",)),
        ("d", "en-000000001", ()),
        ("e", "en-000000002", ()),
    ]
    assert found.counts == {"bad_rows_skipped": 2}


MINING = SplitSpec("hub", options={"id": "some/set", "revision": "0" * 40, "split": "test",
                                   "layout": "mining"})  # fmt: skip


@pytest.mark.parametrize(
    ("tokens", "tags", "message"),
    [
        (None, [0], "row 2: tokens must be a list, got null"),
        (["a"], None, "row 2: tags must be a list, got null"),
        ([None], [0], "row 2: token must be a string, got null"),
        (["a"], [None], "row 2: label must be a string, got null"),
    ],
)
def test_null_where_words_or_tags_should_be(
    mirror: Mirror, tokens: Any, tags: Any, message: str
) -> None:
    features = {"tokens": List(STRING), "tags": List(Value("int64"))}
    rows = {"tokens": [["a"], tokens], "tags": [[0], tags]}
    mirror("some/set", "only", "test", features, rows)
    one = spec(layout="tagged", columns=None)
    with pytest.raises(InputError, match=message):
        load(one)
    found = load(one, bad_rows="skip")
    assert (len(found), found.counts) == (1, {"bad_rows_skipped": 1})


def test_null_where_answers_should_be(mirror: Mirror) -> None:
    rows = questions(("1", "It is red.", "Colour?", ["red"], [6]),
                     ("2", "It is red.", "Hue?", [], []), title=False)  # fmt: skip
    rows["answers"][1] = {"text": None, "answer_start": [6]}
    mirror("some/set", "only", "test", XQUAD, rows)
    one = SplitSpec("hub", options={"id": "some/set", "revision": "0" * 40, "split": "test",
                                    "layout": "squad"})  # fmt: skip
    context = DataContext(bad_rows="refuse")
    with pytest.raises(InputError, match="row 2: text must be a list, got null"):
        load_split(one, "en", (), context, "t/test")


@pytest.mark.parametrize(
    ("value", "shown"), [(b"raw", "b'raw'"), (datetime.date(2018, 1, 2), r"datetime\.date\(2018")]
)
def test_a_column_that_is_no_text(mirror: Mirror, value: Any, shown: str) -> None:
    kind = Value("binary") if isinstance(value, bytes) else Value("date32")
    features = {"a": kind, "b": STRING, "label": Value("int64")}
    mirror("some/set", "only", "test", features, {"a": [value], "b": ["h"], "label": [0]})
    with pytest.raises(InputError, match=f"row 1: a must be a string, got .*{shown}"):
        load(spec())


def spec(**options: Any) -> SplitSpec:
    base = {"id": "some/set", "revision": "0" * 40, "split": "test", "layout": "pairs",
            "columns": {"premise": "a", "hypothesis": "b"}, "label_names": list(NLI)}  # fmt: skip
    return SplitSpec("hub", options={k: v for k, v in {**base, **options}.items() if v is not None})


def load(one: SplitSpec, *, bad_rows: str = "refuse") -> Dataset:
    return load_split(one, "xx", tuple(sorted(NLI)), DataContext(bad_rows=bad_rows), "t/test")


@pytest.mark.parametrize("revision", [None, "main", "b8dd5d7", "refs/pr/1", "B" * 40])
def test_a_revision_must_be_pinned(calls: Calls, revision: str | None) -> None:
    with pytest.raises(InputError, match=r"'revision' is .*a commit of 40 hexadecimal digits"):
        load(spec(revision=revision))
    assert calls == []  # nothing was asked for


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "rows"}, "layout 'rows' is unknown; must be one of: pairs, tagged, squad"),
        ({"columns": {"premise": "c"}}, "no column 'c'; the data set has: a, b, label"),
        ({"label_names": sorted(NLI)}, r"has the labels entailment, neutral, contradiction; exp"),
        ({"config": "none"}, r"some/set@0{12} none test: not on the hub as the catalog says"),
        ({"split": "dev"}, "not on the hub as the catalog says .*dev"),
        ({"config": "x", "folder": "y"}, "option 'folder' is 'y'; must be left out where config"),
        ({"config": "x.{name}"}, "text without {name}, or `names` must have the language"),
        ({"id_prefix": "x"}, "unknown option 'id_prefix'"),
        ({"columns": {"premis": "a"}}, "option 'columns' is .*any of premise, hypothesis, label"),
    ],
)
def test_what_is_not_as_expected(mirror: Mirror, options: dict[str, Any], message: str) -> None:
    features = {"a": STRING, "b": STRING, "label": ClassLabel(names=list(NLI))}
    mirror("some/set", "only", "test", features, {"a": ["p"], "b": ["h"], "label": [0]})
    with pytest.raises(InputError, match=message) as caught:
        load(spec(**options))
    assert "\n" not in str(caught.value)


def test_bad_rows(mirror: Mirror) -> None:
    features = {"a": STRING, "b": STRING, "label": Value("int64")}
    rows = {"a": ["p", "q", None, "s"], "b": ["h"] * 4, "label": [0, -1, 1, 2]}
    mirror("some/set", "only", "test", features, rows)
    with pytest.raises(InputError, match=r"some/set@0{12} test, row 2: label -1 is no number of"):
        load(spec())
    found = load(spec(), bad_rows="skip")
    assert [(e.premise, e.label) for e in found.examples] == [("p", NLI[0]), ("s", NLI[2])]
    assert found.counts == {"bad_rows_skipped": 2}


def test_code_of_a_data_set_is_never_run(calls: Calls, tmp_path: Path) -> None:
    folder = tmp_path / "some" / "set"
    folder.mkdir(parents=True)
    (folder / "set.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(InputError, match=r"some/set@0{12} test: cannot be read without running"):
        load(spec())
    assert not (tmp_path / "ran").exists()


def test_no_connection_is_a_failure_and_no_wrong_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("Couldn't reach\nthe hub")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(WorkError, match=r"Couldn't reach the hub\); check the network") as caught:
        load(spec())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cause", "kind", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), WorkError,
         r"cannot be loaded from the hub \(\[Errno 28\] No space left.*disk of the cache"),
        (httpx.ReadTimeout("read\ntimed out"), WorkError, r"\(read timed out\); check the network"),
        (MemoryError(), WorkError, r"cannot be loaded from the hub \(MemoryError\)"),
        (ValueError("Parquet magic bytes not found"), InputError,
         r"not on the hub as the catalog says \(Parquet magic bytes not found\)"),
        (None, InputError, r"as the catalog says \(An error occurred while generating"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_cause_decides_what_kind_of_failure_it_is(
    monkeypatch: pytest.MonkeyPatch, cause: Exception | None, kind: type[Exception], message: str,
    wrapped: bool,
) -> None:  # fmt: skip
    """`datasets` wraps whatever happens while it writes its cache."""

    def fail(*_: Any, **__: Any) -> None:
        if cause is not None and not wrapped:
            raise cause
        generating = "An error occurred while generating the dataset"
        raise datasets.exceptions.DatasetGenerationError(generating) from cause

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(kind, match=message) as caught:
        load(spec())
    assert "\n" not in str(caught.value)


def test_a_full_disk_while_the_cache_is_written(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the library itself raises it."""
    from datasets.arrow_writer import ArrowWriter

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    features = {"a": STRING, "b": STRING, "label": ClassLabel(names=list(NLI))}
    mirror("some/set", "only", "test", features, {"a": ["p"] * 2, "b": ["h"] * 2, "label": [0] * 2})
    monkeypatch.setattr(ArrowWriter, "write_table", full)
    with pytest.raises(WorkError, match="No space left on device"):
        load(spec())


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
