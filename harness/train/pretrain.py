"""Pretraining a small backbone from text: a tokenizer of its own, then masked-LM training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from adapters import XLMRobertaAdapterModel
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaTokenizerFast

from harness.catalog import Pretraining, Training
from harness.data import TextExample
from harness.errors import InputError
from harness.formats import EncodeOptions, Feature, MaskedLM, MaskingOptions
from harness.model import Assembly, Numerics, remove_pooler
from harness.train.batches import epoch_batches
from harness.train.checkpoint import Checkpointer
from harness.train.loop import Progress, Trainer, TrainResult, TrainTask

_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_HEAD = "mlm"
_POSITION_OFFSET = 2  # XLM-R counts positions from the padding index + 1


def pretrain_backbone(
    spec: Pretraining,
    texts: Sequence[TextExample],
    folder: Path,
    *,
    seed: int,
    numerics: Numerics,
    micro_tokens: int,
    recompute: bool = False,
    name: str,
    checkpointer: Checkpointer | None = None,
    on_step: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """Train tokenizer and encoder on `texts` and save both in `folder`, as `save_pretrained`."""
    tokenizer = train_tokenizer(texts, spec.vocabulary, spec.max_positions)
    tokenizer.save_pretrained(str(folder))
    torch.manual_seed(seed)
    model = XLMRobertaAdapterModel(_config(spec, tokenizer))
    remove_pooler(model)
    model.config._name_or_path = name
    masked_lm = MaskedLM(MaskingOptions(spec.mask_rate, seed))
    masked_lm.add_head(model, _HEAD, ())
    assembly = Assembly(model.to(numerics.torch_device))
    assembly.activate(None)
    assembly.train_groups({"backbone": [name], "head": [_HEAD]})
    options = EncodeOptions(max_length=spec.max_positions)
    rows = masked_lm.encode(texts, tokenizer, (), options, training=True)
    training = Training(
        epochs=1,
        learning_rate=spec.learning_rate,
        batch_tokens=spec.batch_tokens,
        warmup=0.06,
        weight_decay=0.01,
        adam_beta2=0.98,  # as RoBERTa's pretraining (Liu et al. 2019), for stability at high rates
        patience=0,
        max_length=spec.max_positions,
    )
    features = _masked_epochs(masked_lm, rows, tokenizer, spec, seed)
    trainer = Trainer(
        assembly,
        [TrainTask(_HEAD, masked_lm, features)],
        training,
        numerics,
        seed=f"pretrain/{seed}",
        pad_id=int(tokenizer.pad_token_id),
        micro_tokens=micro_tokens,
        checkpointer=checkpointer,
        on_step=on_step,
        should_stop=should_stop,
    )
    with assembly.recomputing(recompute):
        result = trainer.run()
    assembly.train_groups({"backbone": [name]})
    assembly.save_backbone(folder)
    return result


def train_tokenizer(
    texts: Sequence[TextExample], vocabulary: int, max_positions: int
) -> PreTrainedTokenizerFast:
    """A BPE tokenizer with XLM-R's special tokens, ids and pair template.

    XLM-R's own is a Unigram model, but training one in `tokenizers` gives another result on each
    run.
    """
    if not texts:
        raise InputError("no text to train a tokenizer on; check the backbone's texts")
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(_SPECIALS), show_progress=False
    )
    tokenizer.train_from_iterator(_segments(texts), trainer)
    ids = {token: tokenizer.token_to_id(token) for token in ("<s>", "</s>")}
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=list(ids.items())
    )
    return XLMRobertaTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=max_positions, add_prefix_space=True
    )


def _segments(texts: Sequence[TextExample]) -> Iterator[str]:
    for text in texts:
        yield from text.segments


def _config(spec: Pretraining, tokenizer: PreTrainedTokenizerFast) -> XLMRobertaConfig:
    return XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=spec.hidden_size,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        intermediate_size=spec.intermediate_size,
        max_position_embeddings=spec.max_positions + _POSITION_OFFSET,
        type_vocab_size=1,
        initializer_range=spec.initializer_range,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        hidden_dropout_prob=0.0,  # far from overfitting in the few epochs that it gets
        attention_probs_dropout_prob=0.0,
    )


def _masked_epochs(
    masked_lm: MaskedLM,
    rows: Sequence[Feature],
    tokenizer: PreTrainedTokenizerFast,
    spec: Pretraining,
    seed: int,
) -> list[Feature]:
    """Enough freshly masked copies of the rows for about `spec.steps` steps, as one long epoch."""
    generator = torch.Generator().manual_seed(seed)
    per_epoch = epoch_batches(rows, seed=f"count/{seed}", batch_tokens=spec.batch_tokens)
    features: list[Feature] = []
    left = spec.steps
    while left > 0:
        share = min(1.0, left / len(per_epoch))
        masked = masked_lm.remask(rows, tokenizer, generator)
        order = torch.randperm(len(masked), generator=generator)[: round(share * len(masked))]
        features.extend(replace(masked[i], example=0) for i in order.tolist())
        left -= len(per_epoch)
    # A row without any masked token teaches nothing and would only dilute a batch.
    return [feature for feature in features if masked_lm.weight(feature) > 0]
