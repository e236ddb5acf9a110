"""The world's tokenizer: XLM-R's special tokens and pair template over one token per word."""

from __future__ import annotations

from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as SpacedDecoder
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Punctuation, Sequence, WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from harness.data.world.world import World

MAX_LENGTH = 130
"""Longest input in tokens, special tokens included."""

_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
PAD_ID = _SPECIAL.index("<pad>")
_MASK = "<mask>"


def build_tokenizer(world: World) -> PreTrainedTokenizerFast:
    """A fast tokenizer with ids <s> 0, <pad> 1, </s> 2, <unk> 3 and <mask> last."""
    vocabulary = [*_SPECIAL, *world.vocabulary(), _MASK]
    backend = Tokenizer(
        WordLevel({token: index for index, token in enumerate(vocabulary)}, unk_token="<unk>")
    )
    backend.pre_tokenizer = Sequence([WhitespaceSplit(), Punctuation()])
    backend.post_processor = TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B:0 </s>:0",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    # joins with spaces and leaves none before punctuation
    backend.decoder = SpacedDecoder(prefix="##", cleanup=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token=_MASK,
        model_max_length=MAX_LENGTH,
        model_input_names=["input_ids", "attention_mask"],
    )
