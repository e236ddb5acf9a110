"""Bitext mining beside faiss-cpu's exact index: time and peak memory on random embeddings.

    python benchmarks/bench_mining.py [--quick] [--rounds N] [--threads 2] [--json FILE]

100,000 x 100,000 x 1024 by default. Both do the same job in a fresh process each, taking turns:
4 neighbours both ways by cosine, ratio margin, greedy pairs. faiss does it as XTREME does (one
exact index per direction); without faiss (`pip install faiss-cpu`) only xstilts is measured.
Memory is the high-water mark of the process's resident set, embeddings and libraries included.
CPU seconds are those of all threads: on a machine that others use they are the better measure.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from harness.formats import mining

_ROOT = Path(__file__).resolve().parent.parent
_SIDES = ("x", "y")


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000, help="of each side")
    parser.add_argument("--dimensions", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=1, help="runs of each, taking turns")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="10,000 rows, 2 rounds")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, folder = arguments.child.split(":", 1)
        print(json.dumps(_CHILDREN[name](Path(folder))))
        return
    if arguments.quick:
        arguments.rows, arguments.rounds = 10_000, 2
    result = compare(arguments.rows, arguments.dimensions, arguments.rounds, arguments.threads)
    print(report(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def compare(rows: int, dimensions: int, rounds: int, threads: int) -> dict[str, Any]:
    """Seconds, peak bytes and pairs of each run; whether both find the same pairs."""
    names = [name for name in _CHILDREN if name != "faiss" or importlib.util.find_spec("faiss")]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for seed, side in enumerate(_SIDES):
            write_vectors(Path(folder) / f"{side}.npy", rows, dimensions, seed)
        for _ in range(rounds):
            for name in names:
                runs[name].append(run(name, folder, threads))
                print(f"{name}: {runs[name][-1]}", file=sys.stderr)
        found = {name: np.load(Path(folder) / f"{name}.npy") for name in names}
    same = {tuple(pair) for pair in found["xstilts"].tolist()}
    return {
        "rows": rows, "dimensions": dimensions, "threads": threads,
        "embeddings_bytes": 2 * rows * dimensions * 4,
        "runs": runs, "load": os.getloadavg()[0],
        "agreement": {
            name: len(same & {tuple(p) for p in pairs.tolist()}) / len(same)
            for name, pairs in found.items()
        },
    }  # fmt: skip


def write_vectors(path: Path, rows: int, dimensions: int, seed: int) -> None:
    """Normal random vectors, written in parts: this process stays small."""
    random = np.random.default_rng(seed)
    out = np.lib.format.open_memmap(path, "w+", np.float32, (rows, dimensions))
    for start in range(0, rows, 10_000):
        size = min(10_000, rows - start)
        out[start : start + size] = random.standard_normal((size, dimensions), np.float32)


def run(name: str, folder: str, threads: int) -> dict[str, Any]:
    """One run in a fresh process."""
    limits = {key: str(threads) for key in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, __file__, "--child", f"{name}:{folder}"],
        env={**os.environ, **limits, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        check=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def with_xstilts(folder: Path) -> dict[str, Any]:
    """The miner of this package."""
    x, y = (np.load(folder / f"{side}.npy") for side in _SIDES)
    start = _clocks()
    pairs = mining.mine(x, y)
    return _measured("xstilts", folder, pairs, start)


def with_faiss(folder: Path) -> dict[str, Any]:
    """XTREME's `knnCPU` in both directions, then the same pairing."""
    import faiss  # noqa: PLC0415  (optional)

    x, y = (np.load(folder / f"{side}.npy") for side in _SIDES)
    start = _clocks()
    found = []
    for vectors in (x, y):
        faiss.normalize_L2(vectors)
    for queries, rows in ((x, y), (y, x)):
        index = faiss.IndexFlatIP(rows.shape[1])
        index.add(rows)
        found.append(mining.Neighbours(*index.search(queries, mining.NEIGHBOURS)))
        del index
    return _measured("faiss", folder, mining.pair(*found), start)


_CHILDREN = {"xstilts": with_xstilts, "faiss": with_faiss}


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _measured(
    name: str, folder: Path, pairs: mining.Pairs, start: tuple[float, float]
) -> dict[str, Any]:
    seconds, cpu = (now - then for now, then in zip(_clocks(), start, strict=True))
    np.save(folder / f"{name}.npy", np.stack([pairs.foreign, pairs.english], axis=1))
    # Not ru_maxrss: across fork and exec it keeps the high-water mark of the parent.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_bytes": int(peak.split()[1]) * 1024,
        "pairs": len(pairs.score),
    }


def report(result: dict[str, Any]) -> str:
    """The table, and the two ratios that count."""
    size = result["embeddings_bytes"]
    middle = {
        name: {
            key: statistics.median(one[key] for one in runs)
            for key in ("seconds", "cpu_seconds", "peak_bytes")
        }
        for name, runs in result["runs"].items()
    }
    table = tabulate(
        [
            [name, len(result["runs"][name]), m["seconds"], m["cpu_seconds"],
             m["peak_bytes"] / 2**20, m["peak_bytes"] / size, 100 * result["agreement"][name]]
            for name, m in middle.items()
        ],
        headers=["", "runs", "seconds", "CPU s", "peak MiB", "peak / embeddings", "same pairs %"],
        floatfmt=("", "", ".1f", ".1f", ".0f", ".2f", ".2f"),
    )  # fmt: skip
    lines = [
        f"{result['rows']} x {result['rows']} x {result['dimensions']}, {result['threads']} "
        f"threads, embeddings {size / 2**20:.0f} MiB; medians; load {result['load']:.1f}",
        table,
    ]
    if "faiss" in middle:
        wall, cpu = (
            middle["xstilts"][key] / middle["faiss"][key] for key in ("seconds", "cpu_seconds")
        )
        lines.append(f"xstilts / faiss: time {wall:.2f}, CPU time {cpu:.2f}")
    else:
        lines.append("faiss is not installed: pip install faiss-cpu")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
