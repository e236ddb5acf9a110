"""What `nano` is pretrained with: the backbone, the heads that pretraining needs, four losses."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, XLMRobertaModel

from harness.data.world import World
from harness.data.world.tokenizer import PAD_ID
from harness.train.nano_init import initialise, nano_config

_TEMPERATURE = 0.1
_MASKED = 0.25
_PAIR_WEIGHT, _TAMPERED_WEIGHT, _ALIGNMENT_WEIGHT = 1.0, 2.0, 0.5
_LOGIT_SCALE = 0.2  # the embeddings are 20 times larger than usual
_SUBSTITUTES = 16


class Losses(NamedTuple):
    """The four losses of a step, unweighted."""

    masked: Tensor
    pair: Tensor
    tampered: Tensor
    alignment: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return (
            self.masked
            + _PAIR_WEIGHT * self.pair
            + _TAMPERED_WEIGHT * self.tampered
            + _ALIGNMENT_WEIGHT * self.alignment
        )


class Pretrainer(nn.Module):
    """The backbone with the heads that only pretraining needs."""

    def __init__(
        self, world: World, tokenizer: PreTrainedTokenizerFast, seed: int, *, aligned: bool = True
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        config = nano_config(tokenizer)
        size = config.hidden_size
        self.backbone = XLMRobertaModel(config, add_pooling_layer=False)
        initialise(self.backbone, world, tokenizer, seed, aligned=aligned)
        self.word_head = nn.Sequential(nn.Linear(size, size), nn.GELU(), nn.LayerNorm(size))
        self.word_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.pair_head = nn.Sequential(nn.Linear(size, size), nn.Tanh(), nn.Linear(size, 1))
        self.tampered_head = nn.Linear(size, 1)
        self.pad_id, self.mask_id = PAD_ID, len(tokenizer) - 1
        self.substitutes, self.replaceable = _substitute_table(world, tokenizer, seed)
        self._generator = torch.Generator().manual_seed(seed)

    def forward(self, ids: Tensor, parallel: Sequence[tuple[list[int], list[int]]]) -> Losses:
        """Losses of a padded batch [batch, length] and a batch of parallel id lists."""
        attended = ids.ne(self.pad_id).long()
        ids, candidates, tampered = self._tamper(ids)
        masked_ids, chosen = self._mask(ids)
        states = self.backbone(input_ids=masked_ids, attention_mask=attended).last_hidden_state
        words = functional.cross_entropy(self.word_logits(states[chosen]), ids[chosen])
        paired, seen = candidates.any(1), candidates & ~chosen
        pair = _binary(self.pair_head(states[paired, 0]), tampered.any(1)[paired])
        # the word by word form of the same question: without it <s> hardly learns to compare
        words_changed = _binary(self.tampered_head(states[seen]), tampered[seen])
        return Losses(words, pair, words_changed, self._alignment(parallel))

    def word_logits(self, states: Tensor) -> Tensor:
        """Scores [n, vocabulary] of the words behind `states` [n, hidden]."""
        weight = self.backbone.embeddings.word_embeddings.weight
        logits: Tensor = self.word_head(states) @ (weight.t() * _LOGIT_SCALE) + self.word_bias
        return logits

    def _uniform(self, like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=self._generator)

    def _tamper(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Replaces 1-2 content words of the second segment in half of the pairs.

        Returns the ids, which words could have been replaced and which were [batch, length].
        """
        segment = (ids == self.tokenizer.sep_token_id).cumsum(1)
        candidates = (segment == 2) & self.replaceable[ids]
        paired = candidates.any(1)
        chosen = paired & (self._uniform(paired) < 0.5)
        scores = self._uniform(ids) * candidates
        highest = scores.topk(2, dim=1).values
        threshold = torch.where(self._uniform(paired) < 0.3, highest[:, 1], highest[:, 0])
        picked = (scores >= threshold[:, None]) & (scores > 0) & chosen[:, None]
        column = torch.randint(0, _SUBSTITUTES, (int(picked.sum()),), generator=self._generator)
        changed = ids.clone()
        changed[picked] = self.substitutes[ids[picked], column]
        return changed, candidates, picked

    def _mask(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """BERT's corruption (80 % mask, 10 % random, 10 % kept) and the chosen positions."""
        chosen = (self._uniform(ids) < _MASKED) & (ids > self.tokenizer.sep_token_id)
        originals = ids[chosen]
        draw = self._uniform(originals)
        anything = torch.randint(4, self.mask_id, originals.shape, generator=self._generator)
        replaced = torch.where(draw < 0.9, anything, originals).masked_fill(
            draw < 0.8, self.mask_id
        )
        masked = ids.clone()
        masked[chosen] = replaced
        return masked, chosen

    def _alignment(self, parallel: Sequence[tuple[list[int], list[int]]]) -> Tensor:
        """InfoNCE both ways between bags of input embeddings; 0 without parallel text."""
        embed = self.backbone.embeddings.word_embeddings.weight
        if not parallel:
            return torch.zeros(())
        bags = []
        for side in (0, 1):
            flat = torch.tensor([token for pair in parallel for token in pair[side]])
            lengths = torch.tensor([len(pair[side]) for pair in parallel])
            rows = torch.repeat_interleave(torch.arange(len(parallel)), lengths)
            summed = embed.new_zeros(len(parallel), embed.shape[1]).index_add(0, rows, embed[flat])
            bags.append(functional.normalize(summed, dim=-1))
        scores = bags[0] @ bags[1].t() / _TEMPERATURE
        gold = torch.arange(len(parallel))
        both = functional.cross_entropy(scores, gold) + functional.cross_entropy(scores.t(), gold)
        loss: Tensor = 0.5 * both
        return loss


def _binary(logits: Tensor, gold: Tensor) -> Tensor:
    """Mean binary cross-entropy of logits [n, 1]; 0 for none."""
    if not len(gold):
        return logits.sum()
    return functional.binary_cross_entropy_with_logits(logits.squeeze(-1), gold.float())


def _substitute_table(
    world: World, tokenizer: PreTrainedTokenizerFast, seed: int
) -> tuple[Tensor, Tensor]:
    """Words of the same kind [vocabulary, 16] and whether a word is a content word [vocabulary]."""
    rng = random.Random(f"substitutes-{seed}")
    table = torch.zeros(len(tokenizer), _SUBSTITUTES, dtype=torch.long)
    replaceable = torch.zeros(len(tokenizer), dtype=torch.bool)
    for form, others in world.substitutes().items():
        token = tokenizer.convert_tokens_to_ids(form)
        drawn = rng.choices([other for other in others if other != form], k=_SUBSTITUTES)
        table[token] = torch.tensor(tokenizer.convert_tokens_to_ids(drawn))
        replaceable[token] = True
    return table, replaceable
