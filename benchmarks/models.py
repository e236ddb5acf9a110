"""Random XLM-R-shaped models with adapters and a fusion, as the `adapters` library builds them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from adapters import SeqBnConfig, XLMRobertaAdapterModel
from adapters.composition import Fuse
from transformers import XLMRobertaConfig

from harness.model import Assembly, remove_pooler, silence_libraries

REAL_VOCABULARY, SMALL_VOCABULARY = 250_002, 1_000
SPECIALS, PAD = 4, 1  # ids below SPECIALS: <s>, padding, </s>, the unknown word


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a backbone; the bottleneck is d / reduction."""

    layers: int
    width: int = 1024
    heads: int = 16
    reduction: int = 16
    vocabulary: int = SMALL_VOCABULARY

    @property
    def bottleneck(self) -> int:
        """r."""
        return self.width // self.reduction

    def config(self) -> XLMRobertaConfig:
        """As transformers says it; dropout is XLM-R's, 0.1."""
        return XLMRobertaConfig(
            vocab_size=self.vocabulary, hidden_size=self.width, num_hidden_layers=self.layers,
            num_attention_heads=self.heads, intermediate_size=4 * self.width,
            max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5,
        )  # fmt: skip


def random_model(shape: Shape, sources: int) -> XLMRobertaAdapterModel:
    """Adapters s0, s1, ..., a fusion of them, adapter and head `t`; nothing active, all seeded."""
    silence_libraries()
    torch.manual_seed(0)
    model = XLMRobertaAdapterModel(shape.config())
    remove_pooler(model)
    for name in [*source_names(sources), "t"]:
        model.add_adapter(name, config=SeqBnConfig(reduction_factor=shape.reduction))
    if sources:
        model.add_adapter_fusion(Fuse(*source_names(sources)))
    model.add_classification_head("t", num_labels=3, layers=2)
    with torch.no_grad():  # the library starts adapters at nearly nothing
        for name, parameter in model.named_parameters():
            if ".adapters." in name and parameter.dim() > 1:
                parameter.normal_(0, 0.02)
    model.requires_grad_(False)
    return model.eval()


def source_names(count: int) -> list[str]:
    """s0, s1, ..."""
    return [f"s{index}" for index in range(count)]


def fused(model: XLMRobertaAdapterModel, sources: int) -> Assembly:
    """Stack(Fuse(S), t): fusion, t and the head are trained."""
    names = source_names(sources)
    assembly = Assembly(model)
    assembly.activate(["stack", ["fuse", *names], "t"])
    fusion = str(Fuse(*names).name)
    assembly.train_groups({"fusion": [fusion], "adapter": ["t"], "head": ["t"]})
    return assembly


def full(model: XLMRobertaAdapterModel, *, embeddings: bool) -> Assembly:
    """Full fine-tuning: no adapter, the whole encoder and the head are trained."""
    assembly = Assembly(model)
    assembly.activate(None)
    assembly.train_groups({"backbone": [""], "head": ["t"]})
    model.roberta.embeddings.requires_grad_(embeddings)
    return assembly
