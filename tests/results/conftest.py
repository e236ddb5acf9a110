"""A factory of valid records with scores given by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from harness.results import Margin, build_record, language_score

SHA = "ab" * 32
MakeRecord = Callable[..., dict[str, Any]]


def make_parts(
    scores: Mapping[str, float],
    *,
    recipe: str = "fuse",
    source_set: str | None = "multi-family",
    target: str = "world-nli",
    seed: int = 1,
    floor: float = 33.0,
    seen: Mapping[str, str] | None = None,
    seconds: float = 12.5,
    backbone: str = "nano",
    setting: str = "adapters",
) -> dict[str, Any]:
    """Everything of a record that is not derived; a score beats the floor if 5 points above."""
    entries = {
        code: language_score(
            metrics={"accuracy": score},
            score=score,
            n=200,
            seen=(seen or {}).get(code, "nothing"),
            floor=floor,
            margin=Margin(score - floor, score - floor - 5, score - floor > 5, 0.95, "by-hand"),
        )
        for code, score in scores.items()
    }
    return {
        "version": "0.1.0",
        "backbone": {
            "name": backbone, "digest": SHA, "parameters": 1000, "layers": 4, "hidden_size": 64,
        },
        "recipe": {"name": recipe, "kind": recipe, "options": {}},
        "source_set": source_set and {
            "name": source_set, "sources": ["nli.A0", "pos.B0"], "budget": None, "mixture": None,
            "stand_ins": [],
        },
        "target": {
            "name": target, "task": "nli", "format": "pair", "split": "test",
            "train_language": "A0", "languages": list(scores), "options": {"max-length": 128},
        },
        "setting": {
            "name": setting, "hyperparameters": {"learning_rate": 1e-4, "epochs": 3},
            "sources": {
                name: {"learning_rate": 2e-4, "reduction_factor": 16}
                for name in (["nli.A0", "pos.B0"] if source_set else [])
            },
            "joint": None,
        },
        "seed": seed,
        "numerics": {
            "device": "cpu", "dtype": "float32", "threads": 2, "tf32": False, "deterministic": True,
        },
        "scores": entries,
        "selection": {
            "on": "dev", "language": "A0", "metric": "accuracy", "best": 80.0, "step": 40,
            "evaluations": 3, "stopped_early": False,
        },
        "trials": {"count": 2},
        "data": {
            "fingerprints": {"world-nli.train": SHA},
            "counts": {"world-nli.train": {"read": 100, "skipped": 0}},
            "overlap": {},
        },
        "files": {
            "predictions": {"path": "predictions/world-nli.jsonl", "sha256": SHA},
            "statistics": {"path": "statistics.npz", "sha256": SHA},
        },
        "costs": {
            "wall_seconds": seconds, "device_seconds": 0, "cpu_seconds": 20.0,
            "peak_memory_bytes": 10**8, "trainable_parameters": 12345, "stored_parameters": 23456,
            "train_tokens": 10**6, "steps": 60, "trial_seconds": 9.0, "shared_seconds": 100.0,
        },
        "environment": {
            "python": "3.11.7", "packages": {"numpy": "2.0.0"},
            "git": {"commit": "c" * 40, "dirty": False}, "image": None,
            "hardware": {"cpu": "x", "cores": 2, "memory_bytes": 10**9, "gpu": None},
            "platform": "Linux", "created": "2024-01-02T03:04:05Z",
        },
    }  # fmt: skip


@pytest.fixture
def parts() -> MakeRecord:
    return make_parts


@pytest.fixture
def make() -> MakeRecord:
    def build(
        scores: Mapping[str, float],
        *,
        low: str = "the third of each family",
        low_languages: Sequence[str] = ("A2", "B2"),
        **options: Any,
    ) -> dict[str, Any]:
        return build_record(
            make_parts(scores, **options), low_resource=low, low_resource_languages=low_languages
        )

    return build


@pytest.fixture
def record(make: MakeRecord) -> dict[str, Any]:
    """One valid record in three languages."""
    return make({"A0": 81.0, "A2": 50.0, "B2": 37.0})
