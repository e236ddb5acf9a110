"""Prediction does not depend on how examples are batched or ordered, or on memory."""

from __future__ import annotations

import random
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from harness.data import Example
from harness.errors import WorkError
from harness.formats import EncodeOptions, Feature, Format, Logits, MaskedLM
from harness.formats.base import Batch
from harness.formats.pair_classification import PairClassification
from harness.model import Assembly, Numerics, load_tokenizer
from harness.recipes import Goal, get_recipe
from harness.train import padded_tokens, predict
from harness.train import passes as passes_module
from tests.nano import NANO, TRAINED_TASKS, encode, examples_of, goal_of

pytestmark = pytest.mark.usefixtures("one_thread")
TASKS = (*TRAINED_TASKS, "ret")
OPTIONS = EncodeOptions(max_length=60, doc_stride=20)  # so that some texts take several windows
ROUNDING = 5e-5  # measured: at most 6e-6, on logits of up to 13


def prepared(base: Any, task: str) -> tuple[Assembly, Goal, list[Example], list[Feature]]:
    """A model whose adapter and head are loud enough for clear decisions, and 40 examples."""
    goal = goal_of(task)
    assembly = get_recipe("direct").assemble(base, goal, [], 4)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in assembly.trainable():
            if parameter.dim() == 2:
                parameter.normal_(std=0.3 if name.startswith("heads.") else 0.1)
    assembly.train_groups({})
    examples = examples_of(task, "B0", 40, "test")
    features = encode(goal, examples, OPTIONS, training=False)
    assert len({feature.length for feature in features}) > 3
    if task == "nli":  # the first token says much the same everywhere: centre the logits
        mean = np.mean([row["logits"] for row in run(assembly, goal, features, 500)], axis=0)
        with torch.no_grad():
            assembly.model.heads[goal.name][-1].bias.sub_(torch.from_numpy(mean))
    return assembly, goal, examples, features


def run(
    assembly: Assembly,
    goal: Goal,
    features: Sequence[Feature],
    batch_tokens: int,
    form: Format[Any] | None = None,
    **more: Any,
) -> list[Logits]:
    return predict(
        assembly,
        goal.name,
        form or goal.format,
        features,
        numerics=Numerics(),
        pad_id=1,
        batch_tokens=batch_tokens,
        **more,
    )


def largest_difference(one: Sequence[Logits], other: Sequence[Logits]) -> float:
    """The largest difference of any logit; shapes and infinities must be the same."""
    assert len(one) == len(other)
    worst = 0.0
    for mine, theirs in zip(one, other, strict=True):
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert mine[name].shape == theirs[name].shape
            finite = np.isfinite(mine[name])
            assert (finite == np.isfinite(theirs[name])).all()
            if finite.any():
                gap = np.abs(mine[name][finite] - theirs[name][finite])
                worst = max(worst, float(gap.max()))
    return worst


@pytest.mark.parametrize("task", TASKS)
def test_the_batch_size_does_not_matter(
    task: str, base: Any, record_property: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembly, goal, examples, features = prepared(base, task)
    found, passes = [], []
    for tokens, padding in ((1, None), (500, None), (10**6, None), (10**6, 10)):
        monkeypatch.setattr(passes_module, "_PASS_TOKENS", padding)
        done: list[tuple[int, int]] = []
        found.append(
            run(assembly, goal, features, tokens, on_batch=lambda n, of, d=done: d.append((n, of)))
        )
        passes.append(len(done))
        assert done[-1] == (len(features), len(features))
        assert [n for n, _ in done] == sorted({n for n, _ in done})
    assert passes[0] == len(features)
    assert passes[0] > passes[1] > passes[2] == 1 < passes[3]
    worst = max(largest_difference(found[0], other) for other in found[1:])
    record_property("largest difference", worst)
    assert worst < ROUNDING
    answers = [
        goal.format.decode(logits, features, examples, goal.labels, OPTIONS) for logits in found
    ]
    assert all(one == answers[0] for one in answers)
    assert len({str(answer) for answer in answers[0]}) > 1  # no constant


@pytest.mark.parametrize("task", TASKS)
def test_the_order_does_not_matter(task: str, base: Any) -> None:
    assembly, goal, _, features = prepared(base, task)
    straight = run(assembly, goal, features, 500)
    order = list(range(len(features)))
    random.Random(3).shuffle(order)
    shuffled = run(assembly, goal, [features[i] for i in order], 500)
    back: dict[int, Logits] = dict(zip(order, shuffled, strict=True))
    assert largest_difference(straight, [back[i] for i in range(len(features))]) < ROUNDING


def test_masked_lm_does_not_depend_on_batches_either(base: Any) -> None:
    form = MaskedLM()
    goal = Goal("t-mlm", form, (), 3)
    assembly = get_recipe("direct").assemble(base, goal, [], 4)
    tokenizer = load_tokenizer(NANO)
    texts = examples_of("pos", "B0", 20, "test")
    rows = [
        Feature((tuple(tokenizer(" ".join(text.tokens))["input_ids"]),), i)  # type: ignore[attr-defined]
        for i, text in enumerate(texts)
    ]
    features = form.remask(rows, tokenizer, torch.Generator().manual_seed(0))
    one, other = (run(assembly, goal, features, tokens) for tokens in (1, 10**6))
    assert largest_difference(one, other) < ROUNDING


def test_the_same_call_gives_the_same_bits(base: Any) -> None:
    assembly, goal, _, features = prepared(base, "nli")
    assembly.model.train()  # predicting switches dropout off by itself
    assert largest_difference(*(run(assembly, goal, features, 500) for _ in range(2))) == 0.0
    assert not assembly.model.training


def test_no_batch_is_over_the_budget_but_a_single_example(base: Any) -> None:
    assembly, goal, _, features = prepared(base, "nli")
    form = _Cramped(10**9)
    longest = max(feature.length for feature in features)
    for tokens in (longest - 1, 3 * longest):
        form.passes.clear()
        run(assembly, goal, features, tokens, form)
        assert sum(len(chosen) for chosen in form.passes) == len(features)
        assert all(padded_tokens(p) <= tokens or len(p) == 1 for p in form.passes)


def test_nothing_gives_nothing(base: Any) -> None:
    assembly, goal, _, _ = prepared(base, "nli")
    assert run(assembly, goal, [], 500) == []


class _Cramped(PairClassification):
    """Runs out of memory on more padded tokens than it has room for."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.passes: list[tuple[Feature, ...]] = []
        self.failed: list[weakref.ref[torch.Tensor]] = []  # what such a pass had computed

    def forward(self, model: Any, head: str, batch: Batch) -> dict[str, torch.Tensor]:
        outputs = super().forward(model, head, batch)
        if batch.input_ids.numel() > self.room:
            self.failed.append(weakref.ref(outputs["logits"]))
            raise torch.OutOfMemoryError("simulated")
        self.passes.append(batch.features)
        return outputs

    def split(self, logits: Mapping[str, torch.Tensor], batch: Batch) -> list[Logits]:
        assert len(logits["logits"]) == len(batch.features)
        return super().split(logits, batch)


@pytest.mark.parametrize(("factor", "shrinks"), [(1000, 4), (6, 1)])
def test_out_of_memory_lowers_the_budget_for_the_rest_and_changes_nothing(
    factor: int, shrinks: int, base: Any, caplog: Any
) -> None:
    assembly, goal, examples, features = prepared(base, "nli")
    wanted = run(assembly, goal, features, 10**6)
    longest = max(feature.length for feature in features)
    form = _Cramped(3 * longest)
    done: list[int] = []
    found = run(
        assembly, goal, features, factor * longest, form, on_batch=lambda n, _: done.append(n)
    )
    assert 1 <= len(form.failed) <= shrinks  # however many batches were as large
    assert caplog.text.count("out of memory on cpu: now ") == len(form.failed)
    assert len(form.passes) > 5
    assert sum(len(chosen) for chosen in form.passes) == len(features)
    assert done[-1] == len(features)
    assert largest_difference(wanted, found) < ROUNDING
    answers = [
        goal.format.decode(logits, features, examples, goal.labels, OPTIONS)
        for logits in (wanted, found)
    ]
    assert answers[0] == answers[1]


def test_memory_is_freed_once_nothing_holds_what_was_too_large(
    base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembly, goal, _, features = prepared(base, "nli")
    form = _Cramped(4 * max(feature.length for feature in features))
    held: list[int] = []
    monkeypatch.setattr(
        torch.cuda,
        "empty_cache",
        lambda: held.append(sum(one() is not None for one in form.failed)),
    )
    run(assembly, goal, features, 10**6, form)
    assert held == [0] * len(form.failed) != []


def test_one_example_that_does_not_fit_is_an_error(base: Any) -> None:
    assembly, goal, _, features = prepared(base, "nli")
    longest = max(feature.length for feature in features)
    with pytest.raises(WorkError, match=f"single example of {longest} tokens"):
        run(assembly, goal, features, 10**6, _Cramped(longest - 1))
