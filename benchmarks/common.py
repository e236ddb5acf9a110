"""What the benchmarks share: fresh processes, peak memory, rounds, goals, tables, JSON, versions.

Nothing heavy is imported here, so that a measured process pays for its own imports only.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tabulate import tabulate

ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("torch", "transformers", "adapters", "accelerate")
_MIB = 2**20
# Every side has what the command gives its own processes (harness/cli/__init__.py).
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


@dataclass(frozen=True, slots=True)
class Goal:
    """A measured number beside what it should be; `value` is None where it was not measured."""

    what: str
    value: float | None
    limit: float
    kind: Literal["at least", "at most"]
    unit: str = "x"
    by_cpu: float | None = None  # the same by CPU seconds, for a machine that others use

    @property
    def verdict(self) -> str:
        """met, missed or not measured."""
        if self.value is None:
            return "not measured"
        met = self.value >= self.limit if self.kind == "at least" else self.value <= self.limit
        return "met" if met else "missed"

    def row(self) -> list[str]:
        """Of the table of goals."""
        shown, by_cpu = (
            "-" if one is None else f"{one:.2f}{self.unit}" for one in (self.value, self.by_cpu)
        )
        goal = f"{self.kind} {self.limit:g}{self.unit}"
        return [self.what, shown, goal, self.verdict, by_cpu]


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall and CPU seconds (of all threads) since it was made."""

    wall: float
    cpu: float

    @classmethod
    def start(cls) -> Clock:
        """Now."""
        return cls(time.perf_counter(), time.process_time())

    def read(self) -> dict[str, float]:
        """`seconds` and `cpu_seconds` since then."""
        return {
            "seconds": time.perf_counter() - self.wall,
            "cpu_seconds": time.process_time() - self.cpu,
        }


Runs = dict[str, list[dict[str, float]]]  # by variant, a measure of each round


def parser(doc: str, *, rounds: int, quick: str) -> argparse.ArgumentParser:
    """The options of every benchmark."""
    made = argparse.ArgumentParser(description=doc.splitlines()[0])
    made.add_argument("--quick", action="store_true", help=quick)
    made.add_argument("--rounds", type=int, default=rounds, help="of each, taking turns")
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--json", type=Path, help="write the numbers here")
    made.add_argument("--child", help=argparse.SUPPRESS)
    return made


def environment(threads: int) -> dict[str, str]:
    """That of a fresh process: this checkout, so many threads, no hub."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    limits = {key: str(threads) for key in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    offline = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, **limits, **offline, "PYTHONPATH": path}


def fresh(command: Sequence[str], threads: int, cwd: Path | None = None) -> dict[str, Any]:
    """Run a command; its last line of JSON if it ends in one, and `whole`: seconds of all of it."""
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(
        command,
        env=environment(threads),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    after = os.times()
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-3000:]}")
    cpu = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    whole = {"seconds": time.perf_counter() - start, "cpu_seconds": cpu}
    last = (done.stdout.splitlines() or [""])[-1]
    return {**(json.loads(last) if last.startswith("{") else {}), "whole": whole}


def child(script: str, case: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """The script's own answer to `--child CASE`, from a fresh process."""
    return fresh([sys.executable, script, "--child", json.dumps(case)], threads)


def resident_bytes(field: Literal["VmRSS", "VmHWM"]) -> int:
    """The process's resident set now, or its high-water mark."""
    # Not ru_maxrss: across fork and exec it keeps the high-water mark of the parent.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return kilobytes(status, field) * 1024


def kilobytes(status: str, field: str) -> int:
    """A field of /proc/PID/status."""
    line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1])


def median(runs: Runs, name: str, key: str = "seconds") -> float:
    """The median over the rounds."""
    return statistics.median(run[key] for run in runs[name])


def ratio(runs: Runs, one: str, other: str, key: str = "seconds") -> float | None:
    """The median over the rounds of `one` divided by `other`; None where one was not measured.

    The two of a ratio ran in the same round, so that a load that comes and goes hits both.
    """
    if not (runs.get(one) and runs.get(other)):
        return None
    pairs = zip(runs[one], runs[other], strict=True)
    return statistics.median(a[key] / b[key] for a, b in pairs)


def time_goal(
    what: str, runs: Runs, one: str, other: str, limit: float, kind: Literal["at least", "at most"]
) -> Goal:
    """The seconds of `one` over those of `other` as a goal."""
    by_cpu = ratio(runs, one, other, "cpu_seconds")
    return Goal(what, ratio(runs, one, other), limit, kind, by_cpu=by_cpu)


def times_table(runs: Runs, base: str) -> str:
    """Medians of every variant, and how many times the seconds of `base` they are."""
    rows = [
        [name, len(one), median(runs, name), median(runs, name, "cpu_seconds"),
         ratio(runs, name, base), ratio(runs, name, base, "cpu_seconds")]
        for name, one in runs.items() if one
    ]  # fmt: skip
    headers = ["", "rounds", "seconds", "CPU s", f"/ {base}", "the same, CPU s"]
    return tabulate(rows, headers=headers, floatfmt=("", "", ".3f", ".3f", ".2f", ".2f"))


def goals_table(goals: Sequence[Goal]) -> str:
    """Goals beside measures."""
    headers = ["measure", "found", "goal", "", "by CPU s"]
    return tabulate([goal.row() for goal in goals], headers)


def mib(size: float) -> float:
    """Bytes as MiB."""
    return size / _MIB


def machine(threads: int) -> dict[str, Any]:
    """What the numbers were measured on, and with what."""
    return {
        "versions": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load": os.getloadavg()[0],
    }


def machine_line(about: Mapping[str, Any]) -> str:
    """The same as a line of text."""
    versions = ", ".join(f"{name} {one}" for name, one in about["versions"].items())
    return (
        f"Python {about['python']}, {versions}; {about['cpu']}, {about['cores']} cores, "
        f"{about['threads']} threads; load at the end {about['load']:.1f}"
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def has_accelerate() -> bool:
    """Whether transformers' Trainer can run; says how to get what it needs, if not."""
    if _version("accelerate") != "not installed":
        return True
    print("accelerate is not installed, which transformers' Trainer needs: pip install accelerate")
    return False


def report(
    title: str, parts: Sequence[str], goals: Sequence[Goal], result: dict[str, Any],
    threads: int, path: Path | None,
) -> None:  # fmt: skip
    """Print it all and write the JSON if asked."""
    about = machine(threads)
    shown = [goals_table(goals)] if goals else []
    print("\n\n".join([title, *parts, *shown, machine_line(about)]), flush=True)
    if path:
        listed = [{**asdict(goal), "verdict": goal.verdict} for goal in goals]
        body = {"title": title, **result, "goals": listed, "machine": about}
        path.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
