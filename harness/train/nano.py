"""Pretraining of `nano`, the tiny backbone of the synthetic world: minutes on two CPU cores.

Four losses: masked words (25 %), whether a pair's second segment was tampered with (read at <s>)
and which of its words were, and agreement of the summed input embeddings of translations.
Training text holds only propositions of the train split, but for the derived half of restatements
(see the world's text). Deterministic for a seed, a number of threads and one version of torch.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import tokenizers
import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from harness.data.world import World, parallel_sentences
from harness.data.world import documents as world_documents
from harness.data.world.tokenizer import build_tokenizer
from harness.train.nano_model import Losses, Pretrainer

DOCUMENTS = 100_000
_PARALLEL = 3_000
_PARALLEL_BATCH = 128
_LEARNING_RATE = 3e-3
_WARMUP = 0.06
_TOKENS_PER_BATCH = 1024
_BUCKET_POOL = 4096
_HELDOUT_DOCUMENTS = 1_000
_HELDOUT_MASKED = 0.15
_REPORTED_STEPS = 50

Progress = Callable[[int, int, float], None]
"""Called with the steps done, all steps and the loss of the last step."""


def pretrain_nano(
    seed: int,
    out_dir: Path | str,
    *,
    documents: int = DOCUMENTS,
    aligned: bool = True,
    progress: Progress | None = None,
) -> None:
    """Pretrains on world `seed` and writes model, tokenizer and `world.json` into `out_dir`.

    `aligned` False makes the control: no dictionary, translations or code-switching.
    """
    world = World(seed)
    tokenizer = build_tokenizer(world)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trainer = Pretrainer(world, tokenizer, seed, aligned=aligned)
        segments = [
            one.segments for one in world_documents(world, documents, seed=seed, aligned=aligned)
        ]
        parallel = _parallel_ids(world, tokenizer, seed) if aligned else []
        record = _train(trainer, _encoded(tokenizer, segments), parallel, seed, progress)
    record["heldout_masked_accuracy"] = heldout_accuracy(trainer, world)
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    trainer.backbone.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    text = json.dumps(
        {
            "world_seed": seed,
            "aligned": aligned,
            "documents": documents,
            **record,
            "versions": _versions(),
        },
        indent=2,
    )
    (folder / "world.json").write_text(text + "\n", encoding="utf-8")


def _parallel_ids(
    world: World, tokenizer: PreTrainedTokenizerFast, seed: int
) -> list[tuple[list[int], list[int]]]:
    sides = zip(*parallel_sentences(world, _PARALLEL, seed=seed), strict=True)
    left, right = (tokenizer(list(side), add_special_tokens=False).input_ids for side in sides)
    return list(zip(left, right, strict=True))


def _train(
    trainer: Pretrainer,
    data: Sequence[list[int]],
    parallel: Sequence[tuple[list[int], list[int]]],
    seed: int,
    progress: Progress | None,
) -> dict[str, object]:
    """One pass over the documents; returns steps, padded tokens and the last losses."""
    rng = random.Random(f"batches-{seed}")
    batches = list(_batches([len(ids) for ids in data], rng))
    parameters = list(trainer.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [one for one in parameters if one.dim() > 1], "weight_decay": 0.01},
            {"params": [one for one in parameters if one.dim() <= 1], "weight_decay": 0.0},
        ],
        lr=_LEARNING_RATE,
        betas=(0.9, 0.98),
        fused=True,
    )
    trainer.train()
    history: list[list[float]] = []
    tokens = 0
    for step, rows in enumerate(batches):
        rate = min((step + 1) / (_WARMUP * len(batches)), 1.0)
        rate *= max(0.02, 1 - step / len(batches))
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * rate
        ids = _pad([data[row] for row in rows], trainer.pad_id)
        losses = trainer(ids, rng.sample(parallel, _PARALLEL_BATCH) if parallel else [])
        optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        tokens += ids.numel()
        history.append([loss.item() for loss in losses])
        if progress is not None:
            progress(step + 1, len(batches), losses.total.item())
    trainer.eval()
    last = torch.tensor(history[-_REPORTED_STEPS:]).mean(0).tolist()
    names = Losses._fields
    return {
        "steps": len(batches),
        "tokens": tokens,
        "losses": {name: round(value, 4) for name, value in zip(names, last, strict=True)},
    }


@torch.inference_mode()
def heldout_accuracy(trainer: Pretrainer, world: World) -> float:
    """Share of masked words restored in dev documents, 15 % masked in each."""
    segments = [one.segments for one in world_documents(world, _HELDOUT_DOCUMENTS, split="dev")]
    generator = torch.Generator().manual_seed(0)
    right = total = 0
    for start in range(0, len(segments), 100):
        ids = _pad(_encoded(trainer.tokenizer, segments[start : start + 100]), trainer.pad_id)
        chosen = (torch.rand(ids.shape, generator=generator) < _HELDOUT_MASKED) & (ids > 3)
        states = trainer.backbone(
            input_ids=ids.masked_fill(chosen, trainer.mask_id),
            attention_mask=ids.ne(trainer.pad_id).long(),
        ).last_hidden_state
        found = trainer.word_logits(states[chosen]).argmax(-1)
        right += int((found == ids[chosen]).sum())
        total += int(chosen.sum())
    return round(right / total, 4)


def _encoded(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[tuple[str, ...]]
) -> list[list[int]]:
    """Ids of texts of one or two segments, with special tokens."""
    batch = [segments[0] if len(segments) == 1 else segments for segments in texts]
    return [encoding.ids for encoding in tokenizer.backend_tokenizer.encode_batch(batch)]


def _batches(lengths: Sequence[int], rng: random.Random) -> Iterator[list[int]]:
    """Rows in random batches of like length, at most 1024 tokens each with padding."""
    rows = list(range(len(lengths)))
    rng.shuffle(rows)
    batches: list[list[int]] = []
    for start in range(0, len(rows), _BUCKET_POOL):
        batch: list[int] = []
        for row in sorted(rows[start : start + _BUCKET_POOL], key=lengths.__getitem__):
            if batch and (len(batch) + 1) * lengths[row] > _TOKENS_PER_BATCH:
                batches.append(batch)
                batch = []
            batch.append(row)
        batches.append(batch)
    rng.shuffle(batches)
    return iter(batches)


def _pad(rows: Sequence[Sequence[int]], pad_id: int) -> Tensor:
    """Ids [batch, length of the longest]."""
    padded = torch.full((len(rows), max(map(len, rows))), pad_id)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = torch.tensor(row)
    return padded


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "tokenizers": tokenizers.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: `python -m harness.train.nano --seed 0 --out DIR`."""
    parser = argparse.ArgumentParser(description="Pretrain nano on the synthetic world.")
    parser.add_argument("--seed", type=int, default=0, help="seed of world, text and training")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--documents", type=int, default=DOCUMENTS, help="documents of text")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--unaligned", action="store_true", help="make the control")
    options = parser.parse_args(arguments)
    for name in ("documents", "threads"):
        if getattr(options, name) < 1:
            parser.exit(2, f"nano: --{name}: got {getattr(options, name)}; give 1 or more\n")
    try:  # minutes of training would be lost
        options.out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=options.out).close()
    except OSError as error:
        parser.exit(2, f"nano: --out: {options.out}: {error.strerror}; give another folder\n")
    torch.set_num_threads(options.threads)
    started = time.process_time()

    def report(step: int, steps: int, loss: float) -> None:
        if step % 100 == 0 or step == steps:
            seconds = time.process_time() - started
            sys.stderr.write(f"step {step}/{steps} loss {loss:.3f} cpu {seconds:.0f} s\n")

    pretrain_nano(
        options.seed,
        options.out,
        documents=options.documents,
        aligned=not options.unaligned,
        progress=report,
    )


if __name__ == "__main__":
    main()
