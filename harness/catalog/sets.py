"""What runs: source sets with their budgets and mixtures, recipes, and suites of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.catalog.specs import Training


@dataclass(frozen=True, slots=True)
class Budget:
    """How many training rows, or tokens, a whole set has; its sources get equal parts of it."""

    examples: int | None = None
    tokens: int | None = None

    def parts(self, count: int) -> tuple[Budget, ...]:
        """The part of each of `count` sources; the first ones get what does not divide."""

        def cut(whole: int | None, place: int) -> int | None:
            return None if whole is None else whole // count + (place < whole % count)

        return tuple(Budget(cut(self.examples, i), cut(self.tokens, i)) for i in range(count))

    def __str__(self) -> str:
        return f"examples={self.examples}" if self.tokens is None else f"tokens={self.tokens}"


@dataclass(frozen=True, slots=True)
class Mixture:
    """How often sources that train together are drawn: p proportional to min(rows, cap)^(1/T).

    `proportional` is T = 1, `uniform` is T without bound, `temperature` names T (Raffel et al.
    2020, section 3.5.2).
    """

    sampling: str = "proportional"
    temperature: float | None = None
    cap: int | None = None

    def __str__(self) -> str:
        parts = (self.sampling, self.temperature, None if self.cap is None else f"cap={self.cap}")
        return ",".join(str(part) for part in parts if part is not None)


PROPORTIONAL = Mixture()


@dataclass(frozen=True, slots=True)
class Member:
    """A source of a set, or one of several equal disjoint shares of its training rows (`2/4`)."""

    source: str
    share: str = ""

    @property
    def part(self) -> tuple[int, int] | None:
        """(2, 4) for the second of four shares; None for all rows."""
        if not self.share:
            return None
        number, _, count = self.share.partition("/")
        return int(number), int(count)

    @property
    def name(self) -> str:
        """What its adapter is called: the source's name, and which share it is."""
        return f"{self.source}-{self.share.replace('/', 'of')}" if self.share else self.source


@dataclass(frozen=True, slots=True)
class SourceSet:
    """A named list of sources; `differs` says what differs from the sets it is compared with.

    `parallel`: a row that several sources hold (its translations) is drawn from all of them;
    otherwise each source is drawn independently.
    """

    name: str
    description: str
    sources: tuple[Member, ...]
    budget: Budget | None = None
    parallel: bool = False
    mixture: Mixture = PROPORTIONAL
    settings: Mapping[str, Training] = field(default_factory=dict)  # of one adapter for all of it
    differs: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How sources become a model for a target."""

    name: str
    description: str
    kind: str  # the module family: direct | stack | fuse | multitask | full-ft
    sources: str  # none | one | many
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Block:
    """One cross product of a suite: recipes x source sets x targets.

    `row` names its source sets in the summary, so that sets which play the same part for different
    targets share a row (`stack [English]`).
    """

    recipes: tuple[str, ...]
    targets: tuple[str, ...]
    source_sets: tuple[str, ...] = ()
    row: str = ""


@dataclass(frozen=True, slots=True)
class Contrast:
    """A question fixed before the run: mean score of `better` minus that of `worse`.

    `worse_languages`: where the two sides are compared on different languages (of resource, say).
    """

    name: str
    question: str
    target: str
    better: tuple[str, ...]  # (recipe, source set) or (recipe,)
    worse: tuple[str, ...]
    languages: tuple[str, ...] = ()  # empty: all that are zero-shot on both sides
    worse_languages: tuple[str, ...] = ()  # empty: those of `better`


@dataclass(frozen=True, slots=True)
class Suite:
    """Which backbones x recipes x sets x targets x settings x seeds run, and the contrasts."""

    name: str
    description: str
    backbones: tuple[str, ...]
    blocks: tuple[Block, ...]
    settings: tuple[str, ...]
    seeds: tuple[int, ...]
    low_resource: str  # the definition, in words; it stands beside every low-resource number
    low_resource_languages: tuple[str, ...]
    contrasts: tuple[Contrast, ...] = ()
    needs_data: bool = False
    budget: Budget | None = None  # of the source sets that have none of their own
    seed_note: str = ""  # what the seeds vary; printed under the table
