"""How good a `nano` is, on dev sets of its own world: the numbers in docs/world.md.

    python benchmarks/nano_quality.py [FOLDER ...] [--json FILE]

FOLDER is what `python -m harness.train.nano --out FOLDER` made; default: the shipped one. NLI is
trained on hub examples (`direct`, an adapter) and scored on 300 dev examples of each language. The
shortcuts are what simple classifiers, trained on the same hub examples, get without understanding.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from transformers import PreTrainedTokenizerFast

import harness
from harness.catalog import Training
from harness.data.examples import PairExample
from harness.data.world import HUB, LANGUAGES, World, generate
from harness.data.world.lexicon import NEG
from harness.formats import EncodeOptions, get_format
from harness.model import Numerics, load_tokenizer, silence_libraries
from harness.model.backbone import BackboneFiles, load_backbone
from harness.recipes import Goal, get_recipe
from harness.train import Trainer, TrainTask, predict
from harness.train.nano_checks import (
    by_group,
    embedding_cosine,
    load_nano,
    retrieval_accuracy,
)

LABELS = ("entailment", "neutral", "contradiction")
_TRAINING = Training(epochs=4, learning_rate=2e-3, batch_tokens=768, min_steps=60)
_TRAIN_SIZES = (2500, 100)
_DEV = 300
_SHIPPED = Path(harness.__file__).parent / "data/world/nano"


def main() -> None:
    """Measure each folder, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    arguments = parser.parse_args()
    silence_libraries()
    torch.set_num_threads(1)
    found = {}
    for folder in arguments.folders or [_SHIPPED]:
        found[str(folder)] = measure(folder)
        rows = [[what, *map(_shown, by.values())] for what, by in found[str(folder)].items()]
        print(f"{folder}\n{tabulate(rows, ['', *next(iter(found[str(folder)].values()))])}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """What is measured, by group of languages."""
    world = World(json.loads((folder / "world.json").read_text(encoding="utf-8"))["world_seed"])
    model, tokenizer = load_nano(folder)
    retrieval = {name: layers[-1] for name, layers in
                 retrieval_accuracy(model, tokenizer, world).items()}  # fmt: skip
    found = {
        "cosine of a word and the hub's": by_group(embedding_cosine(model, tokenizer, world)),
        "retrieval, top layer": {"hub": float("nan"), **by_group(retrieval)},
    }
    for count in _TRAIN_SIZES:
        scores = by_group(nli_scores(folder, world, load_tokenizer(folder), count))
        found[f"NLI from {count} hub examples"] = scores
    train, dev = nli(world, HUB, 2500, "train"), nli(world, HUB, 1000, "dev")
    for name, feature in shortcuts(world).items():
        found[f"shortcut: {name}"] = {"hub": majority_by(feature, train, dev)}
    found["shortcut: words of the hypothesis"] = {"hub": bag_of_words(train, dev)}
    return found


def nli(world: World, language: str, count: int, split: Any) -> list[PairExample]:
    """NLI pairs of one language."""
    made = generate(world, "nli", language, count, split)
    return [one for one in made if isinstance(one, PairExample)]


def nli_scores(
    folder: Path, world: World, tokenizer: PreTrainedTokenizerFast, count: int
) -> dict[str, float]:
    """Accuracy by language of an adapter trained on `count` hub examples."""
    numerics = Numerics()
    base = load_backbone(BackboneFiles("nano", folder, "", 4), numerics.torch_device)
    task = get_format("pair_classification")
    goal = Goal("nli", task, LABELS, 1)
    assembly = get_recipe("direct").assemble(base, goal, [], 4)
    options, pad = EncodeOptions(max_length=128), int(tokenizer.pad_token_id)
    features = task.encode(
        nli(world, HUB, count, "train"), tokenizer, LABELS, options, training=True
    )
    Trainer(
        assembly, [TrainTask("nli", task, features)], _TRAINING, numerics,
        seed="quality", pad_id=pad, micro_tokens=4096,
    ).run()  # fmt: skip
    scores = {}
    for language in LANGUAGES:
        dev = nli(world, language, _DEV, "dev")
        rows = task.encode(dev, tokenizer, LABELS, options, training=False)
        logits = predict(assembly, "nli", task, rows, numerics=numerics, pad_id=pad,
                         batch_tokens=4096)  # fmt: skip
        guesses = task.decode(logits, rows, dev, LABELS, options)
        scores[language] = task.task_score(task.aggregate(task.statistics(guesses, dev)))
    return scores


def shortcuts(world: World) -> dict[str, Callable[[PairExample], Hashable]]:
    """Features of a pair that need no understanding."""
    negation = world.lexicons[HUB][NEG]

    def overlap(pair: PairExample) -> int:
        return len(set(pair.premise.split()) & set(pair.hypothesis.split()))

    return {
        "lengths": lambda p: (len(p.premise.split()), len(p.hypothesis.split())),
        "negations": lambda p: (negation in p.premise.split(), negation in p.hypothesis.split()),
        "overlap and length": lambda p: (overlap(p), len(p.hypothesis.split())),
    }


def majority_by(
    feature: Callable[[PairExample], Hashable],
    train: Sequence[PairExample],
    dev: Sequence[PairExample],
) -> float:
    """Accuracy of the most frequent training label among pairs of equal feature."""
    labels: dict[Hashable, Counter[str]] = defaultdict(Counter)
    for pair in train:
        labels[feature(pair)][pair.label] += 1
    best = {value: counts.most_common(1)[0][0] for value, counts in labels.items()}
    return 100 * sum(best.get(feature(pair)) == pair.label for pair in dev) / len(dev)


def bag_of_words(train: Sequence[PairExample], dev: Sequence[PairExample]) -> float:
    """Accuracy of a logistic regression on the words of the hypothesis."""
    words = {word: i for i, word in enumerate({w: 0 for p in train for w in p.hypothesis.split()})}

    def matrix(pairs: Sequence[PairExample]) -> torch.Tensor:
        rows = torch.zeros(len(pairs), len(words))
        for row, pair in enumerate(pairs):
            rows[row, [words[w] for w in pair.hypothesis.split() if w in words]] = 1.0
        return rows

    gold = torch.tensor([LABELS.index(pair.label) for pair in train])
    torch.manual_seed(0)
    layer = torch.nn.Linear(len(words), len(LABELS))
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.05, weight_decay=0.1)
    inputs = matrix(train)
    for _ in range(200):
        optimizer.zero_grad()
        torch.autograd.backward(torch.nn.functional.cross_entropy(layer(inputs), gold))
        optimizer.step()
    guesses = layer(matrix(dev)).argmax(1).tolist()
    right = sum(LABELS[g] == pair.label for g, pair in zip(guesses, dev, strict=True))
    return 100 * right / len(dev)


def _shown(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}" if value <= 1 else f"{value:.1f}"


if __name__ == "__main__":
    main()
