"""A tiny run of every format that XTREME has, and running the command."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main

LANGUAGES = ["A0", "B1"]
_SETTING = (
    "settings: {adapters: {epochs: 1, learning_rate: 1e-3, fusion_learning_rate: 1e-3, "
    "full_learning_rate: 1e-3, batch_tokens: 512}}"
)
# Target to the XTREME task that it stands for, its format, its labels.
TARGETS = {
    "nli": ("xnli", "pair_classification", "[entailment, neutral, contradiction]"),
    "pos": (
        "udpos",
        "tagging",
        "[ADJ, ADP, ADV, DET, NOUN, NUM, PART, PRON, PROPN, PUNCT, VERB]",
    ),
    "qa": ("xquad", "span_qa", "[]"),
    "ret": ("tatoeba", "bitext_retrieval", ""),
    "mc2": ("", "multiple_choice", "[]"),
}
_SUITE = """
name: small
description: Small.
backbones: [nano]
settings: [adapters]
seeds: [1]
low_resource: none
low_resource_languages: [B1]
blocks:
  - {recipes: [direct], targets: [small-nli, small-pos, small-qa, small-ret, small-mc2]}
"""


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int | str | None
    out: str
    err: str

    @property
    def error(self) -> str:
        """Its one error line, after which it ended with exit code 2."""
        assert self.code == 2, (self.code, self.err)
        (line,) = (one for one in self.err.splitlines() if one.startswith("xstilts: error: "))
        assert "Traceback" not in self.err
        return line.removeprefix("xstilts: error: ")

    @property
    def json(self) -> Any:
        """What it printed."""
        assert self.code == 0, self.err
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture
def xstilts(capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs `xstilts` in this process."""

    def run(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        code = exit_code([str(argument) for argument in arguments])
        return Outcome(code, *capfd.readouterr())

    return run


@dataclass(frozen=True)
class SmallRun:
    """Where the catalog and the results of the small suite are."""

    catalog: Path
    out: Path

    def records(self) -> dict[str, dict[str, Any]]:
        """Records by target."""
        found = [json.loads(path.read_text("utf-8")) for path in self.out.glob("records/*.json")]
        return {record["target"]["name"]: record for record in found}


def exit_code(arguments: Sequence[str]) -> int | str | None:
    """The exit code of `xstilts` with these arguments."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return stopped.value.code


def bench(run: SmallRun, *more: str) -> None:
    """Run the small suite, or a part of it, into the run's folder."""
    arguments = ["bench", "small", "--catalog", str(run.catalog), "--out", str(run.out)]
    arguments += ["--quiet", "--device", "cpu", "--workers", "0", *more]
    assert exit_code(arguments) == 0


def write_catalog(folder: Path, languages: Sequence[str] = LANGUAGES) -> None:
    """The small suite as a user's own catalog."""
    for task, (submission, format_, labels) in TARGETS.items():

        def split(name: str, count: int, task: str = task) -> str:
            options = f"{{task: {task}, split: {name}, count: {count}}}"
            return f"{name}: {{reader: world, options: {options}}}"

        lines = [
            f"name: small-{task}",
            "description: Small.",
            f"task: {task}",
            f"format: {format_}",
            f"languages: [{', '.join(languages if labels else languages[1:])}]",
            "train_language: A0",
            split("test", 25),
            "split: world-test",
            _SETTING,
            "licence: Apache-2.0",
            "world: true",
        ]
        if submission:
            lines.append(f"submission: {submission}")
        if labels:
            lines += [f"labels: {labels}", split("train", 24), split("dev", 8)]
        _write(folder / "targets" / f"small-{task}.yaml", "\n".join(lines))
    _write(folder / "suites" / "small.yaml", _SUITE)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """The small suite, run through the command line."""
    run = SmallRun(tmp_path_factory.mktemp("catalog"), tmp_path_factory.mktemp("small") / "out")
    write_catalog(run.catalog)
    bench(run)
    return run
