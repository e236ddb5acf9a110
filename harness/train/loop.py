"""The training loop: linear warm-up and decay, exact accumulation, early stopping, checkpoints."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from harness.catalog import PROPORTIONAL, Mixture, Training
from harness.errors import InputError, WorkError
from harness.formats import Feature, Format, collate
from harness.model import Assembly, Numerics, training_mode
from harness.train.batches import epoch_batches, padded_tokens
from harness.train.checkpoint import Checkpointer
from harness.train.mixture import epoch_counts, epoch_rows
from harness.train.optimizer import GroupedAdamW, learning_rate_factor
from harness.train.prefix import States, entering

log = logging.getLogger(__name__)


class Interrupted(Exception):
    """Training was asked to stop; its checkpoint is written. `evaluate` may raise it, too."""


@dataclass(frozen=True, slots=True)
class TrainTask:
    """One head to train with its format and encoded examples."""

    head: str
    format: Format[Any]
    features: Sequence[Feature]
    states: States | None = None  # what is known of their rows

    def examples(self) -> list[list[int]]:
        """The feature indices of each example, in the order of the examples."""
        found: dict[int, list[int]] = {}
        for index, feature in enumerate(self.features):
            found.setdefault(feature.example, []).append(index)
        return list(found.values())


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands; `loss` is the mean loss of the last step."""

    step: int
    steps: int
    loss: float
    dev_score: float | None


@dataclass(slots=True)
class TrainResult:
    """What a training did; `history` holds [step, dev score], `tokens` counts padded ones."""

    steps: int = 0
    planned_steps: int = 0
    tokens: int = 0
    best_step: int = 0
    best_score: float | None = None
    worse: int = 0  # evaluations since the best one
    stopped_early: bool = False
    history: list[list[float]] = field(default_factory=list)
    final_loss: float = 0.0
    micro_tokens: int = 0  # padded tokens of a pass at most, as memory has allowed


@dataclass(slots=True)
class Trainer:
    """Trains the trainable groups of an assembly on one or several tasks (a batch has one task).

    `evaluate` gives the dev score (higher is better); None trains to the end without selection.
    `micro_tokens` bounds the padded tokens of a forward pass; it shrinks when memory runs out, and
    gradients stay those of the whole batch because losses are summed and divided by its weight.
    """

    assembly: Assembly
    tasks: Sequence[TrainTask]
    training: Training
    numerics: Numerics
    seed: str
    pad_id: int
    micro_tokens: int
    mixture: Mixture = PROPORTIONAL  # of the tasks
    evaluate: Callable[[], float] | None = None
    checkpointer: Checkpointer | None = None
    on_step: Callable[[Progress], None] = lambda progress: None
    should_stop: Callable[[], bool] = lambda: False

    def run(self) -> TrainResult:
        """Train, from a checkpoint if there is one; ends with the best weights in place."""
        schedule, epochs = self._schedule()
        count = self.training.evaluations or epochs
        evaluations = {max(1, round(len(schedule) * (k + 1) / count)) for k in range(count)}
        optimizer = GroupedAdamW(self.assembly, self.training, fused=self.numerics.device == "cpu")
        result = TrainResult(planned_steps=len(schedule), micro_tokens=self.micro_tokens)
        best: dict[str, torch.Tensor] | None = None
        torch.manual_seed(_number(self.seed))
        loaded = self.checkpointer.load() if self.checkpointer else None
        if loaded:
            result, best = self._resume(optimizer, *loaded)
            self.micro_tokens = result.micro_tokens
            log.info("continuing at step %d of %d", result.steps, len(schedule))
        training_mode(self.assembly.model)
        if loaded and self._is_due(result, evaluations):  # it was stopped while it was scored
            best = self._end_step(optimizer, result, best, evaluations)
        while result.steps < len(schedule) and not result.stopped_early:
            task, indices = schedule[result.steps]
            batch = [self.tasks[task].features[i] for i in indices]
            factor = learning_rate_factor(result.steps, len(schedule), self.training.warmup)
            result.final_loss, tokens = self._step(optimizer, self.tasks[task], batch, factor)
            result.tokens += tokens
            result.steps, result.micro_tokens = result.steps + 1, self.micro_tokens
            best = self._end_step(optimizer, result, best, evaluations)
        if best is not None:
            self.assembly.restore(best)
        else:
            result.best_step = result.steps
        self.assembly.model.eval()
        return result

    def _schedule(self) -> tuple[list[tuple[int, list[int]]], int]:
        """(task, feature indices) of every optimizer step, and the number of epochs.

        Epochs repeat, as a whole, up to `min_steps`. A mixture counts and draws examples, each of
        which brings all its features.
        """
        for task in self.tasks:
            if not task.features:
                raise InputError(f"{task.head}: nothing to train on; check its training rows")
        examples = [task.examples() for task in self.tasks]
        counts = epoch_counts([len(found) for found in examples], self.mixture)
        schedule: list[tuple[int, list[int]]] = []
        epoch = 0
        while epoch < self.training.epochs or len(schedule) < self.training.min_steps:
            batches: list[tuple[int, list[int]]] = []
            for index, (task, found, count) in enumerate(
                zip(self.tasks, examples, counts, strict=True)
            ):
                drawn = None  # all
                if count != len(found):
                    rows = epoch_rows(len(found), count, epoch, f"{self.seed}/{index}")
                    drawn = [feature for row in rows for feature in found[row]]
                cut = epoch_batches(
                    task.features,
                    seed=f"{self.seed}/{index}/{epoch}",
                    batch_size=self.training.batch_size,
                    batch_tokens=self.training.batch_tokens,
                    among=drawn,
                )
                batches.extend((index, batch) for batch in cut)
            if len(self.tasks) > 1:  # one task's batches are in random order already
                generator = torch.Generator().manual_seed(_number(f"{self.seed}/order/{epoch}"))
                order = torch.randperm(len(batches), generator=generator).tolist()
                batches = [batches[i] for i in order]
            schedule.extend(batches)
            epoch += 1
        return schedule, epoch

    def _is_due(self, result: TrainResult, evaluations: set[int]) -> bool:
        """Whether the weights must be scored on dev and have not been yet."""
        scored = bool(result.history) and result.history[-1][0] == result.steps
        return self.evaluate is not None and result.steps in evaluations and not scored

    def _end_step(
        self,
        optimizer: GroupedAdamW,
        result: TrainResult,
        best: dict[str, torch.Tensor] | None,
        evaluations: set[int],
    ) -> dict[str, torch.Tensor] | None:
        """Score, report and save as far as each is due; returns the best weights."""
        dev_score = None
        if self._is_due(result, evaluations):
            try:
                dev_score = self._evaluate()
            except Interrupted:  # scoring gives up when it is asked to stop; it is done again
                self._save(optimizer, result, best)
                raise
            if self._note(result, dev_score):
                best = self.assembly.snapshot()
        self.on_step(Progress(result.steps, result.planned_steps, result.final_loss, dev_score))
        stop = self.should_stop()
        if stop or (self.checkpointer is not None and self.checkpointer.due(result.steps)):
            self._save(optimizer, result, best)
        if stop:
            raise Interrupted
        return best

    def _note(self, result: TrainResult, score: float) -> bool:
        """Take an evaluation down; True if it is the best so far."""
        result.history.append([result.steps, score])
        if result.best_score is None or score > result.best_score:
            result.best_score, result.best_step, result.worse = score, result.steps, 0
            return True
        result.worse += 1
        result.stopped_early = 0 < self.training.patience <= result.worse
        return False

    def _step(
        self, optimizer: GroupedAdamW, task: TrainTask, features: list[Feature], factor: float
    ) -> tuple[float, int]:
        """One optimizer step on a batch; returns its mean loss and its padded tokens."""
        random_state = self._random_state()
        found: tuple[float, int] | None = None
        while found is None:
            optimizer.zero_grad()
            # Suppressed, not handled: in a handler the traceback would still hold the tensors.
            with suppress(torch.OutOfMemoryError):
                found = self._gradients(task, features)
            if found is None:
                optimizer.zero_grad()
                self._shrink(features)
                self._set_random_state(random_state)
        optimizer.step(factor)
        return found

    def _gradients(self, task: TrainTask, features: list[Feature]) -> tuple[float, int]:
        """Accumulate the gradients of summed loss / total weight over micro-batches."""
        weight = sum(task.format.weight(feature) for feature in features)
        total, tokens = 0.0, 0
        for micro in self._micro_batches(features):
            batch = collate(micro, self.pad_id, device=self.numerics.device)
            with self.numerics.autocast(), entering(self.assembly.model, task.states, batch):
                logits = task.format.forward(self.assembly.model, task.head, batch)
                loss, _ = task.format.loss(logits, batch)
            torch.autograd.backward(loss / weight)
            total += loss.item()
            tokens += batch.input_ids.numel()
        if "fusion" in self.assembly.trained:
            # Pulls each value matrix to the identity (AdapterFusion, Pfeiffer et al. 2021).
            regularisation = self.assembly.model.get_fusion_regularization_loss()
            if regularisation is not None:
                regularisation.backward()
        if not math.isfinite(total):
            raise WorkError(
                f"the loss became {total}: the learning rate {self.training.learning_rate} "
                "is too high, or the data is damaged"
            )
        return total / weight, tokens

    def _micro_batches(self, features: list[Feature]) -> list[list[Feature]]:
        """Consecutive parts of a (length-sorted) batch, at most `micro_tokens` padded tokens."""
        parts: list[list[Feature]] = []
        rows = longest = 0
        for feature in features:
            rows, longest = rows + len(feature.rows), max(longest, feature.length)
            if not parts or rows * longest > self.micro_tokens:
                parts.append([])
                rows, longest = len(feature.rows), feature.length
            parts[-1].append(feature)
        return parts

    def _shrink(self, features: list[Feature]) -> None:
        parts = self._micro_batches(features)
        largest = max(padded_tokens(part) for part in parts)
        if all(len(part) == 1 for part in parts):
            raise WorkError(
                f"out of memory on {self.numerics.device} with one example of {largest} tokens; "
                "use a smaller max_length or a device with more memory"
            )
        torch.cuda.empty_cache()
        self.micro_tokens = max(1, largest // 2)
        log.warning(
            "out of memory on %s: now %d tokens a pass; gradients still cover the whole batch",
            self.numerics.device,
            self.micro_tokens,
        )

    def _evaluate(self) -> float:
        assert self.evaluate is not None
        # Evaluation draws no random numbers, so training goes on as if it had not happened.
        self.assembly.model.eval()
        score = self.evaluate()
        training_mode(self.assembly.model)
        return score

    def _save(
        self, optimizer: GroupedAdamW, result: TrainResult, best: dict[str, torch.Tensor] | None
    ) -> None:
        """Write a checkpoint, if there is a place for it."""
        if self.checkpointer is None:
            return
        parts = {
            "weights": self.assembly.snapshot(),
            "best": best or {},
            "optimizer": optimizer.tensors(),
            "random": self._random_state(),
        }
        tensors = {
            f"{part}/{name}": tensor
            for part, named in parts.items()
            for name, tensor in named.items()
        }
        self.checkpointer.save(result.steps, tensors, asdict(result))

    def _resume(
        self,
        optimizer: GroupedAdamW,
        tensors: dict[str, torch.Tensor],
        state: dict[str, Any],
    ) -> tuple[TrainResult, dict[str, torch.Tensor] | None]:
        """Put weights, optimizer and random state back; returns the state and best weights."""
        parts: dict[str, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            part, rest = name.split("/", 1)
            parts.setdefault(part, {})[rest] = tensor.clone()
        self.assembly.restore(parts["weights"])
        optimizer.load(parts.get("optimizer", {}))
        self._set_random_state(parts["random"])
        return TrainResult(**state), parts.get("best")

    def _random_state(self) -> dict[str, torch.Tensor]:
        state = {"cpu": torch.get_rng_state()}
        if self.numerics.device != "cpu":
            state["cuda"] = torch.cuda.get_rng_state(self.numerics.torch_device)
        return state

    def _set_random_state(self, state: dict[str, torch.Tensor]) -> None:
        torch.set_rng_state(state["cpu"])
        if "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], self.numerics.torch_device)


def _number(text: str) -> int:
    """A 63-bit seed from a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
