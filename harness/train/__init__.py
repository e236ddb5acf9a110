"""Training and prediction: token-budget batches, the loop, checkpoints."""

from harness.train.batches import epoch_batches, padded_tokens, sorted_batches
from harness.train.checkpoint import Checkpointer, Stopwatch
from harness.train.loop import (
    Interrupted,
    Progress,
    Trainer,
    TrainResult,
    TrainTask,
)
from harness.train.optimizer import GroupedAdamW, learning_rate_factor
from harness.train.predict import predict
from harness.train.prefix import Rows, States, compute_states, stored_dtype, stored_type
from harness.train.pretrain import pretrain_backbone, train_tokenizer

__all__ = [
    "Checkpointer",
    "GroupedAdamW",
    "Interrupted",
    "Progress",
    "Rows",
    "States",
    "Stopwatch",
    "TrainResult",
    "TrainTask",
    "Trainer",
    "compute_states",
    "epoch_batches",
    "learning_rate_factor",
    "padded_tokens",
    "predict",
    "pretrain_backbone",
    "sorted_batches",
    "stored_dtype",
    "stored_type",
    "train_tokenizer",
]
