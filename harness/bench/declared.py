"""Data sets that are not at hand: as many rows as the catalog declares, for plans and no more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from harness.bench.lengths import example_tokens
from harness.bench.steps import SourceWork
from harness.catalog import Backbone, Source, SplitSpec, Target
from harness.data import DataContext, DrawError, load_split
from harness.errors import InputError
from harness.formats import get_format
from harness.model import OpenedAdapter

DECLARED = "declared"  # stands in for a digest: no artifact has a key that is made of it


class Rows(Protocol):
    """What planning needs of a data set."""

    @property
    def name(self) -> str:
        """Owner/split."""

    @property
    def fingerprint(self) -> str:
        """What identifies its rows."""

    def __len__(self) -> int: ...


class PlanData(Protocol):
    """Where planning gets data sets: read (SuiteData), or of a declared size (DeclaredData)."""

    def texts(self, backbone: Backbone) -> Rows:
        """The text a backbone is pretrained on."""

    def source(self, source: Source, split: str) -> Rows:
        """A source's `train` or `dev` set."""

    def labelled(self, source: Source) -> Source:
        """The source with its labels, where they come from its training rows."""

    def adapter(self, source: Source) -> OpenedAdapter | None:
        """The adapter of a source from elsewhere; None where files are not looked at."""

    def drawn(self, work: SourceWork) -> Rows:
        """The rows of a source that train, as its set takes them."""

    def target(self, target: Target, split: str) -> Rows:
        """A target's `train` or `dev` set, in its training language."""

    def tests(self, target: Target) -> Mapping[str, Rows]:
        """The scored sets of all languages of a target."""

    def tunings(self, target: Target) -> Mapping[str, Rows]:
        """The sets on which the target's predictions are tuned, by language."""


@dataclass(frozen=True, slots=True)
class DeclaredRows:
    """A number of rows that nobody read."""

    name: str
    language: str
    count: int

    @property
    def fingerprint(self) -> str:
        """Tells declared sets apart, and is that of no real one."""
        return f"{DECLARED}:{self.name}:{self.language}:{self.count}"

    def __len__(self) -> int:
        return self.count


@dataclass(slots=True)
class DeclaredData:
    """Sizes from the catalog; nothing is read but the world, whose rows are made here.

    What has no size counts as 0 rows until `check` refuses the plan, so that all of it is named.
    """

    context: DataContext
    # Whose size is missing with the keys; targets with splits that were never counted here; those
    # without a dev size, whose evaluations count as nothing; adapters from elsewhere, all of them
    # unopened; sources whose rows may be too few for a budget of tokens. Each name once, in order.
    missing: dict[str, dict[str, None]] = field(default_factory=dict)
    unverified: dict[str, dict[str, None]] = field(default_factory=dict)
    without_dev: dict[str, None] = field(default_factory=dict)
    unopened: dict[str, None] = field(default_factory=dict)
    short: dict[str, None] = field(default_factory=dict)

    def texts(self, backbone: Backbone) -> Rows:
        """Not counted: pretraining is so many steps of so many tokens, whatever the text."""
        return DeclaredRows(f"{backbone.name}/texts", "*", 0)

    def source(self, source: Source, split: str) -> Rows:
        """As many rows as `size` says."""
        name = f"{source.name}/{split}"
        if source.world:
            return self._world(source.spec_of(split), source.language, source.labels, name)
        count = 0 if source.size is None else getattr(source.size, split)
        self._note(f"source '{source.name}'", source.name, split, count)
        return DeclaredRows(name, source.language, count)

    def labelled(self, source: Source) -> Source:
        """As it is: nobody has read its training rows, and a plan does not count its labels."""
        return source

    def adapter(self, source: Source) -> None:
        """Not opened, nor fetched: nobody has checked that its files are sound and fit."""
        self.unopened[source.name] = None

    def drawn(self, work: SourceWork) -> Rows:
        """As many rows as a set asks for; of tokens, as many as mean lengths make of them.

        That is assumed, so too large a budget of tokens is noted, and only one of rows is refused.
        """
        whole, draw = self.source(work.source, "train"), work.draw
        if draw.all or not len(whole):
            return whole
        there = len(whole) // (draw.share[1] if draw.share else 1)
        asked = there if draw.examples is None else draw.examples
        if draw.tokens is not None:
            length = example_tokens(work.source.format, work.training.max_length)
            asked = math.ceil(draw.tokens / length)
            if asked > there:
                self.short[work.name] = None
                asked = there
        elif asked > there:
            raise DrawError(
                f"{whole.name}: the set asks for {draw.limit()}, but its declared size gives "
                f"{there} rows; lower the budget, or choose a source with more rows"
            )
        return DeclaredRows(f"{work.name}/train", work.source.language, asked)

    def target(self, target: Target, split: str) -> Rows:
        """As many rows as `size` says."""
        name, language = f"{target.name}/{split}", target.train_language
        spec = target.train if split == "train" else target.dev
        if target.world and spec is not None:
            return self._world(spec, language, target.labels, name)
        return self._of(target, split, language)

    def tests(self, target: Target) -> dict[str, Rows]:
        """As many rows as are expected, or else as `size` says."""
        if target.world:
            name = f"{target.name}/test"
            return {
                code: self._world(target.test, code, target.labels, name)
                for code in target.languages
            }
        return {code: self._of(target, "test", code) for code in target.languages}

    def tunings(self, target: Target) -> dict[str, Rows]:
        """As many rows as `size` says, in each language."""
        if not get_format(target.format).tuned:
            return {}
        return {code: self._of(target, "dev", code) for code in target.languages}

    def check(self) -> None:
        """InputError if a size was missing: whose, and which keys to add."""
        if self.missing:
            parts = [f"{owner} ({_few(list(keys), 2)})" for owner, keys in self.missing.items()]
            raise InputError(
                f"--sizes: no size declared for {_few(parts, 4)}; add these keys to the YAML "
                "files, or leave --sizes out and give the data with --data DIR"
            )

    def _of(self, target: Target, split: str, language: str) -> Rows:
        count = (target.expected_rows(language) if split == "test" else None) or 0
        if not count and target.size is not None:
            count = target.size.rows(split, language)
            if split in target.size.unverified:
                self.unverified.setdefault(target.name, {})[split] = None
        in_one_language = split == "train" or (split == "dev" and target.train is not None)
        key = split if in_one_language else f"{split}.{language}"
        self._note(f"target '{target.name}'", target.name, key, count)
        return DeclaredRows(f"{target.name}/{split}", language, count)

    def _note(self, owner: str, name: str, key: str, count: int) -> None:
        """Remember a size that is not there; a dev set may lack it."""
        if count:
            return
        if key.startswith("dev"):
            self.without_dev[name] = None
        else:
            self.missing.setdefault(owner, {})[f"size.{key}"] = None

    def _world(
        self, spec: SplitSpec, language: str, labels: tuple[str, ...], name: str
    ) -> DeclaredRows:
        return DeclaredRows(
            name, language, len(load_split(spec, language, labels, self.context, name))
        )


def _few(items: list[str], shown: int) -> str:
    """The first so many, and how many more."""
    more = f" and {len(items) - shown} more" if len(items) > shown else ""
    return ", ".join(items[:shown]) + more
