"""Intrinsic measures of a `nano`: how well its layers and embeddings match across languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoTokenizer, PreTrainedTokenizerFast, XLMRobertaModel

from harness.data.examples import BitextExample
from harness.data.world import GROUPS, HUB, LANGUAGES, World, generate
from harness.data.world.semantics import Split

_BATCH = 100


def load_nano(folder: Path | str) -> tuple[XLMRobertaModel, PreTrainedTokenizerFast]:
    """The backbone (no pooler, evaluation mode) and tokenizer of a folder."""
    model = XLMRobertaModel.from_pretrained(folder, add_pooling_layer=False).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def sentence_vectors(
    model: XLMRobertaModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]
) -> Tensor:
    """Unit means over all attended tokens, special ones too: [layers + 1, texts, hidden]."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(texts), _BATCH):
            batch = tokenizer(
                list(texts[start : start + _BATCH]), padding=True, return_tensors="pt"
            )
            states = torch.stack(model(**batch, output_hidden_states=True).hidden_states)
            weights = batch["attention_mask"][None, :, :, None].float()
            parts.append((states * weights).sum(2) / weights.sum(2))
    return functional.normalize(torch.cat(parts, dim=1), dim=-1)


def retrieval_accuracy(
    model: XLMRobertaModel,
    tokenizer: PreTrainedTokenizerFast,
    world: World,
    *,
    count: int = 200,
    split: Split = "dev",
) -> dict[str, list[float]]:
    """Percent of hub sentences whose nearest translation is right, by language, for each layer."""
    found = {}
    for name in LANGUAGES:
        if name == HUB:
            continue
        pairs = [
            one
            for one in generate(world, "ret", name, count, split)
            if isinstance(one, BitextExample)
        ]
        queries = sentence_vectors(model, tokenizer, [one.english for one in pairs])
        answers = sentence_vectors(model, tokenizer, [one.sentence for one in pairs])
        nearest = (queries @ answers.transpose(1, 2)).argmax(-1)
        right = (nearest == torch.arange(count)).float().mean(1) * 100
        found[name] = [round(value, 1) for value in right.tolist()]
    return found


def embedding_cosine(
    model: XLMRobertaModel, tokenizer: PreTrainedTokenizerFast, world: World
) -> dict[str, float]:
    """Mean cosine between a hub word's embedding and its translation's, by language.

    Over all concepts but names; words that two languages share count as 1.
    """
    weight = functional.normalize(model.embeddings.word_embeddings.weight.detach(), dim=-1)
    hub = {concept: form for concept, form in world.lexicons[HUB].items() if concept[0] != "name"}
    hub_ids = tokenizer.convert_tokens_to_ids(list(hub.values()))
    found = {}
    for name in LANGUAGES:
        ids = tokenizer.convert_tokens_to_ids([world.lexicons[name][concept] for concept in hub])
        found[name] = round(float((weight[hub_ids] * weight[ids]).sum(-1).mean()), 3)
    return found


def by_group(values: Mapping[str, float]) -> dict[str, float]:
    """Means over the groups of languages that occur in `values`."""
    return {
        group: sum(values[name] for name in names) / len(names)
        for group, names in GROUPS.items()
        if all(name in values for name in names)
    }
