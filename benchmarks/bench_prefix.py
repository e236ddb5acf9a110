"""Cached prefix beside the same training without it: time of everything, peak memory.

    python benchmarks/bench_prefix.py [--quick] [--rounds N] [--threads 1] [--json FILE]

A model of XLM-R's shape (8 layers of 384 by default) with random weights and adapters, or Fuse(3)
below the target's adapter, in the upper half of its layers; 10 epochs of pair classification over
rows as long as MNLI's (characters / 4; their tokens are random). Both variants train without
dropout below the adapters, each in a fresh process, taking turns. Time starts before the cache is
made and ends after the last step; it holds the hashing and writing of the cache, too. Memory is
the high-water mark of the process's resident set, pages of the cache's files included.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from adapters import XLMRobertaAdapterModel
from common import (
    Clock,
    Runs,
    child,
    median,
    mib,
    parser,
    report,
    resident_bytes,
    time_goal,
    times_table,
)
from tabulate import tabulate
from transformers import XLMRobertaConfig

from harness.bench import Settings
from harness.bench.prefix_store import PrefixCache
from harness.catalog import Training
from harness.formats import Feature, get_format
from harness.model import (
    Assembly,
    Numerics,
    Prefix,
    add_adapter,
    add_fusion,
    remove_pooler,
    set_prefix,
    silence_libraries,
    speed_up,
)
from harness.train import Trainer, TrainTask

_DATA = Path(os.environ.get("XSTILTS_SHARED_DATA", "../shared/data"))
_LENGTHS = "mnli_csv/dev.csv"
_LABELS = ("a", "b", "c")
_VOCABULARY, _LONGEST = 5000, 128
_SPECIALS = 4  # around a pair
_VARIANTS = ("plain", "cached")


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    made = parser(__doc__, rounds=3, quick="4 layers of 256, 96 rows, 1 round")
    made.set_defaults(threads=1)
    made.add_argument("--layers", type=int, default=8)
    made.add_argument("--width", type=int, default=384)
    made.add_argument("--rows", type=int, default=240)
    made.add_argument("--epochs", type=int, default=10)
    made.add_argument("--sources", type=int, nargs="*", default=[0, 3], help="fused; 0: none")
    arguments = made.parse_args()
    if arguments.child:
        print(json.dumps(_train(json.loads(arguments.child))))
        return
    if not (_DATA / _LENGTHS).is_file():
        print(f"skipped: no {_DATA / _LENGTHS}, whose lengths are needed; set XSTILTS_SHARED_DATA")
        return
    if arguments.quick:
        arguments.layers, arguments.width, arguments.rows, arguments.rounds = 4, 256, 96, 1
    lengths = _lengths(arguments.rows)
    runs = {_name(count): _compare(arguments, lengths, count) for count in arguments.sources}
    report(
        f"{arguments.layers} layers of {arguments.width}, adapters from layer "
        f"{arguments.layers // 2}; {arguments.epochs} epochs of {len(lengths)} rows, "
        f"{sum(lengths)} tokens",
        [*(f"{name}\n" + times_table(found, "cached") for name, found in runs.items()),
         "The cache, peak memory, the last loss\n" + _more(runs)],
        [
            time_goal(f"{name}: without the cache / with it", found, "plain", "cached", 1.35,
                      "at least")
            for name, found in runs.items()
        ],
        {"rows": len(lengths), "tokens": sum(lengths), "runs": runs},
        arguments.threads,
        arguments.json,
    )  # fmt: skip


def _name(count: int) -> str:
    return f"Fuse({count}) and an adapter" if count else "an adapter"


def _compare(arguments: argparse.Namespace, lengths: list[int], count: int) -> Runs:
    """Rounds of `plain` and `cached` with so many fused sources."""
    job = {
        "layers": arguments.layers, "width": arguments.width, "lengths": lengths,
        "epochs": arguments.epochs, "threads": arguments.threads, "sources": count,
    }  # fmt: skip
    found: Runs = {name: [] for name in _VARIANTS}
    for _ in range(arguments.rounds):
        for name in _VARIANTS:
            run = child(__file__, {**job, "cached": name == "cached"}, arguments.threads)
            found[name].append({key: value for key, value in run.items() if key != "whole"})
    return found


def _lengths(count: int) -> list[int]:
    """Tokens of pairs that are spread over the file, by characters / 4."""
    with (_DATA / _LENGTHS).open(encoding="utf-8", newline="") as handle:
        pairs = [len(row["premise"]) + len(row["hypothesis"]) for row in csv.DictReader(handle)]
    step = max(1, len(pairs) // count)
    return [min(_LONGEST, size // 4 + _SPECIALS) for size in pairs[::step][:count]]


def _train(job: dict[str, Any]) -> dict[str, Any]:
    """In the child: make the model, then measure the training, with its cache if it has one."""
    silence_libraries()
    numerics = Numerics(threads=job["threads"])
    numerics.apply()
    assembly = _model(job["layers"], job["width"], job["sources"])
    task_format = get_format("pair_classification")
    generator = torch.Generator().manual_seed(0)
    features = [
        Feature(
            (tuple(torch.randint(5, _VOCABULARY, (size,), generator=generator).tolist()),),
            index,
            index % len(_LABELS),
        )
        for index, size in enumerate(job["lengths"])
    ]
    training = Training(
        epochs=job["epochs"], learning_rate=1e-4, batch_tokens=1024, warmup=0.1, patience=0
    )
    losses: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            Path(folder), None, "refuse", numerics, predict_tokens=2048, prefix_cache=10**12
        )
        clock = Clock.start()
        states, size = None, 0
        if job["cached"]:
            states = PrefixCache(settings).states(assembly, task_format, features, 1)
            assert states is not None
            size = states.array.nbytes
        made = clock.read()["seconds"]
        task = TrainTask("t", task_format, features, states)
        Trainer(
            assembly, [task], training, numerics, seed="0", pad_id=1, micro_tokens=16384,
            on_step=lambda progress: losses.append(progress.loss),
        ).run()  # fmt: skip
        used = clock.read()
    return {
        **used, "cache_seconds": made, "cache_bytes": size, "peak_bytes": resident_bytes("VmHWM"),
        "steps": len(losses), "final_loss": losses[-1],
    }  # fmt: skip


def _model(layers: int, width: int, sources: int) -> Assembly:
    """Random weights; adapters (and a fusion, if there are sources) in the upper half."""
    torch.manual_seed(0)
    config = XLMRobertaConfig(
        vocab_size=_VOCABULARY, hidden_size=width, num_hidden_layers=layers,
        num_attention_heads=width // 64, intermediate_size=4 * width,
        max_position_embeddings=_LONGEST + 2, pad_token_id=1,
    )  # fmt: skip
    model: Any = XLMRobertaAdapterModel(config)
    remove_pooler(model)
    speed_up(model)
    model.requires_grad_(False)
    set_prefix(model, Prefix(layers // 2, dropout=False, digest="random"))
    assembly = Assembly(model)
    get_format("pair_classification").add_head(model, "t", _LABELS)
    names = [f"s{number}" for number in range(sources)]
    for name in (*names, "t"):
        add_adapter(model, name, 16)
    groups = {"adapter": ["t"], "head": ["t"]}
    if sources:
        groups["fusion"] = [add_fusion(model, names)]
        assembly.activate(["stack", ["fuse", *names], "t"])
    else:
        assembly.activate("t")
    assembly.train_groups(groups)
    return assembly


def _more(runs: dict[str, Runs]) -> str:
    """Medians of what is no time of the whole."""
    rows = [
        [name, variant, median(found, variant, "cache_seconds"),
         mib(median(found, variant, "cache_bytes")), mib(median(found, variant, "peak_bytes")),
         f"{median(found, variant, 'final_loss'):.5f}"]
        for name, found in runs.items() for variant in found
    ]  # fmt: skip
    headers = ["trained", "", "seconds of the cache", "its MiB", "peak MiB", "last loss"]
    return tabulate(rows, headers, floatfmt=("", "", ".1f", ".0f", ".0f"))


if __name__ == "__main__":
    main()
