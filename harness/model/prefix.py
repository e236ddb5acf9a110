"""The layers below a backbone's first adapters: without dropout, computed alone, or passed over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from adapters import XLMRobertaAdapterModel
from adapters.methods.bottleneck import BottleneckLayer
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Prefix:
    """Embeddings and the lowest `layers` of a model, which are those of backbone `digest`."""

    layers: int = 0
    dropout: bool = True  # while adapters above are trained
    digest: str = ""


def set_prefix(model: XLMRobertaAdapterModel, prefix: Prefix) -> None:
    """Say what the model's lowest layers are; copies of the model have it, too."""
    model.prefix = prefix


def prefix_of(model: XLMRobertaAdapterModel) -> Prefix:
    """What was said of the model's lowest layers; of no layers if nothing was."""
    found: Prefix = getattr(model, "prefix", None) or Prefix()
    return found


def training_mode(model: XLMRobertaAdapterModel) -> None:
    """`model.train()`, in which a prefix without dropout stays as in evaluation."""
    model.train()
    prefix = prefix_of(model)
    if not prefix.dropout:
        for module in (model.roberta.embeddings, *model.roberta.encoder.layer[: prefix.layers]):
            module.eval()


def adapters_below(model: XLMRobertaAdapterModel, names: Iterable[str], layer: int) -> list[str]:
    """Which of these adapters change anything below a layer."""
    roberta = model.roberta
    places = [
        module.adapters
        for one in roberta.encoder.layer[:layer]
        for module in one.modules()
        if isinstance(module, BottleneckLayer)
    ]
    places.append(roberta.invertible_adapters)
    return [name for name in names if any(name in place for place in places)]


def states_before(
    model: XLMRobertaAdapterModel, layer: int, input_ids: Tensor, attention_mask: Tensor
) -> Tensor:
    """The hidden states [R, L, d] that enter a layer; those above do not run."""
    encoder = model.roberta.encoder
    layers = encoder.layer
    encoder.layer = layers[:layer]
    try:
        output = model.roberta(input_ids, attention_mask=attention_mask, return_dict=True)
    finally:
        encoder.layer = layers
    states: Tensor = output.last_hidden_state
    return states


@contextmanager
def starting_at(model: XLMRobertaAdapterModel, layer: int, states: Tensor) -> Iterator[None]:
    """Within it a forward pass starts at a layer, with the states [R, L, d] that enter it.

    Layers keep their numbers: those below hand on what they are given.
    """
    roberta = model.roberta
    embeddings, layers = roberta.embeddings, roberta.encoder.layer
    passed = _Passed()
    roberta.embeddings = _Given(states)
    roberta.encoder.layer = nn.ModuleList([*([passed] * layer), *layers[layer:]])
    try:
        yield
    finally:
        roberta.embeddings, roberta.encoder.layer = embeddings, layers


class _Given(nn.Module):
    """Stands where the embeddings are."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self._states = states

    def forward(self, *_: Any, **__: Any) -> Tensor:
        """The states, whatever the tokens."""
        return self._states


class _Passed(nn.Module):
    """Stands where a layer is."""

    def forward(self, hidden: Tensor, *_: Any, **__: Any) -> tuple[Tensor]:
        """What comes in."""
        return (hidden,)
