"""Masked LM: masks, logits at masked positions only, scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.data.examples import TextExample
from harness.errors import InputError
from harness.formats import EncodeOptions, MaskedLM, MaskingOptions, collate, mask_tokens

OPTIONS = EncodeOptions(max_length=48)
TEXTS = ("the quick brown fox jumps over the lazy dog", "who wrote the book", "nobody plays")


def _examples(*segments: tuple[str, ...]) -> list[TextExample]:
    return [TextExample(str(i), "en", None, s) for i, s in enumerate(segments)]


def test_shares_of_masking() -> None:
    import torch

    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(4, 1000, (200, 500))
    special = torch.zeros_like(ids)
    special[:, 0] = 1
    masked, labels = mask_tokens(ids, special, 1000, 1000, generator, 0.2)
    chosen = labels != -100
    assert not chosen[:, 0].any()
    assert torch.equal(labels[chosen], ids[chosen])
    assert torch.equal(masked[~chosen], ids[~chosen])
    n = int(chosen.sum())
    assert n / ids[:, 1:].numel() == pytest.approx(0.2, abs=0.01)
    assert float((masked[chosen] == 1000).sum() / n) == pytest.approx(0.8, abs=0.01)
    kept = float((masked[chosen] == ids[chosen]).sum() / n)
    assert kept == pytest.approx(0.1 + 0.1 / 1000, abs=0.01)
    again = mask_tokens(ids, special, 1000, 1000, torch.Generator().manual_seed(1), 0.2)
    assert torch.equal(masked, again[0])


def test_encode_and_remask(tokenizer: Any) -> None:
    import torch

    format_ = MaskedLM().with_options(MaskingOptions(rate=0.5))
    examples = _examples((TEXTS[0],), (TEXTS[1], TEXTS[2]), (TEXTS[2],))
    plain = format_.encode(examples, tokenizer, (), OPTIONS, training=True)
    assert [f.example for f in plain] == [0, 1, 2]
    assert plain[1].rows[0] == tuple(tokenizer(TEXTS[1], TEXTS[2])["input_ids"])
    assert plain[2].rows[0] == tuple(tokenizer(TEXTS[2])["input_ids"])
    generator = torch.Generator().manual_seed(3)
    first, second = (format_.remask(plain, tokenizer, generator) for _ in range(2))
    assert first != second
    for before, after in zip(plain, first, strict=True):
        restored = list(after.rows[0])
        for place, token in zip(*after.target, strict=True):
            restored[place] = token
        assert tuple(restored) == before.rows[0]
        assert format_.weight(after) == len(after.target[0])
        assert all(before.rows[0][p] > 3 for p in after.target[0])
    fixed = [format_.encode(examples, tokenizer, (), OPTIONS, training=False) for _ in range(2)]
    assert fixed[0] == fixed[1]
    with pytest.raises(InputError, match="3 segments; allowed: 1 or 2"):
        format_.encode(_examples(("a", "b", "c")), tokenizer, (), OPTIONS, training=True)
    with pytest.raises(InputError, match=r"rate 1\.0"):
        MaskedLM(MaskingOptions(1.0))


def test_scores_equal_the_plain_head(tokenizer: Any, make_model: Callable[[], Any]) -> None:
    import torch

    format_ = MaskedLM(MaskingOptions(rate=0.4))
    examples = _examples((TEXTS[0],), (TEXTS[1],), ("a",))
    features = format_.encode(examples, tokenizer, (), OPTIONS, training=False)
    model = make_model()
    format_.add_head(model, "lm", ())
    batch = collate(features, 1)
    with torch.no_grad():
        logits = format_.forward(model, "lm", batch)
        full = model(batch.input_ids, attention_mask=batch.attention_mask, head="lm").logits
    loss, weight = format_.loss(logits, batch)
    places = [(i, p, t) for i, f in enumerate(features) for p, t in zip(*f.target, strict=True)]
    scores = full.log_softmax(-1)
    expected = -sum(float(scores[i, p, t]) for i, p, t in places)
    correct = sum(int(full[i, p].argmax()) == t for i, p, t in places)
    assert (float(loss), weight) == (pytest.approx(expected, rel=1e-4), len(places))
    predictions = format_.decode(format_.split(logits, batch), features, examples, (), OPTIONS)
    result = format_.aggregate(format_.statistics(predictions, examples))
    assert result["perplexity"] == pytest.approx(math.exp(expected / len(places)), rel=1e-4)
    assert result["accuracy"] == pytest.approx(100 * correct / len(places))
    assert format_.task_score(result) == result["accuracy"]
    with pytest.raises(InputError, match="no masked token"):
        format_.aggregate(np.zeros((2, 3)))
    with pytest.raises(InputError, match="no floor"):
        format_.floor(examples, ())


def test_a_batch_without_masks_has_no_loss(tokenizer: Any, make_model: Callable[[], Any]) -> None:
    from dataclasses import replace

    format_ = MaskedLM()
    features = format_.encode(_examples(("a",)), tokenizer, (), OPTIONS, training=True)
    batch = collate([replace(features[0], target=((), ()))], 1)
    model = make_model()
    format_.add_head(model, "lm", ())
    loss, weight = format_.loss(format_.forward(model, "lm", batch), batch)
    assert (loss.item(), weight) == (0.0, 0.0)
    loss.backward()  # type: ignore[no-untyped-call]
