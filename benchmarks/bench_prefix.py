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
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from adapters import XLMRobertaAdapterModel
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

_ROOT = Path(__file__).resolve().parent.parent
_DATA = Path(os.environ.get("XSTILTS_SHARED_DATA", "../shared/data"))
_LENGTHS = "mnli_csv/dev.csv"
_LABELS = ("a", "b", "c")
_VOCABULARY, _LONGEST = 5000, 128
_SPECIALS = 4  # around a pair
_VARIANTS = ("plain", "cached")


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--rows", type=int, default=240)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--sources", type=int, nargs="*", default=[0, 3], help="fused; 0: none")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, taking turns")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="4 layers of 256, 96 rows, 1 round")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(_train(json.loads(arguments.child))))
        return
    if not (_DATA / _LENGTHS).is_file():
        print(f"skipped: no {_DATA / _LENGTHS}, whose lengths are needed; set XSTILTS_SHARED_DATA")
        return
    if arguments.quick:
        arguments.layers, arguments.width, arguments.rows, arguments.rounds = 4, 256, 96, 1
    result = _compare(arguments)
    print(_report(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """All runs, by number of fused sources and variant."""
    lengths = _lengths(arguments.rows)
    job = {
        "layers": arguments.layers, "width": arguments.width, "lengths": lengths,
        "epochs": arguments.epochs, "threads": arguments.threads,
    }  # fmt: skip
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for count in arguments.sources:
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in _VARIANTS}
        for _ in range(arguments.rounds):
            for name in _VARIANTS:
                found[name].append(_run({**job, "sources": count, "cached": name == "cached"}))
                print(f"{count} sources, {name}: {found[name][-1]}", file=sys.stderr)
        runs[str(count)] = found
    return {
        **{key: value for key, value in job.items() if key != "lengths"},
        "rows": len(lengths), "tokens": sum(lengths), "first_adapter_layer": arguments.layers // 2,
        "torch": torch.__version__, "load": os.getloadavg()[0], "runs": runs,
    }  # fmt: skip


def _lengths(count: int) -> list[int]:
    """Tokens of pairs that are spread over the file, by characters / 4."""
    with (_DATA / _LENGTHS).open(encoding="utf-8", newline="") as handle:
        pairs = [len(row["premise"]) + len(row["hypothesis"]) for row in csv.DictReader(handle)]
    step = max(1, len(pairs) // count)
    return [min(_LONGEST, size // 4 + _SPECIALS) for size in pairs[::step][:count]]


def _run(job: dict[str, Any]) -> dict[str, Any]:
    """One variant in a fresh process."""
    threads = str(job["threads"])
    done = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(job)],
        env={**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": str(_ROOT)},
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


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
        wall, cpu = time.perf_counter(), time.process_time()
        states, size = None, 0
        if job["cached"]:
            states = PrefixCache(settings).states(assembly, task_format, features, 1)
            assert states is not None
            size = states.array.nbytes
        made = time.perf_counter() - wall
        task = TrainTask("t", task_format, features, states)
        Trainer(
            assembly, [task], training, numerics, seed="0", pad_id=1, micro_tokens=16384,
            on_step=lambda progress: losses.append(progress.loss),
        ).run()  # fmt: skip
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "wall_seconds": wall, "cpu_seconds": cpu, "cache_seconds": made, "cache_bytes": size,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
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


def _report(result: dict[str, Any]) -> str:
    """Medians, and the ratio of the medians."""
    rows = []
    for count, found in result["runs"].items():
        middle = {
            name: {
                key: statistics.median(run[key] for run in runs)
                for key in ("wall_seconds", "cpu_seconds", "peak_bytes", "cache_seconds",
                            "cache_bytes", "final_loss")
            }
            for name, runs in found.items()
        }  # fmt: skip
        plain, cached = middle["plain"], middle["cached"]
        what = f"Fuse({count}) + adapter" if int(count) else "adapter"
        for name, one in middle.items():
            rows.append([
                what, name, f"{one['wall_seconds']:.1f}", f"{one['cpu_seconds']:.1f}",
                f"{one['cache_seconds']:.1f}", f"{one['cache_bytes'] / 2**20:.0f}",
                f"{one['peak_bytes'] / 2**20:.0f}", f"{one['final_loss']:.5f}",
            ])  # fmt: skip
        rows.append([
            what, "ratio", *(f"{plain[key] / cached[key]:.2f}x"
                             for key in ("wall_seconds", "cpu_seconds")),
            "", "", f"{cached['peak_bytes'] / plain['peak_bytes']:.2f}", "",
        ])  # fmt: skip
    header = ["trained", "variant", "wall s", "CPU s", "cache s", "cache MiB", "peak MiB", "loss"]
    return (
        f"{result['layers']} layers of {result['width']}, adapters from layer "
        f"{result['first_adapter_layer']}; {result['epochs']} epochs of {result['rows']} rows, "
        f"{result['tokens']} tokens; {result['threads']} threads, load {result['load']:.1f}\n"
        + tabulate(rows, headers=header, disable_numparse=True)
    )


if __name__ == "__main__":
    main()
