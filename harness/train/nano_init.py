"""The architecture of `nano` and its initialisation, which is where its alignment comes from.

Embeddings start from shared concept vectors for a share of each language's lexicon (its
`coverage`), as WECHSEL does with a bilingual dictionary. That alignment is constructed.
"""

from __future__ import annotations

import math
import random

import torch
from transformers import PreTrainedTokenizerBase, XLMRobertaConfig, XLMRobertaModel

from harness.data.world import LANGUAGES, World
from harness.data.world.lexicon import Concept
from harness.data.world.tokenizer import MAX_LENGTH, PAD_ID

EMBEDDING_STD = 0.4
"""Far above the usual 0.02, which Adam at this learning rate washes out within tens of steps."""
_NOISE = 0.3
_POSITION_AMPLITUDE = 0.28
_MIMETIC_GAIN = 0.8
_MIMETIC_SHARE = 0.5


def nano_config(tokenizer: PreTrainedTokenizerBase) -> XLMRobertaConfig:
    """XLM-R's architecture at 3 layers of 128, without dropout."""
    return XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=MAX_LENGTH + 2,  # XLM-R counts positions from pad_token_id + 1
        type_vocab_size=1,
        pad_token_id=PAD_ID,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout=0.0,
    )


def initialise(
    model: XLMRobertaModel,
    world: World,
    tokenizer: PreTrainedTokenizerBase,
    seed: int,
    *,
    aligned: bool = True,
) -> None:
    """Overwrites embeddings, positions and half of the attention heads, in place.

    Without `aligned` no embedding starts from a shared concept.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        _mimetic_heads(model, generator)
        _sinusoidal_positions(model)
        _dictionary_embeddings(model, world, tokenizer, seed, generator, aligned)


def _mimetic_heads(model: XLMRobertaModel, generator: torch.Generator) -> None:
    """Equal orthonormal query and key maps: a token attends to tokens that are like itself."""
    config = model.config
    width = config.hidden_size // config.num_attention_heads
    for layer in model.encoder.layer:
        attention = layer.attention.self
        for head in range(int(config.num_attention_heads * _MIMETIC_SHARE)):
            rows = slice(head * width, (head + 1) * width)
            drawn = torch.randn(config.hidden_size, width, generator=generator)
            basis = torch.linalg.qr(drawn)[0].t() * _MIMETIC_GAIN
            attention.query.weight[rows] = basis
            attention.key.weight[rows] = basis


def _sinusoidal_positions(model: XLMRobertaModel) -> None:
    weight = model.embeddings.position_embeddings.weight
    places, size = weight.shape
    rates = torch.exp(-math.log(1000.0) * torch.arange(0, size, 2) / size)
    angles = torch.arange(places)[:, None] * rates
    weight[:, 0::2] = torch.sin(angles) * _POSITION_AMPLITUDE
    weight[:, 1::2] = torch.cos(angles) * _POSITION_AMPLITUDE
    model.embeddings.token_type_embeddings.weight.zero_()


def _dictionary_embeddings(
    model: XLMRobertaModel,
    world: World,
    tokenizer: PreTrainedTokenizerBase,
    seed: int,
    generator: torch.Generator,
    aligned: bool,
) -> None:
    weight = model.embeddings.word_embeddings.weight
    size = weight.shape[1]
    rng = random.Random(f"dictionary-{seed}")
    concepts: dict[Concept, torch.Tensor] = {
        concept: torch.randn(size, generator=generator)
        for concept in world.lexicons[next(iter(LANGUAGES))]
    }
    total = torch.zeros_like(weight)
    meanings = torch.zeros(len(weight), 1)
    for one in LANGUAGES.values():
        for concept, form in world.lexicons[one.name].items():
            if aligned and rng.random() < one.coverage:
                token = tokenizer.convert_tokens_to_ids(form)
                total[token] += concepts[concept]
                meanings[token] += 1
    noise = torch.randn(weight.shape, generator=generator)
    shared = math.sqrt(1 - _NOISE**2) * total / meanings.clamp(min=1) + _NOISE * noise
    weight.copy_(EMBEDDING_STD * torch.where(meanings > 0, shared, noise))
    weight[PAD_ID] = 0
