"""A tiny suite on the world, run once per session: four fits and their records in seconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main

_TRAINING = "{epochs: 1, learning_rate: 1e-3, batch_tokens: 512}"
_SETTING = (
    "adapters: {epochs: 1, learning_rate: 1e-3, fusion_learning_rate: 1e-3, "
    "full_learning_rate: 1e-3, batch_tokens: 512}"
)
_LABELS = "[entailment, neutral, contradiction]"


def _world(split: str, count: int, task: str = "nli") -> str:
    return f"{{reader: world, options: {{task: {task}, split: {split}, count: {count}}}}}"


_TASK = f"""
format: pair_classification
labels: {_LABELS}
train: {_world("train", 32)}
dev: {_world("dev", 20)}
world: true
licence: Apache-2.0
"""
CATALOG = {
    **{
        f"sources/tiny.{code}": f"""
description: Tiny NLI.
task: nli
language: {code}
split: world-train
training: {_TRAINING}
{_TASK}"""
        for code in ("A0", "B0")
    },
    "targets/tiny-nli": f"""
description: Tiny NLI.
task: nli
languages: [A0, B0, C1]
train_language: A0
test: {_world("test", 30)}
split: world-test
settings: {{{_SETTING}}}
{_TASK}""",
    "targets/tiny-ret": f"""
description: Tiny retrieval.
task: ret
format: bitext_retrieval
languages: [A1, B2]
train_language: A0
test: {_world("test", 30, "ret")}
split: world-test
settings: {{{_SETTING}}}
licence: Apache-2.0
world: true
""",
    "source_sets/tiny-two": "\ndescription: Both.\nsources: [tiny.A0, tiny.B0]\n",
    "suites/tiny": """
description: Tiny.
backbones: [nano]
settings: [adapters]
seeds: [1]
low_resource: C1, for this test
low_resource_languages: [C1]
blocks:
  - {recipes: [direct, full-ft], targets: [tiny-nli]}
  - {recipes: [fuse], targets: [tiny-nli, tiny-ret], source_sets: [tiny-two]}
""",
}


@dataclass(frozen=True)
class TinyRun:
    """Where the catalog and the results of the tiny suite are."""

    catalog: Path
    out: Path

    def record(self, target: str, recipe: str) -> dict[str, Any]:
        """The record of a recipe on a target."""
        for path in (self.out / "records").glob("*.json"):
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if (record["target"]["name"], record["recipe"]["name"]) == (target, recipe):
                return record
        raise LookupError(target, recipe)

    def fit(self, target: str, recipe: str) -> Path:
        """The artifact of the fit behind that record."""
        for path in (self.out / "store" / "fit").glob("*/trained/about.json"):
            about = json.loads(path.read_text(encoding="utf-8"))
            if (about["name"], about["recipe"]) == (target, recipe):
                return path.parent.parent
        raise LookupError(target, recipe)

    def copy(self, to: Path, recipe: str = "direct") -> Path:
        """A copy of a fit's model, to damage."""
        return Path(shutil.copytree(self.fit("tiny-nli", recipe) / "trained", to / "model"))


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int | str | None
    out: str
    err: str


@pytest.fixture
def xstilts(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs `xstilts` in this process."""

    def run(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        code = exit_code([str(argument) for argument in arguments])
        return Outcome(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """The tiny suite, run through the command line."""
    run = TinyRun(tmp_path_factory.mktemp("catalog"), tmp_path_factory.mktemp("tiny") / "out")
    write_catalog(run.catalog, CATALOG)
    arguments = ["bench", "tiny", "--catalog", run.catalog, "--out", run.out, "--quiet"]
    assert exit_code([*map(str, arguments), "--device", "cpu", "--workers", "0"]) == 0
    return run


def write_catalog(folder: Path, documents: dict[str, str]) -> None:
    """Documents by `kind/name` as YAML files."""
    for name, text in documents.items():
        file = folder / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"name: {file.stem}{text}", encoding="utf-8")


def exit_code(arguments: Sequence[str]) -> int | str | None:
    """The exit code of `xstilts` with these arguments."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return stopped.value.code
