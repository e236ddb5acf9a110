"""What holds for every format: registry, imports, padding, exact accumulation, heads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from harness.data.examples import (
    Answer,
    ChoiceExample,
    Example,
    PairExample,
    SpanExample,
    TaggingExample,
    TextExample,
)
from harness.errors import InputError
from harness.formats import FORMATS, EncodeOptions, Feature, Format, collate, get_format
from harness.formats.batching import Specials

OPTIONS = EncodeOptions(max_length=32, doc_stride=12)
CONTEXT = "the quick brown fox jumps over the lazy dog and nobody plays the guitar " * 2
CASES: dict[str, tuple[tuple[str, ...], list[Example]]] = {
    "pair_classification": (
        ("no", "yes", "maybe"),
        [
            PairExample(str(i), "en", None, "the fox " * (i + 1), "a dog", ("no", "yes")[i % 2])
            for i in range(5)
        ],
    ),
    "tagging": (
        ("NOUN", "VERB"),
        [
            TaggingExample(str(i), "en", None, ("fox", "jumping") * i, ("NOUN", "VERB") * i)
            for i in range(1, 9)
        ],
    ),
    "span_qa": (
        ("answerable", "unanswerable"),
        [
            SpanExample("1", "en", None, "who", CONTEXT, (Answer("lazy", 35),), True),
            SpanExample("2", "en", None, "who plays " * 3, "a fox", (), False),
            SpanExample("3", "en", None, "what", "the fox", (Answer("fox", 4),), True),
        ],
    ),
    "multiple_choice": (
        ("A", "B", "C", "D"),
        [
            ChoiceExample(str(k), "en", None, "a fox " * k, ("jumps", "plays the", "x", "y")[:k], 1)
            for k in (4, 2, 3, 2)
        ],
    ),
    "masked_lm": (
        (),
        [TextExample(str(i), "en", None, ("the quick brown fox " * i,)) for i in range(1, 6)],
    ),
}


def _features(name: str, tokenizer: Any) -> tuple[Format[Any], list[Feature]]:
    labels, examples = CASES[name]
    format_ = get_format(name)
    training = name != "masked_lm"  # whose training features get their masks later
    return format_, format_.encode(examples, tokenizer, labels, OPTIONS, training=training)


def _gradients(model: Any, format_: Format[Any], batches: Sequence[Sequence[Feature]]) -> Any:
    import torch

    model.zero_grad()
    total = sum(format_.weight(f) for batch in batches for f in batch)
    for features in batches:
        batch = collate(features, 1)
        loss, weight = format_.loss(format_.forward(model, "h", batch), batch)
        assert weight == sum(format_.weight(f) for f in features)
        (loss / total).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("name", sorted(CASES))
def test_accumulation_over_uneven_batches_is_exact(
    name: str, tokenizer: Any, make_model: Callable[[], Any]
) -> None:
    import torch

    format_, features = _features(name, tokenizer)
    model = make_model()
    format_.add_head(model, "h", CASES[name][0])
    whole = _gradients(model, format_, [features])
    parts = _gradients(model, format_, [features[-1:], features[:-1]])  # the last is short
    assert whole.abs().max() > 1e-3
    torch.testing.assert_close(parts, whole, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(CASES))
def test_logits_do_not_depend_on_padding(
    name: str, tokenizer: Any, make_model: Callable[[], Any]
) -> None:
    import torch

    format_, features = _features(name, tokenizer)
    model = make_model()
    format_.add_head(model, "h", CASES[name][0])
    with torch.no_grad():
        batch = collate(features, 1)
        together = format_.split(format_.forward(model, "h", batch), batch)
        for feature, row in zip(features, together, strict=True):
            single = collate([feature], 1)
            (alone,) = format_.split(format_.forward(model, "h", single), single)
            assert alone.keys() == row.keys()
            for key, array in alone.items():
                assert array.dtype == np.float32
                np.testing.assert_allclose(row[key], array, atol=1e-4)


@pytest.mark.parametrize("name", sorted(CASES))
def test_encode_decode_and_score_fit_together(
    name: str, tokenizer: Any, make_model: Callable[[], Any]
) -> None:
    import torch

    labels, examples = CASES[name]
    format_ = get_format(name)
    features = format_.encode(examples, tokenizer, labels, OPTIONS, training=False)
    assert [f.example for f in features] == sorted(f.example for f in features)
    model = make_model()
    format_.add_head(model, "h", labels)
    with torch.no_grad():
        batch = collate(features, 1)
        logits = format_.split(format_.forward(model, "h", batch), batch)
    predictions = format_.decode(logits, features, examples, labels, OPTIONS)
    assert len(predictions) == len(examples)
    statistics = format_.statistics(predictions, examples)
    assert statistics.shape[0] == len(examples)
    assert set(format_.aggregate(statistics)) == set(format_.metrics)
    doubled = np.concatenate([statistics, statistics])
    assert format_.aggregate(doubled) == pytest.approx(format_.aggregate(statistics))
    if name != "masked_lm":
        assert format_.floor(examples, labels).shape == statistics.shape


def test_saved_heads_load_again(
    tokenizer: Any, make_model: Callable[[], Any], tmp_path: Any
) -> None:
    import torch

    for name, (labels, _) in CASES.items():
        format_, features = _features(name, tokenizer)
        model, other = make_model(), make_model()
        format_.add_head(model, "h", labels)
        batch = collate(features, 1)
        with torch.no_grad():
            before = format_.forward(model, "h", batch)
            model.save_head(str(tmp_path / name), "h")
            other.load_head(str(tmp_path / name))
            after = format_.forward(other, "h", batch)
        for key in before:
            torch.testing.assert_close(after[key], before[key])


def test_collate_pads_rows_in_order() -> None:
    features = [Feature(((5, 6, 7), (8,)), 0), Feature(((9, 9),), 1)]
    batch = collate(features, 1)
    assert batch.input_ids.tolist() == [[5, 6, 7], [8, 1, 1], [9, 9, 1]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    assert batch.features == tuple(features)


def test_special_tokens_are_read_off_the_tokenizer(tokenizer: Any) -> None:
    specials = Specials.of(tokenizer)
    assert specials == Specials(((0,), (2,)), ((0,), (2, 2), (2,)))
    assert (specials.single_length, specials.pair_length) == (2, 4)


def test_registry() -> None:
    assert list(FORMATS) == [
        "pair_classification",
        "tagging",
        "span_qa",
        "multiple_choice",
        "bitext_retrieval",
        "bitext_mining",
        "masked_lm",
    ]
    assert all(FORMATS[name].name == name for name in FORMATS)
    assert [name for name in FORMATS if not FORMATS[name].trained] == [
        "bitext_retrieval",
        "bitext_mining",
    ]
    assert [name for name in FORMATS if FORMATS[name].tuned] == ["bitext_mining"]
    with pytest.raises(InputError, match="'ner' is unknown; allowed: pair_classification, tagging"):
        get_format("ner")


def test_importing_formats_loads_no_framework() -> None:
    code = (
        "import sys, harness.formats; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'adapters')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
