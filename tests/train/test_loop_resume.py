"""An interrupted training: it ends as one that nothing interrupted, or refuses to go on."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import XLMRobertaAdapterModel
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from transformers import XLMRobertaConfig

from harness.catalog import Training
from harness.errors import WorkError
from harness.model import Assembly, remove_pooler
from harness.train import Checkpointer, Interrupted, Progress, Trainer, TrainResult
from tests.train.conftest import (
    TRAINING,
    Gradients,
    assemble,
    features_of,
    task_of,
    trainer_of,
    with_fusion,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def noisy_base() -> Any:
    """A tiny encoder with dropout, so that random numbers matter in training."""
    torch.manual_seed(5)
    config = XLMRobertaConfig(
        vocab_size=918, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=132, type_vocab_size=1, pad_token_id=1,
        initializer_range=0.2, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2,
    )  # fmt: skip
    model = XLMRobertaAdapterModel(config)
    remove_pooler(model)
    return model.requires_grad_(False).eval()


class _Killed(Exception):
    pass


class _Run:
    """A training with dropout, fusion, two tasks and early stopping, to be made again and again."""

    def __init__(self, base: Any, evaluates: bool) -> None:
        self.template = with_fusion(base)
        self.evaluates = evaluates
        self.tasks = [task_of("nli", features_of("nli", 12)),
                      task_of("nli", features_of("nli", 8, seed=1))]  # fmt: skip
        self.training = Training(
            epochs=3, learning_rate=2e-2, fusion_learning_rate=1e-2, batch_size=4, warmup=0.2,
            patience=2, evaluations=7, weight_decay=0.01,
        )  # fmt: skip

    def trainer(self, folder: Path | None, **more: Any) -> Trainer:
        torch.manual_seed(torch.seed() % 1000)  # whatever was before must not matter
        assembly = Assembly(copy.deepcopy(self.template.model))
        assembly.activate(self.template.active)
        assembly.train_groups(self.template.trained)

        on_evaluate = more.pop("on_evaluate", lambda: None)

        def evaluate() -> float:  # a function of the weights, with its best somewhere on the way
            on_evaluate()
            tensors = assembly.snapshot()
            return round(math.sin(60 * sum(float(t.abs().mean()) for t in tensors.values())), 6)

        every = more.pop("every_steps", None)
        return trainer_of(
            assembly,
            self.tasks,
            self.training,
            micro_tokens=100,
            evaluate=evaluate if self.evaluates else None,
            checkpointer=Checkpointer(folder, None, every) if folder else None,
            **more,
        )


@pytest.fixture(scope="module", params=[True, False], ids=["with-dev", "without-dev"])
def whole(
    request: pytest.FixtureRequest, noisy_base: Any
) -> tuple[_Run, Gradients, TrainResult, list[float]]:
    """The run that nothing interrupts: what it trained, its result, its losses."""
    run = _Run(noisy_base, request.param)
    losses: list[float] = []
    trainer = run.trainer(None, on_step=lambda progress: losses.append(progress.loss))
    result = trainer.run()
    if request.param:
        assert result.stopped_early
        assert 1 < result.best_step < result.steps < result.planned_steps == 15
    return run, trainer.assembly.snapshot(), result, losses


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # shrinking would train for minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    stops=st.lists(st.integers(1, 15), max_size=4),
    kills=st.lists(st.integers(1, 15), max_size=3),
    dev_stops=st.lists(st.integers(1, 7), max_size=3),
    every=st.one_of(st.none(), st.integers(1, 5)),
)
def test_an_interrupted_training_ends_as_if_it_had_not_been(
    whole: Any,
    tmp_path_factory: pytest.TempPathFactory,
    stops: list[int],
    kills: list[int],
    dev_stops: list[int],
    every: int | None,
) -> None:
    run, weights, result, losses = whole
    folder = tmp_path_factory.mktemp("checkpoint")
    waiting, deadly, unscored = set(stops), set(kills), set(dev_stops)
    found: dict[int, float] = {}
    now = scored = 0

    def on_step(progress: Progress) -> None:
        nonlocal now
        now = progress.step
        found[now] = progress.loss
        if now in deadly:  # as a kill would: without a checkpoint
            deadly.discard(now)
            raise _Killed

    def should_stop() -> bool:
        if now in waiting:
            waiting.discard(now)
            return True
        return False

    def on_evaluate() -> None:
        nonlocal scored
        scored += 1
        if scored in unscored:
            raise Interrupted

    for _ in range(len(stops) + len(kills) + len(dev_stops) + 1):
        trainer = run.trainer(
            folder, on_step=on_step, should_stop=should_stop, every_steps=every,
            on_evaluate=on_evaluate,
        )  # fmt: skip
        try:
            ended = trainer.run()
            break
        except (Interrupted, _Killed):
            continue  # as asked: the next one goes on
    else:
        raise AssertionError("never ended")
    assert ended == result
    assert [found[step] for step in sorted(found)] == losses
    mine = trainer.assembly.snapshot()
    assert mine.keys() == weights.keys()
    assert all(torch.equal(mine[name], tensor) for name, tensor in weights.items())


def test_a_stop_while_dev_is_scored_keeps_the_step(noisy_base: Any, tmp_path: Path) -> None:
    """The step before is not made again, the dev score is: a training may not go on without it."""
    run = _Run(noisy_base, True)
    whole = run.trainer(None).run()
    first_scored = int(whole.history[0][0])

    def stop() -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        run.trainer(tmp_path, on_evaluate=stop).run()
    assert [path.name for path in tmp_path.iterdir()] == [f"step-{first_scored:09d}"]
    seen: list[Progress] = []
    assert run.trainer(tmp_path, on_step=seen.append).run() == whole
    assert [progress.step for progress in seen] == list(range(first_scored, whole.steps + 1))
    assert seen[0].dev_score == whole.history[0][1]


def test_dropout_is_on_in_training_and_follows_the_seed(noisy_base: Any) -> None:
    def losses(seed: str) -> list[float]:
        found: list[float] = []
        task = task_of("nli", features_of("nli", 4))  # one batch: the seed cannot change its order
        training = replace(TRAINING, epochs=3)
        trainer_of(
            assemble(noisy_base, "nli"), [task], training, seed=seed,
            on_step=lambda progress: found.append(progress.loss),
        ).run()  # fmt: skip
        return found

    assert losses("a") == losses("a")
    assert losses("a") != losses("b")


def test_a_finished_training_is_not_trained_again(noisy_base: Any, tmp_path: Path) -> None:
    run = _Run(noisy_base, True)
    first = run.trainer(tmp_path, every_steps=1)
    result = first.run()
    steps: list[Progress] = []
    again = run.trainer(tmp_path, on_step=steps.append)
    assert again.run() == result
    assert steps == []
    mine = again.assembly.snapshot()
    assert all(torch.equal(mine[n], tensor) for n, tensor in first.assembly.snapshot().items())


def test_a_checkpoint_of_another_model_is_refused(
    base: Any, noisy_base: Any, tmp_path: Path
) -> None:
    run = _Run(noisy_base, True)
    run.trainer(tmp_path, every_steps=1).run()
    trainer = trainer_of(
        assemble(noisy_base, "nli"), run.tasks, run.training, checkpointer=Checkpointer(tmp_path)
    )
    with pytest.raises(WorkError, match="work folder"):
        trainer.run()
