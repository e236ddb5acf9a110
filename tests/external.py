"""Adapters from elsewhere: made by the `adapters` library alone, on nano or on what is like it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from adapters import AdapterConfig, XLMRobertaAdapterModel
from transformers import XLMRobertaConfig

from tests.nano import NANO

NARROW = XLMRobertaConfig(
    vocab_size=50, hidden_size=32, num_hidden_layers=3, num_attention_heads=2,
    intermediate_size=16, max_position_embeddings=20,
)  # fmt: skip
# Nano's, with a few words only: what an adapter is does not depend on them.
SHAPE = XLMRobertaConfig.from_pretrained(str(NANO), vocab_size=8, max_position_embeddings=4)
WEIGHTS = "adapter.safetensors"


def save(
    folder: Path,
    config: str | AdapterConfig = "seq_bn",
    *,
    name: str = "elsewhere",
    safe: bool = True,
    head: bool = False,
    shape: XLMRobertaConfig | None = None,
    seed: int = 0,
) -> Path:
    """A folder that save_adapter wrote; its weights are far enough from zero to be missed."""
    torch.manual_seed(seed)
    model = XLMRobertaAdapterModel(deepcopy(shape or SHAPE))  # it writes into it
    model.add_adapter(name, config=config)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if f".{name}." in key:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    if head:
        model.add_classification_head(name, num_labels=3)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_adapter(str(folder), name, with_head=head, use_safetensors=safe)
    return folder


def plain_nano(folder: Path = NANO) -> Any:
    """The backbone as the library alone loads it."""
    return XLMRobertaAdapterModel.from_pretrained(str(folder)).eval()
