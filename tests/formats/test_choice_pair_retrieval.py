"""Multiple choice, pair classification and bitext retrieval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.examples import BitextExample, ChoiceExample, PairExample
from harness.errors import InputError
from harness.formats import (
    BitextRetrieval,
    EncodeOptions,
    RetrievalOptions,
    collate,
    get_format,
    proportional_layer,
)
from harness.formats import bitext_retrieval as retrieval_module
from harness.formats.bitext_retrieval import nearest

PAIRS, CHOICE = get_format("pair_classification"), get_format("multiple_choice")
NLI = ("contradiction", "entailment", "neutral")


def _pair(premise: str, hypothesis: str, label: str | None) -> PairExample:
    return PairExample("7", "en", None, premise, hypothesis, label)


def _choice(k: int, label: int | None, context: str = "a man plays") -> ChoiceExample:
    choices = tuple(f"the guitar {i} " * (i + 1) for i in range(k))
    return ChoiceExample("7", "en", None, context, choices, label)


def _bitext(*texts: tuple[str, str]) -> list[BitextExample]:
    return [BitextExample(str(i), "sw", None, f, e) for i, (f, e) in enumerate(texts)]


def test_pair_rows(tokenizer: Any) -> None:
    examples = [_pair("the fox", "a dog", "neutral"), _pair("the fox " * 30, "a dog", None)]
    options = EncodeOptions(max_length=24)
    short, long = PAIRS.encode(examples, tokenizer, NLI, options, training=False)
    the_fox, a_dog = tokenizer(["the fox", "a dog"], add_special_tokens=False)["input_ids"]
    assert short.rows == ((0, *the_fox, 2, 2, *a_dog, 2),)
    assert (short.target, long.target, long.example) == (2, None, 1)
    assert long.length == 24
    assert long.rows[0][-len(a_dog) - 1 :] == (*a_dog, 2)  # the longer text is cut
    with pytest.raises(InputError, match="withheld"):
        PAIRS.encode(examples, tokenizer, NLI, options, training=True)
    with pytest.raises(InputError, match=r"'7'.*'maybe'.*allowed: contradiction, entailment"):
        PAIRS.encode([_pair("a", "b", "maybe")], tokenizer, NLI, options, training=False)


def test_pair_scores_and_floor() -> None:
    golds = ["neutral", "neutral", "entailment", "contradiction"]
    examples = [_pair("", "", gold) for gold in golds]
    predictions = ["neutral", "entailment", "entailment", "contradiction"]
    assert PAIRS.aggregate(PAIRS.statistics(predictions, examples)) == {"accuracy": 75.0}
    assert PAIRS.aggregate(PAIRS.floor(examples, NLI)) == {"accuracy": 50.0}
    with pytest.raises(InputError, match="no examples"):
        PAIRS.aggregate(PAIRS.statistics([], []))


def test_multiple_choice_with_four_and_two_choices(
    tokenizer: Any, make_model: Callable[[], Any]
) -> None:
    import torch

    model = make_model()
    CHOICE.add_head(model, "h", ("A", "B", "C", "D"))
    examples = [_choice(4, 3), _choice(2, 1), _choice(3, 0)]
    options = EncodeOptions(max_length=40)
    features = CHOICE.encode(examples, tokenizer, (), options, training=True)
    batch = collate(features, 1)
    assert batch.input_ids.shape[0] == 9
    with torch.no_grad():
        logits = CHOICE.forward(model, "h", batch)
        assert model.heads["h"].config["num_choices"] == 4
        # one row at a time through the backbone and the head's modules, without padding
        rows = [row for feature in features for row in feature.rows]
        singles = torch.cat(
            [
                torch.nn.Sequential(*model.heads["h"])(model.roberta(torch.tensor([row]))[0][:, 0])
                for row in rows
            ]
        ).flatten()
    expected = [singles[:4], singles[4:6], singles[6:]]
    assert logits["logits"].shape == (3, 4)
    assert torch.isinf(logits["logits"]).sum() == 3
    split = CHOICE.split(logits, batch)
    for row, single in zip(split, expected, strict=True):
        np.testing.assert_allclose(row["logits"], single.numpy(), atol=1e-5)
    best = [int(x.argmax()) for x in expected]
    assert CHOICE.decode(split, features, examples, (), options) == best
    loss, weight = CHOICE.loss(logits, batch)
    by_hand = sum(
        float(torch.logsumexp(x, 0) - x[e.label]) for x, e in zip(expected, examples, strict=True)
    )
    assert (float(loss), weight) == (pytest.approx(by_hand, abs=1e-4), 3.0)


def test_num_choices_is_restored_after_an_error(
    tokenizer: Any, make_model: Callable[[], Any]
) -> None:
    model = make_model()
    CHOICE.add_head(model, "h", ("A", "B"))
    features = CHOICE.encode([_choice(2, 0)], tokenizer, (), EncodeOptions(), training=True)
    bad = collate(features, 1)
    bad.input_ids[:] = 10_000
    with pytest.raises(IndexError):
        CHOICE.forward(model, "h", bad)
    assert model.heads["h"].config["num_choices"] == 2


def test_choice_rows_cut_the_context_first(tokenizer: Any) -> None:
    example = ChoiceExample("1", "en", None, "the quick brown fox " * 9, ("a dog", "cat " * 50), 0)
    (feature,) = CHOICE.encode(
        [example], tokenizer, (), EncodeOptions(max_length=32), training=True
    )
    context, dog, cats = tokenizer([example.context, *example.choices], add_special_tokens=False)[
        "input_ids"
    ]
    assert feature.rows[0] == (0, *context[: 28 - len(dog)], 2, 2, *dog, 2)
    assert feature.rows[1] == (0, *context[:14], 2, 2, *cats[:14], 2)
    with pytest.raises(InputError, match="label 2 is no choice; allowed: 0 to 1"):
        CHOICE.encode([_choice(2, 2)], tokenizer, (), EncodeOptions(), training=False)
    with pytest.raises(InputError, match="withheld"):
        CHOICE.encode([_choice(2, None)], tokenizer, (), EncodeOptions(), training=True)


def test_choice_floor() -> None:
    chance = [_choice(4, 0), _choice(4, 1), _choice(4, 2), _choice(4, 3)]
    assert CHOICE.aggregate(CHOICE.floor(chance, ())) == {"accuracy": 25.0}
    majority = [_choice(2, 1), _choice(2, 1), _choice(2, 0)]
    assert CHOICE.floor(majority, ()).flatten().tolist() == [1, 1, 0]
    assert CHOICE.aggregate(CHOICE.statistics([1, 0, 0], majority))["accuracy"] == pytest.approx(
        200 / 3
    )


@given(n=st.integers(1, 40), seed=st.integers(0, 99), chunk=st.integers(1, 400))
def test_retrieval_finds_permuted_copies(n: int, seed: int, chunk: int) -> None:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(n, 8)).astype(np.float32)
    order = random.permutation(n)
    scales = random.uniform(0.1, 9.0, size=(n, 1)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval_module, "SIMILARITIES_AT_ONCE", chunk)
        assert nearest(rows[order] * scales, rows).tolist() == order.tolist()
        distances = ((rows[order][:, None] - rows[None]) ** 2).sum(-1)
        assert distances.argmin(axis=1).tolist() == order.tolist()


def test_retrieval_takes_the_first_of_equals() -> None:
    rows = np.array([[0, 1], [1, 0], [2, 0]], dtype=np.float32)
    assert nearest(np.array([[3, 0]], dtype=np.float32), rows).tolist() == [1]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("layer", [0, 2, 3])
def test_embeddings_are_pooled_hidden_states(
    tokenizer: Any, make_model: Callable[[], Any], layer: int, pooling: Any
) -> None:
    import torch

    model = make_model()
    model.add_adapter("adapter", config="seq_bn")
    model.set_active_adapters("adapter")
    for parameter in model.parameters():  # a fresh adapter would change next to nothing
        torch.nn.init.normal_(parameter, std=0.3)
    model.add_classification_head("active", num_labels=2)  # must not be run
    format_ = BitextRetrieval().with_options(RetrievalOptions(layer, pooling))
    examples = _bitext(("das kleine Haus", "the little house"), ("Fluss", "a big old river " * 9))
    features = format_.encode(examples, tokenizer, (), EncodeOptions(max_length=20), training=False)
    assert [(f.example, f.extra) for f in features] == [
        (0, "foreign"),
        (0, "english"),
        (1, "foreign"),
        (1, "english"),
    ]
    assert max(f.length for f in features) == 20
    batch = collate(features, 1)
    with torch.no_grad():
        embeddings = format_.forward(model, "", batch)[format_.retrieval.key]
        states = [
            model.roberta(torch.tensor([f.rows[0]]), output_hidden_states=True).hidden_states
            for f in features
        ]
    expected = [s[layer][0].mean(0) if pooling == "mean" else s[layer][0, 0] for s in states]
    torch.testing.assert_close(embeddings, torch.stack(expected), atol=1e-4, rtol=1e-4)
    assert len(model.roberta.encoder.layer) == 3
    predictions = format_.decode(
        format_.split({format_.retrieval.key: embeddings}, batch),
        features,
        examples,
        (),
        EncodeOptions(),
    )
    assert all(isinstance(p, int) for p in predictions)


def test_retrieval_end_to_end(tokenizer: Any, make_model: Callable[[], Any]) -> None:
    import torch

    format_ = BitextRetrieval(RetrievalOptions(2))
    examples = _bitext(*((t, t) for t in ("a house", "the dead", "old city", "nobody")))
    features = format_.encode(examples, tokenizer, (), EncodeOptions(), training=False)
    batch = collate(features, 1)
    with torch.no_grad():
        logits = format_.split(format_.forward(make_model(), "", batch), batch)
    predictions = format_.decode(logits, features, examples, (), EncodeOptions())
    assert predictions == [0, 1, 2, 3]
    assert format_.aggregate(format_.statistics(predictions, examples)) == {"accuracy": 100.0}
    assert format_.aggregate(format_.statistics([0, 2, 1, 3], examples)) == {"accuracy": 50.0}
    assert format_.aggregate(format_.floor(examples, ())) == {"accuracy": 25.0}


def test_retrieval_refuses_what_it_has_not(make_model: Callable[[], Any], tokenizer: Any) -> None:
    format_ = BitextRetrieval(RetrievalOptions(9))
    features = format_.encode(_bitext(("a", "b")), tokenizer, (), EncodeOptions(), training=False)
    model = make_model()
    with pytest.raises(InputError, match="layer 9 is missing; allowed: 0 to 3"):
        format_.forward(model, "", collate(features, 1))
    with pytest.raises(InputError, match="allowed: mean, cls"):
        BitextRetrieval(RetrievalOptions(1, "max"))  # type: ignore[arg-type]
    with pytest.raises(InputError):
        format_.add_head(model, "h", ())
    assert format_.signature() == {"layer": "9", "pooling": "mean"}


@pytest.mark.parametrize(
    ("options", "depth", "layer", "pooling"),
    [
        ({}, 24, "14", "mean"),
        ({}, 3, "2", "mean"),
        ({"layer": 20, "pooling": "cls"}, 24, "20", "cls"),
        ({"layer": "0"}, 3, "0", "mean"),
        ({"layer": "proportional-24/24"}, 3, "3", "mean"),
    ],
)
def test_retrieval_options(options: dict[str, Any], depth: int, layer: str, pooling: str) -> None:
    format_ = BitextRetrieval().configured(options, depth)
    assert format_.signature() == {"layer": layer, "pooling": pooling}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 4}, "layer: '4' is layer 4 of a backbone of 3; allowed: 0 to 3"),
        ({"layer": "proportional-30/24"}, "'proportional-30/24' is layer 4 of a backbone of 3"),
        ({"layer": "half"}, "layer: got 'half'; allowed: a number, or proportional-14/24"),
        ({"layer": -1}, "layer: got '-1'"),
        ({"pooling": "max"}, "'max' is unknown; allowed: mean, cls"),
        ({"depth": 1}, "'bitext_retrieval' has no 'depth'; allowed: layer, pooling"),
    ],
)
def test_wrong_retrieval_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BitextRetrieval().configured(options, 3)


def test_other_formats_have_no_options() -> None:
    assert PAIRS.configured({}, 3) is PAIRS
    with pytest.raises(InputError, match="'pair_classification' has no 'layer'; allowed: none"):
        PAIRS.configured({"layer": 1}, 3)


@pytest.mark.parametrize(
    ("depth", "expected"), [(24, 14), (12, 7), (6, 4), (4, 2), (3, 2), (2, 1), (1, 1), (48, 28)]
)
def test_proportional_layer(depth: int, expected: int) -> None:
    assert proportional_layer(depth) == expected
