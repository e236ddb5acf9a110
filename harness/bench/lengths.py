"""How long rows are taken to be: for operations, times, and what a budget of tokens comes to."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.bench.steps import Reads
from harness.catalog import Training
from harness.formats import get_format

# Tokens of a row with its specials. Characters were counted on files, most of them English (NLI,
# PAWS-X 130 to 230; SQuAD, XQuAD, MLQA 800 to 1,100; HellaSwag 200, CommonsenseQA 80, with a
# choice; UD 100 to 120, PAN-X 40; Tatoeba 25 to 50; BUCC's zh-en 75) and divided by 4, which is
# assumed.
MEAN_TOKENS = {
    "pair_classification": 44,
    "span_qa": 230,
    "multiple_choice": 42,
    "tagging": 26,
    "bitext_retrieval": 12,
    "bitext_mining": 24,
    "masked_lm": 64,
}


def mean_tokens(task_format: str, max_length: int) -> float:
    """Tokens of a row of this format, cut at `max_length`."""
    return min(MEAN_TOKENS[task_format], max_length)


def example_tokens(task_format: str, max_length: int) -> float:
    """Tokens of an example, which may be several rows."""
    return get_format(task_format).typical_rows * mean_tokens(task_format, max_length)


def epochs(reads: Sequence[Reads], training: Training) -> int:
    """As many whole epochs as `min_steps` asks for, or those of the training if that is more."""
    steps = 0
    for one in reads:
        if training.batch_size is not None:
            steps += math.ceil(one.train / training.batch_size)
        else:
            assert training.batch_tokens is not None
            tokens = one.train * example_tokens(one.format, one.max_length)
            steps += math.ceil(tokens / training.batch_tokens)
    return max(training.epochs, math.ceil(training.min_steps / max(1, steps)))


def trained_tokens(reads: Sequence[Reads], training: Training) -> float:
    """Tokens that a training learns from, in all epochs."""
    epoch = sum(one.train * example_tokens(one.format, one.max_length) for one in reads)
    return epochs(reads, training) * epoch
