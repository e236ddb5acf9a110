"""Tagging: cutting and joining of sentences, chunks, floor."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data.examples import TaggingExample
from harness.errors import InputError
from harness.formats import EncodeOptions, get_format
from harness.formats.tagging import IGNORED, chunks

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
UPOS = ("NOUN", "VERB", "ADJ", "INTJ", "SCONJ", "SYM", "ADP", "PUNCT", "X")
TAGGING = get_format("tagging")
words = st.text(st.characters(codec="utf-8"), max_size=12)


def _example(tokens: Any, tags: Any) -> TaggingExample:
    return TaggingExample("1", "en", None, tuple(tokens), None if tags is None else tuple(tags))


def _oracle(feature: Any, labels: tuple[str, ...]) -> dict[str, Any]:
    """Logits that are right at first subwords and wrong everywhere else."""
    scores = np.zeros((feature.length, len(labels)), dtype=np.float32)
    scores[:, -1] = 1.0
    for position, target in zip(feature.extra, feature.target, strict=True):
        scores[position] = 0.0
        scores[position, target] = 1.0
    return {"logits": scores}


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sentences=st.lists(st.lists(st.tuples(words, st.sampled_from(TAGS)), max_size=30), max_size=4),
    max_length=st.integers(3, 20),
)
def test_oracle_logits_reproduce_the_gold(
    tokenizer: Any, sentences: list[list[tuple[str, str]]], max_length: int
) -> None:
    examples = [_example([w for w, _ in s], [t for _, t in s]) for s in sentences]
    options = EncodeOptions(max_length=max_length)
    features = TAGGING.encode(examples, tokenizer, TAGS, options, training=True)
    assert all(f.length <= max_length for f in features)
    assert all(f.rows[0][0] == 0 and f.rows[0][-1] == 2 for f in features)
    logits = [_oracle(f, TAGS) for f in features]
    assert TAGGING.decode(logits, features, examples, TAGS, options) == [
        list(e.tags or ()) for e in examples
    ]
    assert sum(TAGGING.weight(f) for f in features) == sum(len(e.tokens) for e in examples)


def test_first_subwords_and_unknown_words(tokenizer: Any) -> None:
    tokens = ("the", "", "playing", "q" * 50)
    example = _example(tokens, ("O", "B-PER", "I-PER", "O"))
    (feature,) = TAGGING.encode(
        [example], tokenizer, TAGS, EncodeOptions(max_length=30), training=True
    )
    pieces = [tokenizer(w, add_special_tokens=False)["input_ids"] for w in tokens]
    assert pieces[1] == []
    assert len(pieces[3]) > 28
    assert feature.rows == ((0, *pieces[0], 3, *pieces[2], 3, 2),)
    expected = (1, 1 + len(pieces[0]), 2 + len(pieces[0]), 2 + len(pieces[0]) + len(pieces[2]))
    assert feature.extra == expected
    assert feature.target == (0, 1, 2, 0)


def test_a_long_sentence_is_cut_at_word_borders(tokenizer: Any) -> None:
    tokens = ["playing", "guitar"] * 40
    example = _example(tokens, ["O"] * 80)
    features = TAGGING.encode(
        [example], tokenizer, TAGS, EncodeOptions(max_length=16), training=False
    )
    inner = [token for f in features for token in f.rows[0][1:-1]]
    assert inner == tokenizer(" ".join(tokens), add_special_tokens=False)["input_ids"]
    # greedy: no piece could have taken the first word of the next one
    for left, right in pairwise(features):
        first_word = (*right.extra[1:], right.length - 1)[0] - right.extra[0]
        assert left.length + first_word > 16


@pytest.mark.parametrize(
    ("separators", "words", "rows"),
    # XTREME's run_tag.py: 128 less <s> and </s></s> for XLM-R; usually less <s> and </s>.
    [(2, 125, 1), (2, 126, 2), (1, 126, 1), (1, 127, 2)],
)
def test_the_rows_of_a_sentence(tokenizer: Any, separators: int, words: int, rows: int) -> None:
    known = (token[1:] for token in sorted(tokenizer.get_vocab()) if token.startswith("▁"))
    word = next(w for w in known if w and len(tokenizer.tokenize(w)) == 1)
    form = TAGGING.configured({"separators": separators}, 12)
    example = _example([word] * words, ["O"] * words)
    features = form.encode(
        [example], tokenizer, TAGS, EncodeOptions(max_length=128), training=False
    )
    assert len(features) == rows
    inner = tokenizer(word, add_special_tokens=False)["input_ids"]
    ends = [tokenizer.sep_token_id] * separators
    first = [tokenizer.cls_token_id, *inner * min(words, 127 - separators), *ends]
    assert list(features[0].rows[0]) == first
    logits = [_oracle(replace(f, target=(1,) * len(f.extra)), TAGS) for f in features]
    assert form.decode(logits, features, [example], TAGS, EncodeOptions()) == [["B-PER"] * words]
    assert form.signature()["separators"] == str(separators)


@pytest.mark.parametrize("value", [0, 3, "2", True, None])
def test_separators_that_no_row_has(value: Any) -> None:
    with pytest.raises(InputError, match=r"options: separators: got .*allowed: 1, 2"):
        TAGGING.configured({"separators": value}, 12)


def test_tags_outside_the_labels(tokenizer: Any) -> None:
    example = _example(("a", "b"), ("O", "B-DATE"))
    with pytest.raises(InputError, match=r"B-DATE.*allowed: O, B-PER"):
        TAGGING.encode([example], tokenizer, TAGS, EncodeOptions(), training=True)
    (feature,) = TAGGING.encode([example], tokenizer, TAGS, EncodeOptions(), training=False)
    assert feature.target == (0, IGNORED)
    assert TAGGING.weight(feature) == 1
    with pytest.raises(InputError, match="withheld"):
        TAGGING.encode([_example(("a",), None)], tokenizer, TAGS, EncodeOptions(), training=True)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("", []),
        ("O O", []),
        ("B-PER I-PER O B-PER", [("PER", 0, 1), ("PER", 3, 3)]),
        ("I-PER I-PER", [("PER", 0, 1)]),  # I without B starts a chunk
        ("B-PER B-PER", [("PER", 0, 0), ("PER", 1, 1)]),
        ("B-PER I-LOC I-LOC", [("PER", 0, 0), ("LOC", 1, 2)]),
        ("O I-LOC B-LOC", [("LOC", 1, 1), ("LOC", 2, 2)]),
        ("NOUN NOUN VERB", [("NOUN", 0, 1), ("VERB", 2, 2)]),
        ("INTJ INTJ", [("INTJ", 0, 1)]),
        ("SCONJ SCONJ SYM", [("SCONJ", 0, 0), ("SCONJ", 1, 1), ("SYM", 2, 2)]),
    ],
)
def test_chunks(tags: str, expected: list[tuple[str, int, int]]) -> None:
    assert chunks(tags.split()) == expected


def _maximal_runs(tags: list[str]) -> set[tuple[str, int, int]]:
    """An independent count for bare tags: maximal runs, single words for tags in S."""
    found = set()
    for i, tag in enumerate(tags):
        if i and tags[i - 1] == tag and tag[0] != "S":
            continue
        end = i
        while tag[0] != "S" and end + 1 < len(tags) and tags[end + 1] == tag:
            end += 1
        found.add((tag, i, end))
    return found


@given(st.lists(st.sampled_from(UPOS), max_size=12))
def test_chunks_of_bare_tags_are_maximal_runs(tags: list[str]) -> None:
    assert set(chunks(tags)) == _maximal_runs(tags)


pairs = st.lists(
    st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), max_size=8), min_size=1
)


@given(pairs)
def test_statistics_add_up(sentences: list[list[tuple[str, str]]]) -> None:
    examples = [_example(["w"] * len(s), [g for g, _ in s]) for s in sentences]
    given_tags = [[p for _, p in s] for s in sentences]
    statistics = TAGGING.statistics(given_tags, examples)
    right = sum(
        len(set(chunks(p)) & set(chunks(e.tags or ())))
        for p, e in zip(given_tags, examples, strict=True)
    )
    predicted, gold = (
        sum(len(chunks(t)) for t in tags) for tags in (given_tags, [e.tags or () for e in examples])
    )
    precision, recall = right / max(1, predicted), right / max(1, gold)
    f1 = 200 * precision * recall / (precision + recall) if right else 0.0
    assert TAGGING.aggregate(statistics)["f1"] == pytest.approx(f1)
    itself = TAGGING.statistics([list(e.tags or ()) for e in examples], examples)
    assert TAGGING.aggregate(itself)["f1"] == (100.0 if gold else 0.0)


@given(pairs, st.sampled_from([TAGS, UPOS]))
def test_floor_is_the_best_constant_tag(
    sentences: list[list[tuple[str, str]]], labels: tuple[str, ...]
) -> None:
    table = dict(zip(TAGS, labels, strict=False))
    examples = [_example(["w"] * len(s), [table[g] for g, _ in s]) for s in sentences]
    scores = [
        TAGGING.aggregate(TAGGING.statistics([[t] * len(e.tokens) for e in examples], examples))
        for t in labels
    ]
    best = max(score["f1"] for score in scores)
    assert TAGGING.aggregate(TAGGING.floor(examples, labels))["f1"] == best


def test_statistics_refuse_wrong_counts() -> None:
    example = _example(("a", "b"), ("O", "O"))
    with pytest.raises(InputError, match="1 tags for 2 words"):
        TAGGING.statistics([["O"]], [example])
    with pytest.raises(InputError, match="0 predictions for 1 examples"):
        TAGGING.statistics([], [example])
    with pytest.raises(InputError, match="withheld"):
        TAGGING.statistics([["O"]], [_example(("a",), None)])
