"""Steps: units of work with a content key; all that a worker needs is inside, and picklable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.canonical import digest, plain
from harness.catalog import PROPORTIONAL, Backbone, Mixture, Recipe, Source, Target, Training
from harness.data import ALL_ROWS, Draw
from harness.model import Numerics

# Raised when the code of a step changes what it computes; older artifacts are then made anew.
STEP_VERSIONS = {"backbone": 2, "source": 3, "fit": 4, "predict": 3}
EXTERNAL_VERSION = 1  # the like for copies of adapters from elsewhere, which are source steps too
MIXTURE_VERSION = 2  # and for what an epoch takes of several sources, where that is not all of them
_LENGTHS = ("max_length", "doc_stride")
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
    recompute: bool = False
    checkpoint_seconds: float | None = 60.0
    checkpoint_steps: int | None = None
    prefix_cache: int | None = None  # bytes that STORE/prefix may hold; None: no cache


@dataclass(frozen=True, slots=True)
class BackboneRef:
    """A backbone for a step: files that exist (`folder`), or the step that makes them (`step`)."""

    name: str
    digest: str
    reduction_factor: int
    folder: Path | None = None
    step: str | None = None
    first_adapter_layer: int = 0
    prefix_dropout: bool = True

    @property
    def adapters(self) -> dict[str, int | bool]:
        """Width and place of its adapters, for keys and records; a default place is not named."""
        found: dict[str, int | bool] = {"reduction_factor": self.reduction_factor}
        if self.first_adapter_layer:
            found["first_adapter_layer"] = self.first_adapter_layer
        if not self.prefix_dropout:
            found["prefix_dropout"] = False
        return found


@dataclass(frozen=True, slots=True)
class BackboneWork:
    """Make a tokenizer and pretrain a small backbone on training text."""

    backbone: Backbone


@dataclass(frozen=True, slots=True)
class SourceWork:
    """Train one source adapter, called `name`, on the rows of the source that `draw` takes."""

    backbone: BackboneRef
    source: Source
    training: Training
    seed: int
    name: str
    draw: Draw = ALL_ROWS


@dataclass(frozen=True, slots=True)
class JointWork:
    """Train one adapter, called `name`, on several sources together, with a head for each."""

    backbone: BackboneRef
    parts: tuple[SourceWork, ...]
    training: Training
    mixture: Mixture
    seed: int
    name: str


@dataclass(frozen=True, slots=True)
class ExternalWork:
    """Copy an adapter from elsewhere, which lies in `folder`; `weights` is their number.

    In a plan from sizes it has not been looked for, and the folder is None.
    """

    backbone: BackboneRef
    source: Source
    folder: Path | None
    digest: str
    weights: int

    @property
    def name(self) -> str:
        """What its adapter is called."""
        return self.source.name


@dataclass(frozen=True, slots=True)
class SourceRef:
    """A source as a set takes it, and the step that has its adapter.

    `joint` names the adapter where one is trained on several sources together.
    """

    work: SourceWork | ExternalWork
    step: str
    joint: str = ""

    @property
    def source(self) -> Source:
        """The source itself, of which the set may take a part."""
        return self.work.source

    @property
    def rows(self) -> SourceWork:
        """What it trains on; an adapter from elsewhere comes without rows."""
        assert isinstance(self.work, SourceWork), f"{self.name} comes from elsewhere"
        return self.work

    @property
    def name(self) -> str:
        """What the set calls it: the source's name, and which share of it."""
        return self.work.name

    @property
    def adapter(self) -> str:
        """The name of the adapter that its step saved."""
        return self.joint or self.work.name


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
    mixture: Mixture = PROPORTIONAL  # of the sources' rows, in mode mixture


@dataclass(frozen=True, slots=True)
class PredictWork:
    """Predict and score a target in all its languages; `fit` is the step that trained, if any."""

    backbone: BackboneRef
    recipe: Recipe
    sources: tuple[SourceRef, ...]
    target: Target
    fit: str | None
    seed: int


Work = BackboneWork | SourceWork | JointWork | ExternalWork | FitWork | PredictWork


@dataclass(frozen=True, slots=True)
class Reads:
    """Examples of one format that a training reads: in every epoch, and at every evaluation.

    Their rows are cut at `max_length` tokens.
    """

    format: str
    max_length: int
    train: int
    dev: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One unit of work. `needs` are the keys of what it builds on; `cost` is in relative units.

    `rows` are the examples that it trains on or scores, `largest` those of the largest set;
    `reads` are those of a training by task.
    """

    kind: str
    key: str
    label: str
    needs: tuple[tuple[str, str], ...]  # (kind, key)
    work: Work
    cost: float
    rows: int
    largest: int = 0
    reads: tuple[Reads, ...] = ()

    @property
    def id(self) -> tuple[str, str]:
        """(kind, key)."""
        return (self.kind, self.key)


def joint_hyperparameters(training: Training) -> dict[str, Any]:
    """Those of one adapter for several sources, each of which says how long its rows may be."""
    return {name: value for name, value in plain(training).items() if name not in _LENGTHS}


def selecting(sources: Sequence[SourceRef], target: Target) -> list[SourceRef]:
    """The sources whose dev sets select the weights of a mixture: those in the target's language.

    Without any, nothing is selected: dev sets of other languages may not choose for English.
    """
    return [ref for ref in sources if ref.source.language == target.train_language]


def adapter_steps(sources: Sequence[SourceRef]) -> list[str]:
    """The steps of the sources' adapters, each once: sources may share one adapter."""
    return list(dict.fromkeys(ref.step for ref in sources))


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
