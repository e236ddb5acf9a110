"""Steps: units of work with a content key; all that a worker needs is inside, and picklable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.canonical import digest, plain
from harness.catalog import Backbone, Recipe, Source, Target, Training
from harness.model import Numerics

# Raised when the code of a step changes what it computes; older artifacts are then made anew.
STEP_VERSIONS = {"backbone": 2, "source": 2, "fit": 2, "predict": 1}
EXTERNAL_VERSION = 1  # the like for copies of adapters from elsewhere, which are source steps too
_LIBRARIES = ("torch", "transformers", "adapters", "tokenizers", "numpy")


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for every step of a run."""

    store: Path
    data: Path | None
    bad_rows: str
    numerics: Numerics
    micro_tokens: int = 16384
    predict_tokens: int = 16384
    checkpoint_seconds: float | None = 60.0
    checkpoint_steps: int | None = None


@dataclass(frozen=True, slots=True)
class BackboneRef:
    """A backbone for a step: files that exist (`folder`), or the step that makes them (`step`)."""

    name: str
    digest: str
    reduction_factor: int
    folder: Path | None = None
    step: str | None = None


@dataclass(frozen=True, slots=True)
class SourceRef:
    """A source and the step that trains its adapter, or copies it in.

    `adapter` is the digest of one from elsewhere.
    """

    source: Source
    step: str
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class BackboneWork:
    """Make a tokenizer and pretrain a small backbone on training text."""

    backbone: Backbone


@dataclass(frozen=True, slots=True)
class SourceWork:
    """Train one source adapter."""

    backbone: BackboneRef
    source: Source
    training: Training
    seed: int


@dataclass(frozen=True, slots=True)
class ExternalWork:
    """Copy an adapter from elsewhere, which lies in `folder`; `weights` is their number."""

    backbone: BackboneRef
    source: Source
    folder: Path
    digest: str
    weights: int


@dataclass(frozen=True, slots=True)
class FitWork:
    """Train what a recipe trains for a target; `mode` is target or mixture (see Recipe.fit)."""

    backbone: BackboneRef
    recipe: Recipe
    sources: tuple[SourceRef, ...]
    target: Target
    training: Training
    mode: str
    seed: int


@dataclass(frozen=True, slots=True)
class PredictWork:
    """Predict and score a target in all its languages; `fit` is the step that trained, if any."""

    backbone: BackboneRef
    recipe: Recipe
    sources: tuple[SourceRef, ...]
    target: Target
    fit: str | None
    seed: int


Work = BackboneWork | SourceWork | ExternalWork | FitWork | PredictWork


@dataclass(frozen=True, slots=True)
class Step:
    """One unit of work. `needs` are the keys of what it builds on; `cost` is in relative units.

    `rows` are the examples that it trains on or scores, `largest` those of the largest set.
    """

    kind: str
    key: str
    label: str
    needs: tuple[tuple[str, str], ...]  # (kind, key)
    work: Work
    cost: float
    rows: int
    largest: int = 0

    @property
    def id(self) -> tuple[str, str]:
        """(kind, key)."""
        return (self.kind, self.key)


def selecting(sources: Sequence[SourceRef], target: Target) -> list[SourceRef]:
    """The sources whose dev sets select the weights of a mixture: those in the target's language.

    Without any, nothing is selected: dev sets of other languages may not choose for English.
    """
    return [ref for ref in sources if ref.source.language == target.train_language]


@cache
def library_versions() -> dict[str, str]:
    """Versions of the libraries whose code can change a number."""
    return {name: version(name) for name in _LIBRARIES}


def step_key(kind: str, inputs: Mapping[str, Any], settings: Settings) -> str:
    """SHA-256 over everything that can change the step's result."""
    return digest(
        {
            "kind": kind,
            "version": STEP_VERSIONS[kind],
            "libraries": library_versions(),
            "numerics": settings.numerics.identity(),
            "inputs": plain(inputs),
        }
    )
