"""A tiny suite that runs in seconds, ways to run it, and what must be equal between two runs."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from harness.canonical import file_digest
from harness.cli import main
from harness.results import reproducible
from tests.nano import NANO

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 300.0  # seconds until a wait is given up; nothing is asserted about times below it
VOLATILE = ("costs.json", "manifest.json")  # the manifest holds the hash of the costs

_TRAINING = "{{epochs: {epochs}, learning_rate: 2e-3, batch_size: 8}}"
_NLI = "reader: world, options: {task: nli"
_LABELS = "[entailment, neutral, contradiction]"
_FILES = {
    "targets/tiny-nli.yaml": f"""
name: tiny-nli
description: "NLI from 48 examples."
task: nli
format: pair_classification
languages: [A0, B0]
train_language: A0
labels: {_LABELS}
train: {{{_NLI}, split: train, count: 48, sample_seed: 1}}}}
dev: {{{_NLI}, split: dev, count: 8, sample_seed: 1}}}}
test: {{{_NLI}, split: test, count: 12}}}}
settings: {{adapters: TRAINING}}
split: world-test
licence: Apache-2.0
world: true
""",
    "targets/tiny-pos.yaml": """
name: tiny-pos
description: "Tags from 24 sentences."
task: pos
format: tagging
languages: [A0, B0]
train_language: A0
labels: [ADJ, ADP, ADV, DET, NOUN, NUM, PART, PRON, PROPN, PUNCT, VERB]
train: {reader: world, options: {task: pos, split: train, count: 24, sample_seed: 1}}
dev: {reader: world, options: {task: pos, split: dev, count: 8, sample_seed: 1}}
test: {reader: world, options: {task: pos, split: test, count: 12}}
settings: {adapters: TRAINING}
split: world-test
licence: Apache-2.0
world: true
""",
    "sources/tiny.A0.yaml": f"""
name: tiny.A0
description: "NLI from 48 other examples."
task: nli
language: A0
format: pair_classification
labels: {_LABELS}
train: {{{_NLI}, split: train, count: 48}}}}
dev: {{{_NLI}, split: dev, count: 8}}}}
training: TRAINING
split: world-train
licence: Apache-2.0
world: true
""",
    "source_sets/tiny-one.yaml": 'name: tiny-one\ndescription: "One."\nsources: [tiny.A0]\n',
    "backbones/noisy.yaml": """
name: noisy
description: "Nano with dropout, as XLM-R has it: random numbers must go on where they were."
kind: folder
path: NOISY
reduction_factor: 4
licence: Apache-2.0
world: true
""",
    "suites/tiny.yaml": """
name: tiny
description: "One source, one target, two recipes."
backbones: [noisy]
settings: [adapters]
seeds: [1]
seed_note: One seed.
low_resource: none, this is a test
low_resource_languages: [B0]
blocks:
  - {recipes: [direct], targets: [tiny-nli]}
  - {recipes: [stack], targets: [tiny-nli], source_sets: [tiny-one], row: one}
""",
}


def write_catalog(folder: Path, *, epochs: int = 3, extra: Mapping[str, str] | None = None) -> Path:
    """The tiny suite as a user's own catalog; `extra` adds files or replaces them."""
    training = _TRAINING.format(epochs=epochs)
    files = folder.with_name(f"{folder.name}_noisy")
    shutil.copytree(NANO, files)
    config = json.loads((files / "config.json").read_text(encoding="utf-8"))
    config |= {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    (files / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for name, text in {**_FILES, **(extra or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        filled = text.replace("TRAINING", training).replace("NOISY", str(files))
        path.write_text(filled, encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """Its error lines."""
        return [line for line in self.err.splitlines() if line.startswith("xstilts: error: ")]


def xstilts(*arguments: str | Path) -> Done:
    """The command in this process, which has imported everything already."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
            main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
    texts = []
    for stream in streams:
        stream.flush()
        stream.seek(0)
        texts.append(stream.read())
    return Done(code, *texts)


@dataclass(frozen=True)
class Runner:
    """Runs the tiny suite of a catalog."""

    catalog: Path
    suite: str = "tiny"

    def arguments(self, out: Path, *more: str | Path, workers: int = 0) -> list[str]:
        """What follows `xstilts`."""
        options = ["--catalog", self.catalog, "--out", out, "--workers", workers, *more]
        return ["bench", self.suite, *map(str, options)]

    def run(self, out: Path, *more: str | Path, workers: int = 0) -> Done:
        """Run it in this process (and in worker processes, if any)."""
        return xstilts(*self.arguments(out, *more, workers=workers))

    def finish(self, out: Path, *more: str | Path, workers: int = 0) -> Results:
        """Run it to its end, which must be a good one."""
        done = self.run(out, *more, workers=workers)
        assert done.code == 0, done.err
        return Results(out)

    def start(self, out: Path, *more: str | Path, workers: int = 0) -> Running:
        """Begin it as a process group of its own, as a shell would."""
        log = out.parent / f"{out.name}.{time.monotonic_ns()}.err"
        with log.open("wb") as handle:
            process = subprocess.Popen(
                [sys.executable, "-m", "harness.cli", *self.arguments(out, *more, workers=workers)],
                stdout=subprocess.DEVNULL, stderr=handle, stdin=subprocess.DEVNULL,
                cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
            )  # fmt: skip
        return Running(process, log, out)


@dataclass(frozen=True)
class Results:
    """What a run left in its folder."""

    out: Path

    @property
    def store(self) -> Path:
        """Its store."""
        return self.out / "store"

    def artifacts(self) -> list[Path]:
        """The folders of all finished artifacts."""
        kinds = ("backbone", "source", "fit", "predict")
        return sorted(path for kind in kinds for path in self.store.glob(f"{kind}/*"))

    def files(self) -> dict[str, str]:
        """Digests of weights, predictions and all else that must be byte-equal."""
        return {
            str(path.relative_to(self.store)): file_digest(path)
            for artifact in self.artifacts()
            for path in sorted(artifact.rglob("*"))
            if path.is_file() and path.name not in VOLATILE
        }

    def records(self, *, whole: bool = False, paths: bool = True) -> dict[str, dict[str, Any]]:
        """The records by file name, without costs and environment unless `whole`.

        `paths` off leaves out where files are: with the store elsewhere, they are elsewhere.
        """
        found = {
            path.name: json.loads(path.read_text(encoding="utf-8"))
            for path in sorted((self.out / "records").iterdir())
        }
        for entry in (e for one in found.values() for e in one["files"].values() if not paths):
            del entry["path"]
        return found if whole else {name: reproducible(one) for name, one in found.items()}

    def assert_equal(self, other: Results) -> None:
        """Both runs made the same."""
        assert self.files() == other.files()
        assert self.records() == other.records()

    def checkpoints(self) -> dict[str, int]:
        """The unfinished steps that have a checkpoint (kind-key), and its optimizer step."""
        found = {}
        for path in sorted(self.store.glob("work/*/step-*")):
            kind, _, key = path.parent.name.partition("-")
            if not (self.store / kind / key).exists():
                found[path.parent.name] = int(path.name.removeprefix("step-"))
        return found

    def begun(self) -> set[str]:
        """The steps (kind-key) that train just now or did when the run was killed."""
        return {
            path.name.removeprefix("partial-")
            for kind in ("source", "fit")
            for path in self.store.glob(f"work/partial-{kind}-*")
        }

    def assert_nothing_half_written(self) -> None:
        """Every artifact has its manifest, every record is whole, nothing temporary is left."""
        assert all((path / "manifest.json").is_file() for path in self.artifacts())
        assert not list(self.store.glob("work/partial-*"))
        assert not list(self.store.glob("work/*/partial-*"))
        for path in self.out.glob("records/*"):
            assert path.suffix == ".json"
            json.loads(path.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Running:
    """A run in a process group of its own."""

    process: subprocess.Popen[bytes]
    log: Path
    out: Path

    @property
    def err(self) -> str:
        """What it has said on stderr."""
        return self.log.read_text(encoding="utf-8")

    def until(self, holds: Callable[[], object]) -> bool:
        """Wait until something holds; False if the run ended before."""
        limit = time.monotonic() + LIMIT
        while not holds():
            if self.process.poll() is not None:
                return False
            assert time.monotonic() < limit, f"waited too long\n{self.err}"
            time.sleep(0.005)
        return True

    def workers(self) -> list[psutil.Process]:
        """Its worker processes."""
        try:
            children = psutil.Process(self.process.pid).children()
            return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        except psutil.Error:
            return []

    def signal_all(self, number: int) -> None:
        """Signal the whole process group, as Ctrl-C on a terminal does."""
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """SIGKILL its first process only, then see its workers go."""
        workers = self.workers()
        self.process.kill()
        self.end()
        _, left = psutil.wait_procs(workers, timeout=LIMIT)
        assert not left, "workers outlived their parent"

    def end(self) -> int:
        """Its exit code."""
        return self.process.wait(LIMIT)

    def close(self) -> None:
        """Leave nothing running."""
        if self.process.poll() is None:
            self.signal_all(signal.SIGKILL)
            self.process.wait()


@contextmanager
def running(runner: Runner, out: Path, *more: str | Path, workers: int = 0) -> Iterator[Running]:
    """A started run that does not outlive the test."""
    run = runner.start(out, *more, workers=workers)
    try:
        yield run
    finally:
        run.close()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """The tiny suite: 2 results from 5 steps of at most 18 optimizer steps each."""
    return Runner(write_catalog(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="session")
def finished(tiny: Runner, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """One finished run of it; copy it before you change it."""
    return tiny.finish(tmp_path_factory.mktemp("finished") / "out")


@pytest.fixture(scope="session")
def longer(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """The tiny suite with 72 optimizer steps for each adapter: time to be stopped in."""
    return Runner(write_catalog(tmp_path_factory.mktemp("longer"), epochs=12))


@pytest.fixture(scope="session")
def finished_longer(longer: Runner, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """One finished run of it."""
    return longer.finish(tmp_path_factory.mktemp("finished") / "out")
