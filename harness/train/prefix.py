"""Known states of rows of tokens: computed once, kept without padding, passed into the model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from adapters import XLMRobertaAdapterModel

from harness.formats import Batch, Feature
from harness.model import Numerics, starting_at, states_before
from harness.train.passes import passes

Row = tuple[int, ...]
Array = npt.NDArray[Any]
# numpy has no bf16: its bits are kept as integers of that width.
_STORED: dict[torch.dtype, type[np.generic]] = {
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.bfloat16: np.int16,
}


@dataclass(frozen=True, slots=True)
class Rows:
    """Distinct rows of tokens, and where the states of each begin: they follow each other."""

    starts: Mapping[Row, int]
    tokens: int

    @classmethod
    def of(cls, features: Iterable[Feature]) -> Rows:
        """The rows of features, in the order in which each comes first."""
        starts: dict[Row, int] = {}
        tokens = 0
        for feature in features:
            for row in feature.rows:
                if row not in starts:
                    starts[row] = tokens
                    tokens += len(row)
        return cls(starts, tokens)

    def digest(self) -> str:
        """SHA-256 over the rows in order."""
        found = hashlib.sha256()
        for row in self.starts:
            found.update(np.array([len(row), *row], dtype="<i8").tobytes())
        return found.hexdigest()


@dataclass(frozen=True, slots=True)
class States:
    """What enters a layer, by row of tokens: `array` is [tokens, d], mostly a file."""

    layer: int
    rows: Rows
    array: Array
    dtype: torch.dtype
    more: tuple[States, ...] = ()  # those of other data sets whose rows share batches with these

    def of(self, batch: Batch) -> torch.Tensor:
        """[R, L, d] on the CPU; zeros at padding, which attention never looks at."""
        found = np.zeros((*batch.input_ids.shape, self.array.shape[1]), self.array.dtype)
        rows = (row for feature in batch.features for row in feature.rows)
        for place, row in zip(found, rows, strict=True):
            one = next(one for one in (self, *self.more) if row in one.rows.starts)
            start = one.rows.starts[row]
            place[: len(row)] = one.array[start : start + len(row)]
        tensor = torch.from_numpy(found)
        return tensor.view(self.dtype) if self.dtype is torch.bfloat16 else tensor


def stored_dtype(numerics: Numerics, weights: torch.dtype = torch.float32) -> torch.dtype:
    """In what states are kept: the arithmetic of the run."""
    return torch.bfloat16 if numerics.dtype == "bf16" else weights


def stored_type(dtype: torch.dtype) -> type[np.generic]:
    """The same for numpy."""
    return _STORED[dtype]


def compute_states(
    model: XLMRobertaAdapterModel,
    layer: int,
    rows: Rows,
    array: Array,
    *,
    numerics: Numerics,
    pad_id: int,
    batch_tokens: int,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Fill an array [tokens, d] with the states that enter a layer, in evaluation mode."""
    model.eval()
    dtype = stored_dtype(numerics, model.dtype)
    features = [Feature((row,), index) for index, row in enumerate(rows.starts)]

    def states_of(batch: Batch) -> torch.Tensor:
        return states_before(model, layer, batch.input_ids, batch.attention_mask)

    done = 0
    for indices, _, states in passes(features, states_of, numerics, pad_id, batch_tokens):
        kept = states.to("cpu", dtype)
        if dtype is torch.bfloat16:
            kept = kept.view(torch.int16)
        for index, values in zip(indices, kept.numpy(), strict=True):
            (row,) = features[index].rows
            start = rows.starts[row]
            array[start : start + len(row)] = values[: len(row)]
        done += len(indices)
        on_batch(done, len(features))


@contextmanager
def entering(model: XLMRobertaAdapterModel, states: States | None, batch: Batch) -> Iterator[None]:
    """Within it the model takes the batch's known states; without any, it computes all."""
    if states is None:
        yield
        return
    hidden = states.of(batch).to(model.device).to(model.dtype)
    with starting_at(model, states.layer, hidden):
        yield
