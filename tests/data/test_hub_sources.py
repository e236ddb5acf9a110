"""Every source of the catalog that the hub has, read from Parquet with the true columns.

A source whose data set is not in the table below fails: its columns and rows belong there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import pytest
from datasets import ClassLabel, List, Value

from harness.catalog import Catalog, Source, SplitSpec
from harness.data import (
    ChoiceExample,
    DataContext,
    PairExample,
    SpanExample,
    TaggingExample,
    load_split,
)
from tests.hub import NER, NLI, SQUAD, STRING, UPOS, Calls, Mirror, Rows, questions

INT = Value("int32")
CONVERTED = "refs/convert/parquet"
CATALOG = Catalog.load()
FILES = CATALOG.sources
SOURCES = {name: one.on_hub() for name, one in sorted(FILES.items()) if one.hub is not None}
# Rows of a configuration and split, and what an example of each says; None: no example.
Made = tuple[Rows, list[tuple[Any, ...] | None]]


@dataclass(frozen=True)
class HubSet:
    """A data set of the hub: revision, configurations (a pattern), splits, columns, some rows."""

    revision: str
    config: str
    splits: tuple[str, ...]
    features: Mapping[str, Any]
    make: Callable[[str, str], Made]


def pairs(
    names: tuple[str, str], labels: list[int], expected: list[str | None], extra: Rows
) -> Callable[[str, str], Made]:
    def make(config: str, split: str) -> Made:
        one, two = ([f"{side} {n} of {config} {split}" for n in range(10)] for side in "pq")
        rows = {names[0]: one, names[1]: two, "label": labels, **extra}
        texts = zip(one, two, expected, strict=True)
        return rows, [None if label is None else (a, b, label) for a, b, label in texts]

    return make


_NLI_NUMBERS = [0, 1, 2, 2, 1, 0, 0, 1, 2, 0]
_NLI_NAMES: list[str | None] = [
    "entailment", "neutral", "contradiction", "contradiction", "neutral", "entailment",
    "entailment", "neutral", "contradiction", "entailment",
]  # fmt: skip
_SAME, _SAME_NAMES = [0, 1] * 5, ["0", "1"] * 5
_NLI_LABEL = ClassLabel(names=list(NLI))
_NUMBERS = list(range(10))
TYDI = {
    "arabic-": "ar", "bengali-": "bn", "english-": "en", "finnish-": "fi", "indonesian-": "id",
    "korean-": "ko", "russian-": "ru", "swahili-": "sw", "telugu-": "te",
}  # fmt: skip


def squad(*, empty: tuple[int, ...] = (), prefixes: tuple[str, ...] = ("",)) -> Any:
    """Ten questions on contexts of their own for each prefix of the ids; `empty`: unanswerable."""

    def make(config: str, split: str) -> Made:
        rows, expected = [], []
        for prefix in prefixes:
            for n in _NUMBERS:
                context, question = f"In {config} {split} {prefix}{n} it is red.", f"Colour {n}?"
                start = context.index("red")
                texts, starts = ([], []) if n in empty else (["red", "red"], [start, start])
                rows.append((f"{prefix}{n}-0", context, question, texts, starts))
                answers = () if n in empty else (("red", start),) * 2
                expected.append((f"{prefix}{n}-0", question, context, answers, n not in empty))
        return questions(*rows, title=True), expected  # one title: contexts must not tell articles

    return make


def by_title(make: Callable[[str, str], Made]) -> Callable[[str, str], Made]:
    """The same rows with an article of its own for each."""

    def titled(config: str, split: str) -> Made:
        rows, expected = make(config, split)
        return {**rows, "title": [f"Article {n}" for n in range(len(expected))]}, expected

    return titled


def tagged(column: str, numbers: list[int], tags: tuple[str, ...]) -> Callable[[str, str], Made]:
    def make(config: str, split: str) -> Made:
        words = [[config, split, str(n)] for n in _NUMBERS]
        expected: list[tuple[Any, ...] | None] = [(tuple(one), tags) for one in words]
        return {"tokens": words, column: [numbers] * 10}, expected

    return make


def xtreme(config: str, split: str) -> Made:
    if config.startswith("PAN-X."):
        rows, expected = tagged("ner_tags", [1, 2, 5], ("B-PER", "I-PER", "B-LOC"))(config, split)
        return {**rows, "langs": [["xx"] * 3] * 10}, expected
    return tagged("pos_tags", [0, 15, 12], ("ADJ", "VERB", "PUNCT"))(config, split)


def hellaswag(config: str, split: str) -> Made:
    starts = [f"{split} {n} runs." for n in _NUMBERS]
    endings = [[f"{letter}{n}" for letter in "abcd"] for n in _NUMBERS]
    rows: Rows = {
        "ind": [100 + n for n in _NUMBERS], "activity_label": ["Running"] * 10,
        "ctx_a": starts, "ctx_b": ["then"] * 10, "ctx": [f"{start} then" for start in starts],
        "endings": endings, "source_id": ["x"] * 10, "split": ["train"] * 10,
        "split_type": ["indomain"] * 10, "label": list("0123012301"),
    }  # fmt: skip
    right = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    texts = zip(_NUMBERS, starts, endings, right, strict=True)
    return rows, [(str(100 + n), f"{s} then", tuple(four), one) for n, s, four, one in texts]


def commonsense_qa(config: str, split: str) -> Made:
    stems = [f"Why is {split} {n}?" for n in _NUMBERS]
    answers = [[f"{letter}{n}" for letter in "vwxyz"] for n in _NUMBERS]
    rows: Rows = {
        "id": [f"q{n}" for n in _NUMBERS], "question": stems, "question_concept": ["x"] * 10,
        "choices": [{"label": list("ABCDE"), "text": five} for five in answers],
        "answerKey": list("ABCDEEDCBA"),
    }  # fmt: skip
    right = [0, 1, 2, 3, 4, 4, 3, 2, 1, 0]
    texts = zip(_NUMBERS, stems, answers, right, strict=True)
    return rows, [(f"q{n}", stem, tuple(five), one) for n, stem, five, one in texts]


def cosmos_qa(config: str, split: str) -> Made:
    rows: Rows = {
        "id": [f"{split}##{n}" for n in _NUMBERS], "context": [f"Tale {n} ." for n in _NUMBERS],
        "question": ["Why ?"] * 10, "label": [0, 1, 2, 3, 3, 2, 1, 0, 2, 1],
        **{f"answer{k}": [f"{'abcd'[k]}{n}" for n in _NUMBERS] for k in range(4)},
    }  # fmt: skip
    right = ["a0", "b1", "c2", "d3", "d4", "c5", "b6", "a7", "c8", "b9"]
    four = [tuple(f"{letter}{n}" for letter in "abcd") for n in _NUMBERS]
    return rows, [
        (f"{split}##{n}", f"Tale {n} . Why ?", four[n], four[n].index(right[n])) for n in _NUMBERS
    ]


_ENTAILMENT = pairs(("premise", "hypothesis"), _NLI_NUMBERS, _NLI_NAMES, {})
_PAIR = {"premise": STRING, "hypothesis": STRING}
_PARSES = ("premise_binary_parse", "premise_parse", "hypothesis_binary_parse", "hypothesis_parse")
_MULTI_NLI = dict.fromkeys(("pairID", *_PARSES, "genre"), STRING)
HUB = {
    "rajpurkar/squad": HubSet(
        "7b6d24c440a36b6815f21b70d25016731768db1f", "plain_text", ("train", "validation"),
        SQUAD, squad()),
    "rajpurkar/squad_v2": HubSet(
        "3ffb306f725f7d2ce8394bc1873b24868140c412", "squad_v2", ("train", "validation"),
        SQUAD, squad(empty=(1, 4, 9))),
    "google-research-datasets/tydiqa": HubSet(
        "da78f23f9119363459acbaf46bf89426ff26c259", "secondary_task", ("train", "validation"),
        SQUAD, by_title(squad(prefixes=tuple(TYDI)))),
    "Rowan/hellaswag": HubSet(
        "218ec52e09a7e7462a5400043bb9a69a41d06b76", "default", ("train", "validation", "test"),
        {"ind": INT, "activity_label": STRING, "ctx_a": STRING, "ctx_b": STRING, "ctx": STRING,
         "endings": List(STRING), "source_id": STRING, "split": STRING, "split_type": STRING,
         "label": STRING}, hellaswag),
    "tau/commonsense_qa": HubSet(
        "94630fe30dad47192a8546eb75f094926d47e155", "default", ("train", "validation", "test"),
        {"id": STRING, "question": STRING, "question_concept": STRING,
         "choices": {"label": List(STRING), "text": List(STRING)}, "answerKey": STRING},
        commonsense_qa),
    "allenai/cosmos_qa": HubSet(
        CONVERTED, "default", ("train", "validation", "test"),
        {"id": STRING, "context": STRING, "question": STRING, "answer0": STRING,
         "answer1": STRING, "answer2": STRING, "answer3": STRING, "label": INT}, cosmos_qa),
    "nyu-mll/multi_nli": HubSet(
        "da70db2af9d09693783c3320c4249840212ee221", "default",
        ("train", "validation_matched", "validation_mismatched"),
        {"promptID": INT, **_MULTI_NLI, **_PAIR, "label": _NLI_LABEL},
        pairs(("premise", "hypothesis"), _NLI_NUMBERS, _NLI_NAMES,
              {"promptID": _NUMBERS, **{name: ["x"] * 10 for name in _MULTI_NLI}})),
    "facebook/anli": HubSet(
        "8e4813d81f46d313dac7892e1c28076917cfcdf9", "plain_text",
        tuple(f"{split}_r{n}" for split in ("train", "dev", "test") for n in (1, 2, 3)),
        {"uid": STRING, **_PAIR, "label": _NLI_LABEL, "reason": STRING},
        pairs(("premise", "hypothesis"), _NLI_NUMBERS, _NLI_NAMES,
              {"uid": [f"u{n}" for n in _NUMBERS], "reason": ["x"] * 10})),
    "stanfordnlp/snli": HubSet(
        CONVERTED, "plain_text", ("train", "validation", "test"), {**_PAIR, "label": _NLI_LABEL},
        pairs(("premise", "hypothesis"), [-1, *_NLI_NUMBERS[1:]], [None, *_NLI_NAMES[1:]], {})),
    "facebook/xnli": HubSet(
        "b8dd5d7af51114dbda02c0e3f6133f332186418e", "[a-z]{2}", ("train", "validation", "test"),
        {**_PAIR, "label": _NLI_LABEL}, _ENTAILMENT),
    "nyu-mll/glue": HubSet(
        "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c", "qqp", ("train", "validation", "test"),
        {"question1": STRING, "question2": STRING,
         "label": ClassLabel(names=["not_duplicate", "duplicate"]), "idx": INT},
        pairs(("question1", "question2"), _SAME, [*_SAME_NAMES], {"idx": _NUMBERS})),
    "google-research-datasets/paws-x": HubSet(
        "4cd8187c404bda33cb1f62b49b001115862acf37", "de|en|es|fr|ja|ko|zh",
        ("train", "validation", "test"),
        {"id": INT, "sentence1": STRING, "sentence2": STRING,
         "label": ClassLabel(names=["0", "1"])},
        pairs(("sentence1", "sentence2"), _SAME, [*_SAME_NAMES],
              {"id": [n + 1 for n in _NUMBERS]})),
    "google/xtreme": HubSet(
        "21f88c0ff5bf413a83c854eb00050e75d245161f", r"PAN-X\.[a-z]{2}|udpos\.[A-Z][a-z]+",
        ("train", "validation", "test"), {"tokens": List(STRING)}, xtreme),
}  # fmt: skip


@singledispatch
def said(example: Any) -> tuple[Any, ...]:
    raise TypeError(type(example))


@said.register
def _pair(example: PairExample) -> tuple[Any, ...]:
    return (example.premise, example.hypothesis, example.label)


@said.register
def _tags(example: TaggingExample) -> tuple[Any, ...]:
    return (example.tokens, example.tags)


@said.register
def _choice(example: ChoiceExample) -> tuple[Any, ...]:
    return (example.id, example.context, example.choices, example.label)


@said.register
def _span(example: SpanExample) -> tuple[Any, ...]:
    answers = tuple((answer.text, answer.start) for answer in example.answers)
    return (example.id, example.question, example.context, answers, example.answerable)


def pieces(source: Source) -> list[SplitSpec]:
    return [*source.train.pieces(source.language), *source.dev.pieces(source.language)]


def config_of(source: Source, piece: SplitSpec) -> str:
    config = str(piece.options.get("config") or piece.options.get("folder") or "default")
    return config.replace("{language}", source.language)


def language_of(source: Source, piece: SplitSpec) -> str:
    """The language that the configuration or the ids name; empty where they name none."""
    name = str(piece.options["id"])
    config, prefix = config_of(source, piece), str(piece.options.get("id_prefix", ""))
    if name == "google-research-datasets/tydiqa":
        return TYDI[prefix]
    if name in ("facebook/xnli", "google-research-datasets/paws-x"):
        return config
    if name != "google/xtreme":
        return ""
    own = {"zh": "Chinese"}.get(source.language, CATALOG.language(source.language).name)
    named = config.removeprefix("udpos.")[:4] == own[:4]  # Afrikaans is Afrikans there
    return source.language if named else config.removeprefix("PAN-X.")


class _Hub:
    """Writes what a source's pieces name, once each, and knows what they must give."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self.written: set[tuple[str, str, str]] = set()

    def expected(self, source: Source, spec: SplitSpec) -> list[tuple[Any, ...]]:
        found = []
        for piece in spec.pieces(source.language):
            name, split = str(piece.options["id"]), str(piece.options["split"])
            config = config_of(source, piece)
            rows, said_by_rows = HUB[name].make(config, split)
            if (name, config, split) not in self.written:
                self.written.add((name, config, split))
                self.mirror(name, config, split, self._features(name, config), rows,
                            described=HUB[name].revision != CONVERTED)  # fmt: skip
            found += self._part(piece, [one for one in said_by_rows if one is not None])
        return found

    @staticmethod
    def _features(name: str, config: str) -> dict[str, Any]:
        if name != "google/xtreme":
            return dict(HUB[name].features)
        if config.startswith("PAN-X."):
            tags = {"ner_tags": List(ClassLabel(names=list(NER))), "langs": List(STRING)}
        else:
            tags = {"pos_tags": List(ClassLabel(names=UPOS))}
        return {**HUB[name].features, **tags}

    @staticmethod
    def _part(piece: SplitSpec, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The rows of the piece's ids and of its part, of ten rows: nine tenths are nine."""
        prefix = str(piece.options.get("id_prefix", ""))
        rows = [row for row in rows if not prefix or row[0].startswith(prefix)]
        if piece.part is None:
            return rows
        assert len(rows) == 10
        assert (piece.part.start, piece.part.stop) in ((0, 0.9), (0.9, None))
        return rows[:9] if piece.part.stop else rows[9:]


def _cases() -> list[Any]:
    """The first source of each task from the same data sets; the others are slow (seconds each)."""
    seen, cases = set(), []
    for name, source in SOURCES.items():
        kind = (source.task, *dict.fromkeys(piece.options["id"] for piece in pieces(source)))
        cases.append(pytest.param(name, marks=[pytest.mark.slow] if kind in seen else []))
        seen.add(kind)
    return cases


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_names_what_the_hub_has(name: str) -> None:
    source = SOURCES[name]
    assert source.split != FILES[name].split
    assert source.split.startswith("hub-")
    for piece in pieces(source):
        known = HUB.get(str(piece.options["id"]))
        assert known, f"add the columns and rows of {piece.options['id']} to HUB"
        assert re.fullmatch(known.config, config_of(source, piece))
        assert piece.options["split"] in known.splits
        assert piece.options["revision"] == known.revision
        assert ("folder" in piece.options) == (known.revision == CONVERTED)
        assert language_of(source, piece) in ("", source.language)


@pytest.mark.parametrize("name", _cases())
def test_a_source_of_the_hub(name: str, mirror: Mirror, calls: Calls) -> None:
    source, hub = SOURCES[name], _Hub(mirror)
    expected = {key: hub.expected(source, getattr(source, key)) for key in ("train", "dev")}
    context = DataContext()  # no folder of files
    for key, rows in expected.items():
        spec = getattr(source, key)
        data = load_split(spec, source.language, source.labels, context, f"{name}/{key}")
        assert [said(example) for example in data.examples] == rows
        assert {example.language for example in data.examples} == {source.language}
        assert set(data.counts) <= {"labels_dropped"}
    assert not {*expected["train"]} & {*expected["dev"]}
    asked = {(call["path"], call["revision"]) for call in calls}
    assert asked == {(path, HUB[path].revision) for path, _ in asked}


def test_the_sources_of_the_paper_are_on_the_hub() -> None:
    """Those that the hub has with a known id; CCGbank is licensed."""
    known = {"squad_v1.en", "squad_v2.en", "hellaswag.en", "cosmos_qa.en", "commonsense_qa.en"}
    assert known <= set(SOURCES)
