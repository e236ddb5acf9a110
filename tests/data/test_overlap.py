"""No training row is scored: by id, by parallel row, by text, across languages; on real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.catalog.specs import Part, SplitSpec
from harness.data import (
    Answer,
    BitextExample,
    ChoiceExample,
    DataContext,
    Dataset,
    Example,
    Overlap,
    PairExample,
    SpanExample,
    TaggingExample,
    TextExample,
    count_overlap,
    drop_overlap,
    load_split,
    make_dataset,
    text_examples,
)
from harness.errors import InputError

KEPT = PairExample("kept", "en", None, "something else", "entirely", "neutral")


def dataset(*examples: Example, name: str = "d") -> Dataset:
    return make_dataset(name, examples[0].language, examples, {"before": 1})


def pair(premise: str, hypothesis: str, name: str = "p", group: str | None = None) -> PairExample:
    return PairExample(name, "en", group, premise, hypothesis, "neutral")


def span(
    context: str, name: str = "s", group: str | None = None, question: str = "Q?"
) -> SpanExample:
    return SpanExample(name, "en", group, question, context, (Answer("x", 0),), True)


def tagging(*tokens: str) -> TaggingExample:
    return TaggingExample("t", "en", None, tokens, None)


def hits(train: Example, scored: Example) -> list[str]:
    return Overlap((dataset(scored),)).hits(train)


@pytest.mark.parametrize(
    ("train", "scored", "expected"),
    [
        (pair("a", "b", "x"), pair("c", "d", "x"), ["id"]),
        # Two files that number their rows share numbers, not rows.
        (pair("a", "b", "17"), pair("c", "d", "17"), []),
        (pair("a", "b", "1" * 16), pair("c", "d", "1" * 16), ["id"]),
        (pair("a", "b", "x", "dev:3"), pair("c", "d", "y", "dev:3"), ["group"]),
        (pair("a", "b", "x", "dev:3"), pair("c", "d", "y", "test:3"), []),
        # Row 3 of one file has nothing to do with row 3 of another.
        (pair("a", "b", "x", "row:3"), pair("c", "d", "y", "row:3"), []),
        (span("a", "x", "article:Cat"), span("b", "y", "article:Cat"), []),
        (span("a", "x", "xquad:Cat"), span("b", "y", "xquad:Cat"), ["group"]),
        (pair("A  Cat,", "ran\n", "x"), pair("a cat,", "RAN", "y"), ["text"]),
        (pair("ﬁve ①", "Straße", "x"), pair("five 1", "STRASSE", "y"), ["text"]),
        (pair("a", "b", "x"), pair("a", "c", "y"), []),
        (pair("a", "b", "x"), pair("b", "a", "y"), []),
        (pair("ab", "c", "x"), pair("a", "bc", "y"), []),
        (span("Same.", "x"), span("same.", "y", question="Other?"), ["text"]),
        (tagging("New", "York", "!"), tagging("new", "york!"), ["id", "text"]),
        (
            ChoiceExample("x", "en", None, "Why?", ("a", "b"), 0),
            ChoiceExample("y", "en", None, "why?", ("c", "d"), 1),
            ["text"],
        ),
        (
            BitextExample("x", "de", None, "Hallo", "Hi"),
            BitextExample("y", "nl", None, "hallo", "Hello"),
            ["text"],
        ),
        # Empty texts identify nothing.
        (pair("", "", "x"), pair(" ", "", "y"), []),
        (span("Shared context.", "x"), ChoiceExample("y", "en", None, "Shared context.", (), None),
         ["text"]),
    ],
)  # fmt: skip
def test_rules(train: Example, scored: Example, expected: list[str]) -> None:
    assert hits(train, scored) == expected
    assert hits(scored, train) == expected


LONG = "The first sentence is long enough. The second one is long enough too."


@pytest.mark.parametrize(
    ("scored", "expected"),
    [
        (span(LONG, "y"), ["text"]),
        (pair("Other.", "the second one is  long enough TOO.", "y"), ["text"]),
        (tagging("The", "first", "sentence", "is", "long", "enough", "."), ["text"]),
        (tagging("The", "first", "sentence", "is", "short", "."), []),
        (span("Other text that is long enough as well.", "y", question=LONG), ["text"]),
        (span("Yes.", "y"), []),
    ],
)
def test_running_text_is_compared_sentence_by_sentence(
    scored: Example, expected: list[str]
) -> None:
    cut = TextExample("a#0", "en", None, ("Yes.", LONG))
    assert hits(cut, scored) == expected
    assert hits(scored, cut) == expected


def test_running_text_keeps_the_id_and_group_of_its_example() -> None:
    source = pair("a", "b", "row-7", "dev:7")
    assert hits(next(text_examples(source)), pair("c", "d", "row-7", "dev:7")) == ["id", "group"]


def test_rows_are_dropped_and_counted_per_rule() -> None:
    train = dataset(pair("a", "b", "q1"), pair("c", "d", "q2", "dev:2"), pair("e", "f", "q3"), KEPT)
    scored = [
        dataset(pair("A", "B", "x")),
        dataset(pair("g", "h", "q1"), pair("i", "j", "z", "dev:2")),
    ]
    left = drop_overlap(train, scored)
    assert [e.id for e in left.examples] == ["q3", "kept"]
    assert dict(left.counts) == {
        "before": 1,
        "overlap_context": 0,
        "overlap_dropped": 2,
        "overlap_group": 1,
        "overlap_id": 1,
        "overlap_text": 1,
    }
    assert (left.name, left.language) == (train.name, train.language)
    assert left.fingerprint == dataset(*left.examples).fingerprint != train.fingerprint
    assert drop_overlap(train, Overlap(tuple(scored))) == left
    only = drop_overlap(train, scored, ("group",))
    assert (len(only), "overlap_text" in only.counts) == (3, False)
    assert count_overlap([train], scored[1]) == {"id": 1, "group": 1, "text": 0, "any": 2}
    assert count_overlap([left], scored[1]) == {"id": 0, "group": 0, "text": 0, "any": 0}


def test_all_questions_on_a_scored_context_go() -> None:
    """A translated context is known by the id of one of its questions."""
    rows = [span("Contesto.", "q1"), span("Contesto.", "q2"), span("Altro.", "q3")]
    scored = [dataset(span("Context.", "q2"))]
    left = drop_overlap(dataset(*rows), scored)
    assert [e.id for e in left.examples] == ["q3"]
    assert (left.counts["overlap_id"], left.counts["overlap_context"]) == (1, 1)
    assert left.counts["overlap_dropped"] == 2
    pieces = [piece for row in rows for piece in text_examples(row)]
    left = drop_overlap(dataset(*pieces), scored)
    assert [e.id for e in left.examples] == ["q3#0", "q3#1"]


def test_nothing_scored_drops_nothing_and_everything_scored_is_an_error() -> None:
    train = dataset(KEPT)
    assert drop_overlap(train, []).fingerprint == train.fingerprint
    with pytest.raises(InputError, match=r"d \(en\): each row is also scored"):
        drop_overlap(train, [train])
    with pytest.raises(InputError, match="rule 'name' is unknown; must be one of: id, group, text"):
        drop_overlap(train, [train], ("name",))


XQUAD = ("ar", "de", "el", "en", "es", "hi", "ru", "vi", "zh")


@pytest.fixture(scope="module")
def real(shared_data: Path) -> DataContext:
    return DataContext(shared_data)


@pytest.fixture(scope="module")
def xquad(real: DataContext) -> list[Dataset]:
    spec = SplitSpec("squad", ("xquad/xquad.{language}.json",))
    return [load_split(spec, language, (), real, "xquad") for language in XQUAD]


def test_xquad_contexts_in_squad_v2(real: DataContext, xquad: list[Dataset]) -> None:
    """63 of XQuAD's 240 contexts stand in this file under other ids."""
    whole = load_split(SplitSpec("squad", ("squad_v2/dev-v2.0.json",)), "en", (), real, "squad_v2")
    left = drop_overlap(whole, xquad)
    assert left.counts["overlap_id"] == left.counts["overlap_group"] == 0
    assert left.counts["overlap_text"] == left.counts["overlap_dropped"] == 599

    def contexts(data: Dataset) -> set[str]:
        return {e.context for e in data.examples if isinstance(e, SpanExample)}

    english = contexts(xquad[XQUAD.index("en")])
    assert len(english) == 240
    assert len(english & contexts(whole)) == 63
    assert not english & contexts(left)
    assert len(contexts(whole)) - len(contexts(left)) == 63


def test_running_text_of_squad_v2_loses_every_xquad_sentence(
    real: DataContext, xquad: list[Dataset]
) -> None:
    spec = SplitSpec("text", ("squad_v2/dev-v2.0.json",), {"reader": "squad"})
    text = load_split(spec, "en", (), real, "text")
    english = xquad[XQUAD.index("en")]
    assert count_overlap([text], english)["any"] > 274
    assert count_overlap([drop_overlap(text, xquad)], english)["any"] == 0


def test_italian_squad_shares_ids_with_xquad(real: DataContext, xquad: list[Dataset]) -> None:
    spec = SplitSpec("squad", ("squad_it/SQuAD_it-test.json.gz",))
    italian = load_split(spec, "it", (), real, "squad_it")
    left = drop_overlap(italian, xquad)
    # 778 ids are shared; one of these questions has no usable answer and was dropped before.
    assert left.counts["overlap_id"] == left.counts["overlap_dropped"] == 777
    assert count_overlap([italian], xquad[0])["id"] == 777


def test_parallel_rows_across_languages(real: DataContext) -> None:
    def rows(language: str, part: Part) -> Dataset:
        options = {"quoting": "csv", "group": "row", "group_namespace": "pawsx-dev"}
        spec = SplitSpec("delimited", ("pawsx/dev-{language}.tsv",), options, part)
        return load_split(spec, language, ("0", "1"), real, "pawsx")

    train = rows("en", Part(0, 900))
    scored = [rows(language, Part(1000, 1500)) for language in ("de", "ja", "zh")]
    assert drop_overlap(train, scored).counts["overlap_dropped"] == 0
    assert drop_overlap(train, [rows("ja", Part(850, 1500))]).counts["overlap_group"] == 50


def test_named_entities_of_dev_in_train(real: DataContext) -> None:
    """34 of the first 1,000 English dev sentences also stand in the training file."""
    labels = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
    train, dev = (
        load_split(SplitSpec("tagged", (f"panx/{split}-en.tsv",)), "en", labels, real, split)
        for split in ("train", "dev")
    )
    assert count_overlap([train], dev)["text"] == 34
    left = drop_overlap(train, [dev])
    assert count_overlap([left], dev)["any"] == 0
