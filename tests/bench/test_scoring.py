"""Languages are scored together, in one order or another, alone or in single rows: all alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.bench import scoring
from harness.bench.features import FeatureCache
from harness.bench.scoring import Pass, Scorer
from harness.bench.steps import Settings
from harness.data import make_dataset
from harness.formats import EncodeOptions
from harness.model import Numerics, load_tokenizer
from tests.nano import NANO, examples_of, goal_of
from tests.train.test_predict import ROUNDING, TASKS, prepared

pytestmark = pytest.mark.usefixtures("one_thread")
OPTIONS = EncodeOptions(max_length=60, doc_stride=20)
LANGUAGES = ("A1", "B0", "C1")


def datasets(task: str, languages: tuple[str, ...] = LANGUAGES) -> dict[str, Any]:
    return {
        code: make_dataset(f"{task}/test", code, examples_of(task, code, 12, "test"), {})
        for code in languages
    }


def scorer(tmp_path: Path, predict_tokens: int = 16384) -> Scorer:
    settings = Settings(tmp_path, None, "refuse", Numerics(), predict_tokens=predict_tokens)
    return Scorer(settings, None)  # type: ignore[arg-type]  # its data are not read here


@pytest.mark.parametrize("task", TASKS)
def test_languages_together_are_as_each_alone(
    base: Any, tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assembly, goal, *_ = prepared(base, task)
    sets, found = datasets(task), {}

    def run(tokens: int = 16384) -> Pass:
        return Pass(scorer(tmp_path, tokens), assembly, goal, OPTIONS, load_tokenizer(NANO))

    alone = {code: run().logits(dataset) for code, dataset in sets.items()}
    found["together"] = dict(run().together(sets))
    found["backwards"] = dict(run().together(dict(reversed(sets.items()))))
    found["single rows"] = dict(run(1).together(sets))
    monkeypatch.setattr(scoring, "TOGETHER", 200)
    found["in groups"] = dict(run().together(sets))
    for way, passed in found.items():
        assert set(passed) == set(sets), way
        for code, (logits, features, examples, *_) in alone.items():
            assert [one.rows for one in passed[code][1]] == [one.rows for one in features]
            assert passed[code][2] == examples
            for one, other in zip(logits, passed[code][0], strict=True):
                assert one.keys() == other.keys()
                for key in one:
                    np.testing.assert_allclose(one[key], other[key], rtol=0, atol=ROUNDING)
            assert goal.format.decode(*passed[code]) == goal.format.decode(*alone[code]), way


def test_together_pads_less_than_alone(
    base: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of like length of all languages share a pass."""
    assembly, goal, *_ = prepared(base, "nli")
    passes: list[int] = []
    forward = type(goal.format).forward

    def counted(self: Any, model: Any, head: str, batch: Any) -> Any:
        passes.append(batch.input_ids.numel())
        return forward(self, model, head, batch)

    monkeypatch.setattr(type(goal.format), "forward", counted)
    sizes = []
    for way in ("together", "alone"):
        run = Pass(scorer(tmp_path, 300), assembly, goal, OPTIONS, load_tokenizer(NANO))
        passes.clear()
        if way == "together":
            list(run.together(datasets("nli")))
        else:
            for dataset in datasets("nli").values():
                run.logits(dataset)
        sizes.append((len(passes), sum(passes)))
    assert sizes[0] < sizes[1]


def test_a_data_set_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    goal, cache = goal_of("nli"), FeatureCache()
    calls: list[int] = []
    encode = type(goal.format).encode

    def counted(self: Any, examples: Any, *rest: Any, **more: Any) -> Any:
        calls.append(len(examples))
        return encode(self, examples, *rest, **more)

    monkeypatch.setattr(type(goal.format), "encode", counted)
    tokenizer, (dataset, other) = load_tokenizer(NANO), datasets("nli", ("A1", "B0")).values()

    def ask(rows: Any = dataset, options: EncodeOptions = OPTIONS, training: bool = False) -> Any:
        return cache.encode(goal, rows, tokenizer, options, training=training)

    first = ask()
    again = make_dataset("nli/test", "A1", dataset.examples, {})
    assert ask(again) is first  # by content
    assert len(calls) == 1
    assert ask(other) is not first
    assert ask(training=True) is not first
    assert ask(options=EncodeOptions(max_length=20)) != first
    assert len(calls) == 4
    qa = examples_of("qa", "A0", 3)
    rows = make_dataset("qa/train", "A0", qa, {})
    plain = goal_of("qa")
    other_rules = replace(plain, format=plain.format.configured({"max_query": 2}, 3))
    long, short = (
        cache.encode(one, rows, tokenizer, OPTIONS, training=False) for one in (plain, other_rules)
    )
    assert [one.rows for one in long] != [one.rows for one in short]
    calls.clear()
    for room, made in ((sum(len(row) for one in first for row in one.rows), 3), (10, 4)):
        cache = FeatureCache(room)  # for one of the two, and for none
        for rows in (dataset, dataset, other, dataset):
            assert len(ask(rows)) == len(rows)
        assert len(calls) == made
        calls.clear()
