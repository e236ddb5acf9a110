"""One run of bench_plan's other side: a script as one writes it with `adapters` and Trainer.

    python benchmarks/plan_script.py direct|stack|fuse --name t --backbone DIR --train FILE
        --dev FILE --out DIR [--test LANGUAGE=FILE]... [--source NAME=DIR]...

It loads the backbone and the source adapters, tokenises its files padding every row to the
maximum, trains an epoch, evaluates on dev, predicts language by language, saves the adapter. It
uses nothing of xstilts. Its last line is JSON: seconds of all but start and imports, and scores.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from adapters import AdapterTrainer, AutoAdapterModel, SeqBnConfig
from adapters.composition import Fuse, Stack
from transformers import AutoTokenizer, EvalPrediction, TrainingArguments, set_seed

Rows = list[dict[str, Any]]


def main() -> None:
    """Do the run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", choices=["direct", "stack", "fuse"])
    parser.add_argument("--name", required=True, help="of the adapter and the head")
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--test", action="append", default=[], metavar="LANGUAGE=FILE")
    parser.add_argument("--source", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--labels", nargs="+", default=["contradiction", "entailment", "neutral"])
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    wall, cpu = time.perf_counter(), time.process_time()
    scores = run(arguments)
    seconds = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps({**seconds, "scores": scores}))


def run(arguments: argparse.Namespace) -> dict[str, float]:
    """Train and evaluate; accuracy on dev and in every language."""
    set_seed(1)
    tokenizer = AutoTokenizer.from_pretrained(arguments.backbone)
    model = AutoAdapterModel.from_pretrained(arguments.backbone)
    sources = dict(one.split("=", 1) for one in arguments.source)
    for name, folder in sources.items():
        model.load_adapter(folder, load_as=name, with_head=False)
    name = arguments.name
    model.add_adapter(name, config=SeqBnConfig(reduction_factor=16))
    model.add_classification_head(name, num_labels=len(arguments.labels), layers=2)
    model.train_adapter(name)
    if arguments.recipe == "stack":
        model.set_active_adapters(Stack(*sources, name))
    elif arguments.recipe == "fuse":
        fusion = Fuse(*sources)
        model.add_adapter_fusion(fusion)
        for key, parameter in model.named_parameters():
            if "adapter_fusion_layer" in key:
                parameter.requires_grad_(True)
        model.set_active_adapters(Stack(fusion, name))
    model.active_head = name
    trainer = AdapterTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=arguments.out,
            num_train_epochs=1,
            learning_rate=arguments.rate,
            warmup_ratio=0.1,
            per_device_train_batch_size=arguments.batch,
            per_device_eval_batch_size=arguments.batch,
            eval_strategy="epoch",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=read(arguments.train, tokenizer, arguments),
        eval_dataset=read(arguments.dev, tokenizer, arguments),
        compute_metrics=accuracy,
    )
    trainer.train()
    scores = {"dev": float(trainer.state.log_history[-2]["eval_accuracy"])}
    for one in arguments.test:
        language, file = one.split("=", 1)
        found = trainer.predict(read(Path(file), tokenizer, arguments))
        scores[language] = float(found.metrics["test_accuracy"])
    model.save_adapter(arguments.out, name)
    return scores


def read(path: Path, tokenizer: Any, arguments: argparse.Namespace) -> Rows:
    """The rows of a table, padded to the maximum."""
    with path.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file, delimiter="\t"))
    encoded = tokenizer(
        [row["premise"] for row in table],
        [row["hypothesis"] for row in table],
        truncation=True,
        padding="max_length",
        max_length=arguments.max_length,
    )
    return [
        {
            "input_ids": torch.tensor(ids),
            "attention_mask": torch.tensor(mask),
            "labels": arguments.labels.index(row["label"]),
        }
        for ids, mask, row in zip(
            encoded["input_ids"], encoded["attention_mask"], table, strict=True
        )
    ]


def accuracy(found: EvalPrediction) -> dict[str, float]:
    """Share of right labels."""
    return {"accuracy": float((np.argmax(found.predictions, axis=-1) == found.label_ids).mean())}


if __name__ == "__main__":
    main()
