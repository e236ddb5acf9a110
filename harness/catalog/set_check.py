"""Whether a source set can be trained: its sources exist, its shares and budget fit together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.catalog.problems import Problem, problem, unknown
from harness.catalog.sets import Budget, Mixture, SourceSet

if TYPE_CHECKING:
    from harness.catalog.load import Catalog

_TEMPERATURE = "temperature"


def check_source_set(catalog: Catalog, one: SourceSet, file: Path) -> Iterator[Problem]:
    """Every problem of one source set, but for its hyper-parameters."""
    if one.name in catalog.sources:
        allowed = "a name that no source has (by its name alone, a source is a set of one)"
        yield problem(file, "name", f"'{one.name}'", allowed, "rename it")
    for place, member in enumerate(one.sources):
        yield from unknown(file, f"sources[{place}]", member.source, catalog.sources)
    yield from _shares(one, file)
    yield from check_budget(one.budget, file, len(one.sources))
    yield from _mixture(one.mixture, file)


def check_budget(budget: Budget | None, file: Path, sources: int = 1) -> Iterator[Problem]:
    """A budget is in examples or in tokens, and has at least one for each source."""
    if budget is None:
        return
    if budget.examples is not None and budget.tokens is not None:
        yield problem(file, "budget", "examples and tokens", "one of the two", "remove one")
    elif (budget.examples or budget.tokens or 0) < sources:
        allowed = f"at least {sources}, one for each source"
        yield problem(file, "budget", str(budget), allowed, "raise it")


def _shares(one: SourceSet, file: Path) -> Iterator[Problem]:
    counts: dict[str, int] = {}  # source -> of how many shares
    for place, member in enumerate(one.sources):
        key = f"sources[{place}].share"
        number, count = member.part or (1, 1)
        if number > count or (member.part and count < 2):
            allowed = "K/N with K from 1 to N, and N at least 2"
            yield problem(file, key, f"'{member.share}'", allowed, "correct it")
        elif counts.setdefault(member.source, count) != count:
            allowed = "all of a source or shares of one number, so that no row is in two of them"
            yield problem(file, key, f"'{member.share or 'all'}'", allowed, "correct it")
    if one.budget is None and any(member.part for member in one.sources):
        allowed = "a budget beside shares, as only that makes them equal to the row"
        yield problem(file, "budget", "nothing", allowed, "add it")


def _mixture(mixture: Mixture, file: Path) -> Iterator[Problem]:
    if (mixture.sampling == _TEMPERATURE) != (mixture.temperature is not None):
        got = "nothing" if mixture.temperature is None else str(mixture.temperature)
        allowed = f"a number if and only if sampling is '{_TEMPERATURE}'"
        yield problem(file, "mixture.temperature", got, allowed, "correct one of them")
