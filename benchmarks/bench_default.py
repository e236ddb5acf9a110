"""Wall time, CPU time and peak memory of the default bench (and of set-up, with --setup).

    python benchmarks/bench_default.py [--quick] [--suite files --data DIR] [--setup] [--json FILE]

The bench runs in an empty folder, so nothing is reused. Memory is that of all its processes
together,
sampled every 0.1 s (shared pages are counted once per process that maps them).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from tabulate import tabulate

_ROOT = Path(__file__).resolve().parent.parent
_SAMPLE_SECONDS = 0.1


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", default="default")
    parser.add_argument("--data", type=Path, help="data folder, for suites that read files")
    parser.add_argument("--quick", action="store_true", help="one seed only")
    parser.add_argument("--setup", action="store_true", help="measure `make setup` in a copy too")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        if arguments.setup:
            rows.append(measure_setup(Path(folder)))
        command = [sys.executable, "-m", "harness.cli", "bench", arguments.suite, "--quiet"]
        command += ["--out", str(Path(folder) / "out")]
        command += ["--data", str(arguments.data.resolve())] if arguments.data else []
        command += ["--seeds", "1"] if arguments.quick else []
        rows.append(measure(f"bench {arguments.suite}", command, _ROOT))
        rows.append(measure("the same again, all done", command, _ROOT))
    print(
        tabulate(
            [[r["what"], r["wall_s"], r["cpu_s"], r["peak_mib"]] for r in rows],
            headers=["what", "wall s", "CPU s", "peak MiB"],
            floatfmt=".1f",
        )
    )
    print(f"{os.cpu_count()} cores, load at the end {os.getloadavg()[0]:.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def measure_setup(folder: Path) -> dict[str, Any]:
    """`make setup` in a copy of the checkout without its environment."""
    copy = folder / "checkout"
    ignored = shutil.ignore_patterns(".venv", "results", ".git", "*_cache", "__pycache__")
    shutil.copytree(_ROOT, copy, ignore=ignored)
    return measure("make setup", ["make", "setup"], copy)


def measure(what: str, command: list[str], folder: Path) -> dict[str, Any]:
    """Run a command to its end; seconds and MiB of it and all its descendants."""
    before = os.times()
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    peak = _Peak(process.pid)
    peak.start()
    code = process.wait()
    wall = time.perf_counter() - start
    peak.stop()
    if code:
        raise SystemExit(f"{' '.join(command)}: exit code {code}")
    after = os.times()
    cpu = (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )
    return {"what": what, "wall_s": wall, "cpu_s": cpu, "peak_mib": peak.bytes / 2**20}


class _Peak(threading.Thread):
    """Samples the resident memory of a process tree."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self._root = psutil.Process(pid)
        self._ended = threading.Event()

    def run(self) -> None:
        """Sample until stopped."""
        while not self._ended.wait(_SAMPLE_SECONDS):
            self.bytes = max(self.bytes, self._sum())

    def stop(self) -> None:
        """End sampling."""
        self._ended.set()
        self.join()

    def _sum(self) -> int:
        total = 0
        try:
            for process in (self._root, *self._root.children(recursive=True)):
                total += process.memory_info().rss
        except psutil.NoSuchProcess:
            return self.bytes  # a process ended while we looked: the next sample is soon
        return total


if __name__ == "__main__":
    main()
