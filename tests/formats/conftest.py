"""A real small tokenizer with XLM-R's template and special ids, and a tiny model to go with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

LINES = (
    "the quick brown fox jumps over the lazy dog",
    "who wrote the book of the dead in the old city of Thebes",
    "a man is playing a guitar on the stage while people are watching",
    "nobody plays the guitar, and the stage is empty",
    "das ist ein kleines Haus am großen Fluss",
    "это небольшой дом на берегу большой реки",
    "这是一个小房子 在大河边",
    "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789 .,;:!?'\"()-",
)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Unigram over a few lines: `<s> A </s></s> B </s>`, <s>=0 <pad>=1 </s>=2 <unk>=3."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.Unigram())
    core.normalizer = normalizers.NFKC()
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=specials, unk_token="<unk>")
    core.train_from_iterator(LINES * 20, trainer)
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


@pytest.fixture
def make_model(tokenizer: Any) -> Callable[[], Any]:
    """Makes tiny models with equal weights, in evaluation mode."""

    def make() -> Any:
        import torch
        from adapters import XLMRobertaAdapterModel
        from transformers import XLMRobertaConfig

        torch.manual_seed(0)
        config = XLMRobertaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=260,
            initializer_range=0.3,
            pad_token_id=1,
            bos_token_id=0,
            eos_token_id=2,
        )
        return XLMRobertaAdapterModel(config).eval()

    return make
