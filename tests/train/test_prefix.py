"""Training and predicting from known states: the numbers are those of the whole model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.catalog import Training
from harness.formats import Feature
from harness.model import Numerics
from harness.train import (
    Rows,
    States,
    TrainTask,
    compute_states,
    predict,
    stored_dtype,
    stored_type,
)
from tests.model.test_prefix import FIRST, fused, load, noisy
from tests.nano import goal_of
from tests.train.conftest import features_of, trainer_of

pytestmark = pytest.mark.usefixtures("one_thread")
TRAINING = Training(epochs=4, learning_rate=1e-3, batch_size=4, warmup=0.1, patience=0)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load(noisy(tmp_path_factory.mktemp("noisy") / "nano"))


def known(model: Any, features: Sequence[Feature], numerics: Numerics = Numerics()) -> States:  # noqa: B008
    """The states of the features' rows, in memory."""
    rows, dtype = Rows.of(features), stored_dtype(numerics, model.dtype)
    array: Any = np.full((rows.tokens, 128), 99, stored_type(dtype))
    compute_states(model, FIRST, rows, array, numerics=numerics, pad_id=1, batch_tokens=150)
    return States(FIRST, rows, array, dtype)


@pytest.mark.parametrize("task", ["nli", "qa", "mc", "pos"])
def test_training_follows_that_of_the_whole_model(task: str, base: Any) -> None:
    features, goal = features_of(task, 20), goal_of(task)
    ends, losses = [], []
    for cached in (False, True):
        assembly = fused(base, task)
        states = known(assembly.model, features) if cached else None
        steps: list[float] = []
        trainer = trainer_of(
            assembly, [TrainTask(goal.name, goal.format, features, states)], TRAINING,
            on_step=lambda progress, steps=steps: steps.append(progress.loss),
        )  # fmt: skip
        assert trainer.run().steps == 20 or task == "qa"  # QA cuts rows in two
        losses.append(steps)
        ends.append(assembly.snapshot())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0][0] != losses[0][-1]
    for name, tensor in ends[0].items():
        if name != "heads.t-mc.4.bias":  # common to all choices: its gradient is rounding
            assert torch.allclose(tensor, ends[1][name], atol=1e-5), name


def test_rows_lie_close_and_each_once(base: Any) -> None:
    features = features_of("mc", 6)
    doubled = [*features, *reversed(features)]
    rows = Rows.of(doubled)
    distinct = {row for feature in features for row in feature.rows}
    assert set(rows.starts) == distinct
    assert rows.tokens == sum(map(len, distinct))
    assert rows.digest() == Rows.of(features).digest()
    assert rows.digest() != Rows.of(features[1:]).digest()
    states = known(base, doubled)
    with torch.no_grad():
        for row in distinct:
            alone = base.roberta(
                torch.tensor([row]), torch.ones(1, len(row)), output_hidden_states=True
            ).hidden_states[FIRST][0]
            start = rows.starts[row]
            found = torch.from_numpy(states.array[start : start + len(row)])
            assert torch.allclose(found, alone, atol=1e-5)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_predictions_are_those_of_the_whole_model(base: Any, dtype: str) -> None:
    features, goal, assembly = features_of("pos", 20), goal_of("pos"), fused(base, "pos")
    numerics = Numerics(dtype=dtype)

    def run(states: States | None, batch_tokens: int) -> list[Any]:
        logits = predict(
            assembly, goal.name, goal.format, features, numerics=numerics, pad_id=1,
            batch_tokens=batch_tokens, states=states,
        )  # fmt: skip
        return [one["logits"] for one in logits]

    expected = run(None, 150)
    for batch_tokens in (150, 1, 10_000):
        found = run(known(assembly.model, features, numerics), batch_tokens)
        scale = max(float(np.abs(one).max()) for one in expected)
        worst = max(float(np.abs(a - b).max()) for a, b in zip(expected, found, strict=True))
        assert worst <= (1e-5 if dtype == "fp32" else 5e-2) * scale


def test_retrieval_from_the_layer_of_the_states_runs_no_layer(
    base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal, features = goal_of("ret"), features_of("ret", 8)
    assembly = fused(base)
    assembly.activate(None)
    states = known(assembly.model, features)
    ran: list[str] = []
    for index, layer in enumerate(assembly.model.roberta.encoder.layer):
        layer.register_forward_hook(lambda *_, index=index: ran.append(str(index)))

    def run(states: States | None) -> list[Any]:
        return list(
            predict(assembly, goal.name, goal.format, features, numerics=Numerics(), pad_id=1,
                    batch_tokens=150, states=states)
        )  # fmt: skip

    expected = run(None)
    assert set(ran) == {"0", "1"}
    ran.clear()
    found = run(states)
    assert not ran
    for one, other in zip(expected, found, strict=True):
        for key in one:
            assert np.allclose(one[key], other[key], atol=1e-5)


def test_a_checkpoint_goes_on_from_known_states(base: Any, tmp_path: Path) -> None:
    """What is kept is no part of a checkpoint: with and without it a training goes on alike."""
    from harness.train import Checkpointer, Interrupted

    features, goal = features_of("nli", 20), goal_of("nli")

    def trainer(cached: bool, folder: Path, stop_at: int = 0) -> Any:
        assembly = fused(base)
        states = known(assembly.model, features) if cached else None
        seen: list[int] = []
        return trainer_of(
            assembly, [TrainTask(goal.name, goal.format, features, states)], TRAINING,
            on_step=lambda progress: seen.append(progress.step),
            should_stop=lambda: len(seen) == stop_at, checkpointer=Checkpointer(folder),
        )  # fmt: skip

    whole = trainer(True, tmp_path / "whole")
    whole.run()
    with pytest.raises(Interrupted):
        trainer(False, tmp_path / "cut", 7).run()
    cut = trainer(True, tmp_path / "cut")
    cut.run()
    for name, tensor in whole.assembly.snapshot().items():
        assert torch.allclose(tensor, cut.assembly.snapshot()[name], atol=1e-5), name
