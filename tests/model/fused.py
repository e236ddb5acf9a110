"""Small random models with the same adapters and fusion, by the library and by our algebra."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from adapters import AdapterFusionConfig, SeqBnConfig, XLMRobertaAdapterModel
from adapters.composition import Fuse, Stack
from transformers import XLMRobertaConfig

from harness.model import use_fused_layers

WIDTH, LAYERS, VOCABULARY = 32, 3, 60


def library_model(
    adapters: Sequence[dict[str, Any]],
    fusion: dict[str, Any] | None = None,
    *,
    dtype: torch.dtype = torch.float64,
    kind: str = "dynamic",
    seed: int = 0,
    top: dict[str, Any] | None = None,
    **backbone: Any,
) -> XLMRobertaAdapterModel:
    """Adapters s0, s1, ... of these settings, fused below `t`, which has a head; random weights."""
    torch.manual_seed(seed)
    model = XLMRobertaAdapterModel(
        XLMRobertaConfig(
            hidden_size=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=4,
            intermediate_size=2 * WIDTH,
            vocab_size=VOCABULARY,
            max_position_embeddings=40,
            **backbone,
        )
    )
    names = [f"s{i}" for i in range(len(adapters))]
    for name, settings in zip(names, adapters, strict=True):
        model.add_adapter(name, config=SeqBnConfig(**{"reduction_factor": 4, **settings}))
    # The library cannot stack `t` on a fusion of nothing.
    left_out = adapters[-1].get("leave_out", [])
    model.add_adapter(
        "t", config=SeqBnConfig(reduction_factor=4, leave_out=left_out, **(top or {}))
    )
    fuse = Fuse(*names)
    model.add_adapter_fusion(fuse, config=AdapterFusionConfig.load(kind, **(fusion or {})))
    model.add_classification_head("t", num_labels=3)
    model.to(dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "adapter" in name:
                parameter.normal_(0, 0.2)
    train(model, "adapter_fusion", ".t.")
    model.set_active_adapters(Stack(fuse, "t"))
    return model


def train(model: XLMRobertaAdapterModel, *parts: str) -> None:
    """Train what has one of these in its name, and freeze the rest."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(part in name for part in parts))


def ours_of(model: XLMRobertaAdapterModel) -> XLMRobertaAdapterModel:
    """A copy whose fusions are computed by our algebra."""
    ours = copy.deepcopy(model)
    use_fused_layers(ours)
    return ours


def rows(count: int = 4, length: int = 24, seed: int = 5) -> torch.Tensor:
    """Token ids [count, length]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCABULARY, (count, length), generator=generator)


def logits(model: XLMRobertaAdapterModel, ids: torch.Tensor) -> torch.Tensor:
    """What the head `t` says, with the same random numbers for the dropout of every call."""
    torch.manual_seed(1)
    result: torch.Tensor = model(ids, head="t").logits
    return result


def gradients(model: XLMRobertaAdapterModel, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradients of all that is trained, for a loss that weighs the logits unequally."""
    model.zero_grad()
    found = logits(model, ids)
    (found * torch.arange(1, found.numel() + 1).view_as(found)).sum().backward()
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference, relative to the largest value."""
    return float(((found - expected).abs().max() / expected.abs().max()).detach())


def gradient_difference(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """The same over all gradients, relative to the largest of them."""
    assert list(found) == list(expected)
    largest = max(float(one.abs().max()) for one in expected.values())
    return max(float((found[n] - expected[n]).abs().max()) for n in expected) / largest


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What our layers have logged."""
    return [one.getMessage() for one in caplog.records if one.name.startswith("harness.")]


def add_again(model: XLMRobertaAdapterModel) -> None:
    """Another fusion under the same name, with tensors of the same versions."""
    fuse = Fuse("s0", "s1", "s2")
    model.delete_adapter_fusion(fuse)
    torch.manual_seed(99)
    model.add_adapter_fusion(fuse)
    model.double().eval()
